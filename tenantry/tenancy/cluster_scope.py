"""The scopes of tenancy: one logical cluster, and all clusters of a range (`/clusters/*`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Protocol

from tenantry.apiserver.admission.dynamic import WholeAdmission
from tenantry.apiserver.authorization import Attributes, Authorizer, Decision, Verdict
from tenantry.apiserver.conversion.converter import Converter
from tenantry.apiserver.hub import Hubs
from tenantry.apiserver.scope import Connector, Scope
from tenantry.apiserver.storage_errors import not_owner, range_of
from tenantry.apiserver.user import User
from tenantry.apiserver.visibility import Visibility
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.status import StatusError, method_not_allowed
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.catalog_copies import Copies
from tenantry.tenancy.cluster_apis import ClusterApis

ONLY_MASTERS = "only privileged callers may work across logical clusters"


class VirtualStorage(Protocol):
    """Serves the types with virtual storage (`ResourceDefinition.virtual_storage`)."""

    def connector(self, definition: ResourceDefinition, base: ClusterScope, shown: Scope) -> Connector:
        """The connector for the verbs of the type. `base`: the consumer; a wildcard raises StatusError 400. `shown`: what the
        client sees: the consumer, or a view of it."""
        ...

    def unlisted(self, apis: ApiSet) -> Collection[ResourceDefinition]:
        """The types of a set that discovery does not list, because an endpoint slice is missing (kcp)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterScopes:
    """Makes the scopes of one shard.

    `connectors`: (group, resource, subresource) → the connector of an access review or a special subresource.
    """

    shard_name: str
    cell: Cell
    hubs: Hubs
    converter: Converter
    apis: ClusterApis
    authorizer: ClusterAuthorizer
    admission: WholeAdmission
    copies: Copies
    connectors: Mapping[tuple[str, str, str], Connector]
    virtual: VirtualStorage

    def cluster(self, cluster: str) -> ClusterScope:
        """The scope of a cluster (id). Raises StatusError 503 if this shard does not own its range."""
        return ClusterScope(self, cluster, range_of(self.cell, cluster))

    def wildcard(self, range_name: str, *, resource: str = "", identity: str = "") -> WildcardScope:
        """The scope of all clusters of a range. `resource` (plural) and `identity`: the bound resource that the request names,
        if any.

        Raises StatusError 503 if this shard does not own the range.
        """
        range_ = self.cell.ranges.get(range_name)
        if range_ is None:
            raise not_owner(f"range {range_name} is not owned by shard {self.shard_name}")
        return WildcardScope(self, range_, resource=resource, identity=identity)


class ClusterScope:
    """All of one logical cluster. Made for each request, so it has references only."""

    __slots__ = ("cluster", "range", "scopes")
    translation = None
    shown_since = 0

    def __init__(self, scopes: ClusterScopes, cluster: str, range_: Range) -> None:
        self.scopes = scopes
        self.cluster: str | None = cluster
        self.range = range_

    @property
    def cell(self) -> Cell:
        return self.scopes.cell

    @property
    def hubs(self) -> Hubs:
        return self.scopes.hubs

    @property
    def converter(self) -> Converter:
        return self.scopes.converter

    @property
    def authorizer(self) -> Authorizer:
        return self.scopes.authorizer

    @property
    def admission(self) -> WholeAdmission:
        return self.scopes.admission

    def apis(self) -> ApiSet:
        assert self.cluster is not None
        return self.scopes.apis.for_cluster(self.cluster)

    def listed(self, apis: ApiSet) -> ApiSet:
        return self.scopes.apis.unlisting(apis, self.scopes.virtual.unlisted(apis))

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        assert self.cluster is not None
        return self.scopes.apis.subscribe(self.cluster, changed)

    def visibility(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        return None

    def acting_user(self, user: User) -> User:
        return user

    def present(self, definition: ResourceDefinition, user: User) -> Callable[[Object], Object] | None:
        return None

    def catalog(self, definition: ResourceDefinition, key: Key, obj: Object | None) -> Mapping[bytes, bytes | None]:
        return self.scopes.copies.of(definition, key, obj)

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        if definition.virtual_storage is not None:
            return self.scopes.virtual.connector(definition, self, self) if not subresource else None
        return self.scopes.connectors.get((definition.group, definition.plural, subresource))


class WildcardScope(ClusterScope):
    """All clusters of a range: list and watch, for system:masters (kcp's `/clusters/*` on a shard).

    Types that differ between clusters are served only as `resource:identity`, as in kcp.
    """

    __slots__ = ("_identity", "_resource")

    def __init__(self, scopes: ClusterScopes, range_: Range, *, resource: str = "", identity: str = "") -> None:
        self.scopes = scopes
        self.cluster = None
        self.range = range_
        self._resource = resource
        self._identity = identity

    @property
    def authorizer(self) -> Authorizer:
        return WILDCARD_AUTHORIZER

    def apis(self) -> ApiSet:
        return self.scopes.apis.for_wildcard(self._resource, self._identity)

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


class _WildcardAuthorizer:
    """The authorizer of a wildcard: system:masters may list and watch."""

    def authorize(self, attributes: Attributes) -> Decision:
        if not attributes.user.is_master:
            return Decision(Verdict.DENY, ONLY_MASTERS)
        if attributes.is_resource and attributes.verb not in ("list", "watch"):
            refused = method_not_allowed(GroupResource(attributes.group, attributes.resource), attributes.verb)
            raise StatusError(
                refused.code, refused.reason, f"{refused.message} in the `*` logical cluster", details=refused.details
            )
        return Decision(Verdict.ALLOW, "system:masters")


WILDCARD_AUTHORIZER = _WildcardAuthorizer()


class ErrorScope(ClusterScope):
    """A logical cluster in which the request cannot be served. Callers whom it would be allowed get `error`; others are refused
    as usual."""

    __slots__ = ("_error",)

    def __init__(self, scopes: ClusterScopes, cluster: str, range_: Range, error: StatusError) -> None:
        super().__init__(scopes, cluster, range_)
        self._error = error

    @property
    def authorizer(self) -> Authorizer:
        return self

    def authorize(self, attributes: Attributes) -> Decision:
        decision = self.scopes.authorizer.authorize(attributes)
        if decision.allowed and attributes.verb != "impersonate":
            raise copy(self._error)
        return decision
