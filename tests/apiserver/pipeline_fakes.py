"""A scope, a path resolver and an authorizer that need nothing behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.apiserver.admission.chain import AdmissionChain
from tenantry.apiserver.admission.dynamic import WholeAdmission
from tenantry.apiserver.authorization import NO_OPINION, Attributes, Authorizer, Decision, Verdict
from tenantry.apiserver.conversion.converter import Converter
from tenantry.apiserver.hub import Hubs
from tenantry.apiserver.path_resolver import Resolved
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Connector
from tenantry.apiserver.user import User
from tenantry.apiserver.visibility import Visibility
from tenantry.http.messages import BodyReader
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import bad_request
from tenantry.storage.keys import Key
from tenantry.storage.range import Range


class Rules:
    """Allows system:masters all, everybody what `allowed` says, and remembers every question."""

    def __init__(self, allowed: Callable[[Attributes], bool] = lambda attributes: False, reason: str = "") -> None:
        self.allowed = allowed
        self.reason = reason
        self.asked: list[Attributes] = []

    def authorize(self, attributes: Attributes) -> Decision:
        self.asked.append(attributes)
        if attributes.user.is_master or self.allowed(attributes):
            return Decision(Verdict.ALLOW, self.reason)
        return Decision(Verdict.NO_OPINION, self.reason) if self.reason else NO_OPINION

    def rules(self, user: User, cluster: str, namespace: str) -> list[dict[str, Any]]:
        return [
            {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]},
            {"verbs": ["get"], "nonResourceURLs": ["/api"]},
        ]


def definition(group: str, version: str, plural: str, kind: str, *, namespaced: bool = True, **more: Any) -> ResourceDefinition:
    return ResourceDefinition(
        group=group,
        plural=plural,
        singular=kind.lower(),
        kind=kind,
        list_kind=f"{kind}List",
        namespaced=namespaced,
        versions={version: Version(name=version, schema=Schema(type="object"))},
        storage_version=version,
        **more,
    )


CONFIG_MAPS = definition("", "v1", "configmaps", "ConfigMap")
NAMESPACES = definition("", "v1", "namespaces", "Namespace", namespaced=False)
ROLES = definition("rbac.authorization.k8s.io", "v1", "roles", "Role")
WIDGETS = definition("example.dev", "v1", "widgets", "Widget", custom=True)


class FakeScope:
    def __init__(
        self,
        cluster: str | None = "root",
        authorizer: Authorizer | None = None,
        definitions: tuple[ResourceDefinition, ...] = (CONFIG_MAPS, NAMESPACES, ROLES, WIDGETS),
    ) -> None:
        self.cluster = cluster
        self.authorizer = authorizer or Rules()
        self.cell: Any = None
        self.range = Range("root", "r", "t")
        self.hubs = Hubs()
        self.converter = Converter(None)
        self.admission: WholeAdmission = AdmissionChain(())
        self._apis = ApiSet(definitions)

    def apis(self) -> ApiSet:
        return self._apis

    def listed(self, apis: ApiSet) -> ApiSet:
        return apis

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    def visibility(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        return None

    def acting_user(self, user: User) -> User:
        return user

    translation = None
    shown_since = 0

    def present(self, definition: ResourceDefinition, user: User) -> Callable[[Object], Object] | None:
        return None

    def catalog(self, definition: ResourceDefinition, key: Key, obj: Object | None) -> Mapping[bytes, bytes | None]:
        return {}

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        return None


@dataclass(frozen=True)
class FakePlace:
    there: FakeScope
    path: str

    @property
    def cluster(self) -> str | None:
        return self.there.cluster

    def resolve(self, request: Request) -> Resolved:
        return Resolved(self.path, self.there.cluster, self.there.authorizer, self.there)


class Clusters:
    """`/clusters/<name>/…` for the names that it was given."""

    def __init__(self, scopes: Mapping[str, FakeScope]) -> None:
        self.scopes = scopes

    def locate(self, path: str) -> FakePlace:
        name, _, rest = path.lstrip("/").partition("/")
        if name not in self.scopes:
            raise bad_request(f"no cluster {name}")
        return FakePlace(self.scopes[name], f"/{rest}")


def body_of(data: bytes) -> BodyReader:
    async def read(limit_bytes: int) -> bytes:
        return data

    return read
