"""A service provider and its consumers: what the tests of exports begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.e2e.people import Person, provide
from tests.support.api import (
    API_BINDINGS,
    API_EXPORTS,
    API_RESOURCE_SCHEMAS,
    ENDPOINT_SLICES,
    Api,
    Object,
)
from tests.support.waiting import wait_for

GROUP = "example.com"
COWBOYS = f"/apis/{GROUP}/v1/namespaces/default/cowboys"
ALL_COWBOYS = f"/apis/{GROUP}/v1/cowboys"


def home(of: Object) -> str:
    """The cluster that an object of a wildcard answer is from."""
    cluster: str = of["metadata"]["annotations"]["kcp.io/cluster"]
    return cluster


def schema(
    plural: str = "cowboys", kind: str = "Cowboy", group: str = GROUP, *, prefix: str = "v1", fields: str = "intent"
) -> Object:
    """An APIResourceSchema; `fields` are the names of the strings in its spec."""
    return {
        "apiVersion": "apis.kcp.io/v1alpha1",
        "kind": "APIResourceSchema",
        "metadata": {"name": f"{prefix}.{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {f: {"type": "string"} for f in fields.split(",")}},
                            "status": {"type": "object", "properties": {"result": {"type": "string"}}},
                        },
                    },
                }
            ],
        },
    }


def exported(of: Object) -> Object:
    """The entry of an APIExport for a schema."""
    spec = of["spec"]
    return {"name": spec["names"]["plural"], "group": spec["group"], "schema": of["metadata"]["name"], "storage": {"crd": {}}}


def export(name: str, *schemas: Object, **spec: Any) -> Object:
    return {
        "apiVersion": "apis.kcp.io/v1alpha2",
        "kind": "APIExport",
        "metadata": {"name": name},
        "spec": {"resources": [exported(s) for s in schemas], **spec},
    }


def binding(provider: str, name: str, *claims: Object) -> Object:
    """An APIBinding to an export of a path or cluster id."""
    spec: Object = {"reference": {"export": {"path": provider, "name": name}}}
    if claims:
        spec["permissionClaims"] = list(claims)
    return {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": name}, "spec": spec}


def claim(group: str, resource: str, *verbs: str, **more: Any) -> Object:
    """A permission claim of an export."""
    return {"group": group, "resource": resource, "verbs": list(verbs) or ["*"], **more}


def answer(to: Object, state: str = "Accepted", **selector: Any) -> Object:
    """What a consumer says to a claim."""
    return {**to, "selector": selector or {"matchAll": True}, "state": state}


def cowboy(name: str, intent: str = "ride", **metadata: Any) -> Object:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Cowboy",
        "metadata": {"name": name, **metadata},
        "spec": {"intent": intent},
    }


@dataclass(frozen=True)
class Provider:
    """A workspace with an export, and somebody who works for it."""

    api: Api
    name: str
    token: str = ""

    @classmethod
    def install(cls, api: Api, *schemas: Object, name: str = "cowboys", by: Person | None = None, **spec: Any) -> Provider:
        """Puts the schemas and their export into a workspace and waits for the identity. `by` may then use its content."""
        for each in schemas:
            api.create(API_RESOURCE_SCHEMAS, each)
        api.create(API_EXPORTS, export(name, *schemas, **spec))
        if by is not None:
            provide(api, by, name)
        provider = cls(api, name, by.token if by is not None else api.token)
        wait_for(lambda: provider.identity, "the export has an identity")
        return provider

    @property
    def identity(self) -> str:
        found: str = self.api.get(f"{API_EXPORTS}/{self.name}").get("status", {}).get("identityHash", "")
        return found

    def urls(self) -> list[str]:
        status = self.api.get(f"{ENDPOINT_SLICES}/{self.name}").get("status") or {}
        return [endpoint["url"] for endpoint in status.get("endpoints") or ()]

    def url(self) -> str:
        """The only URL, as soon as there is one, and consumers are visible there."""
        (url,) = wait_for(self.urls, "the slice lists a URL")
        everywhere = self.api.at(f"{url}/clusters/*")
        wait_for(lambda: everywhere.names(API_BINDINGS), "the view shows a consumer")
        return url

    def view(self, cluster: str = "*") -> Api:
        """The virtual workspace of a consumer, or over all of them."""
        return self.api.caller(self.token).at(f"{self.url()}/clusters/{cluster}")

    def bind(self, consumer: Api, *claims: Object) -> Api:
        """Binds in a workspace and waits until the API is there."""
        consumer.create(API_BINDINGS, binding(self.api.name, self.name, *claims))
        return self.bound(consumer)

    def bound(self, consumer: Api) -> Api:
        path = f"{API_BINDINGS}/{self.name}"
        wait_for(lambda: consumer.get(path).get("status", {}).get("phase") == "Bound", "the binding is Bound")
        return consumer
