"""kcp's API types, the project's own one, and their definitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.types import BUILTINS
from tenantry.kube.workloads import facts
from tenantry.tenancy.types.api_binding import API_BINDING
from tenantry.tenancy.types.api_conversion import API_CONVERSION
from tenantry.tenancy.types.api_export import API_EXPORT
from tenantry.tenancy.types.api_export_endpoint_slice import API_EXPORT_ENDPOINT_SLICE
from tenantry.tenancy.types.api_resource_schema import API_RESOURCE_SCHEMA
from tenantry.tenancy.types.cached_resource import CACHED_RESOURCE, CLUSTER_CACHED_RESOURCE
from tenantry.tenancy.types.cached_resource_endpoint_slice import (
    CACHED_RESOURCE_ENDPOINT_SLICE,
    CLUSTER_CACHED_RESOURCE_ENDPOINT_SLICE,
)
from tenantry.tenancy.types.kcp_type import KcpType
from tenantry.tenancy.types.logical_cluster import LOGICAL_CLUSTER
from tenantry.tenancy.types.partition import PARTITION
from tenantry.tenancy.types.partition_set import PARTITION_SET
from tenantry.tenancy.types.shard import SHARD
from tenantry.tenancy.types.view_type import AddedType, ViewType, defined
from tenantry.tenancy.types.virtual_workspace import VIRTUAL_WORKSPACE
from tenantry.tenancy.types.workload_type import WORKLOAD_TYPES, WORKLOADS_EXPORT, WorkloadType
from tenantry.tenancy.types.workspace import WORKSPACE
from tenantry.tenancy.types.workspace_authentication_configuration import WORKSPACE_AUTHENTICATION_CONFIGURATION
from tenantry.tenancy.types.workspace_type import WORKSPACE_TYPE
from tenantry.tenancy.well_known import ROOT

SYSTEM_TYPES: tuple[KcpType, ...] = (
    API_BINDING,
    API_CONVERSION,
    API_EXPORT,
    API_EXPORT_ENDPOINT_SLICE,
    API_RESOURCE_SCHEMA,
    CACHED_RESOURCE,
    CACHED_RESOURCE_ENDPOINT_SLICE,
    CLUSTER_CACHED_RESOURCE,
    CLUSTER_CACHED_RESOURCE_ENDPOINT_SLICE,
    LOGICAL_CLUSTER,
    VIRTUAL_WORKSPACE,
)
"""Served in every cluster."""

EXPORTED_TYPES: Mapping[str, tuple[KcpType, ...]] = {
    "tenancy.kcp.io": (WORKSPACE, WORKSPACE_AUTHENTICATION_CONFIGURATION, WORKSPACE_TYPE),
    "topology.kcp.io": (PARTITION, PARTITION_SET),
    "shards.core.kcp.io": (SHARD,),
}
"""Name of an export in root → its types. Every logical cluster may rely on them."""

OFFERED_TYPES: Mapping[str, tuple[WorkloadType, ...]] = {WORKLOADS_EXPORT: WORKLOAD_TYPES}
"""Name of an export in root → its types, which are for those who bind it. Their definitions are made for the first one."""

SYSTEM_DEFINITIONS: tuple[ResourceDefinition, ...] = tuple(t.define() for t in SYSTEM_TYPES)

_OWN: tuple[ResourceDefinition, ...] = (*BUILTINS, *SYSTEM_DEFINITIONS)
_EXPORTED: tuple[ResourceDefinition, ...] = tuple(t.define() for types in EXPORTED_TYPES.values() for t in types)


class _Offer(NamedTuple):
    """A type that logical clusters may bind, and what its definition has of the export."""

    type: WorkloadType
    identity: str
    uid: str


class SystemDefinitions:
    """The definitions of the types that the system uses. The types of root's exports are known after `bind`, when their
    identities are.

    `added`: types that views bring, each with the name of its view. Raises ValueError as `view_type.defined`.
    """

    def __init__(self, added: Iterable[tuple[ViewType, str]] = ()) -> None:
        self._bound: dict[tuple[str, str], ResourceDefinition] = {}
        self._offers: dict[tuple[str, str], _Offer] = {}
        """(identity hash, plural) → the type."""
        self._chosen: dict[_Offer, ResourceDefinition] = {}
        """The definitions of those that are bound."""
        self.added: Sequence[AddedType] = defined(added, (*_OWN, *_EXPORTED))
        self.everywhere: Sequence[ResourceDefinition] = (*_OWN, *(each.definition for each in self.added))
        """The definitions of the types that every logical cluster serves."""
        self._everywhere: Mapping[tuple[str, str], ResourceDefinition] = {(d.group, d.plural): d for d in self.everywhere}

    def bind(self, export: str, identity: str, uids: Mapping[str, str]) -> None:
        """Makes the definitions of an export of root. `identity`: its identity hash. `uids`: plural → uid of the
        APIResourceSchema."""
        for kcp_type in EXPORTED_TYPES[export]:
            key = (kcp_type.group, kcp_type.plural)
            known = self._bound.get(key)
            uid = uids[kcp_type.plural]
            if known is None or known.identity != identity or known.uid != uid:
                self._bound[key] = replace(kcp_type.define(identity=identity, uid=uid), provider=ROOT)

    def offer(self, export: str, identity: str, uids: Mapping[str, str]) -> None:
        """Makes the types of an export of `OFFERED_TYPES` known. The arguments are those of `bind`."""
        types = OFFERED_TYPES[export]
        self._offers = {(identity, each.plural): _Offer(each, identity, uids[each.plural]) for each in types}
        offers = frozenset(self._offers.values())
        self._chosen = {offer: made for offer, made in self._chosen.items() if offer in offers}

    @property
    def complete(self) -> bool:
        return len(self._bound) == sum(len(types) for types in EXPORTED_TYPES.values())

    def find(self, group: str, plural: str) -> ResourceDefinition | None:
        """The definition of a built-in type, a type of kcp, or a type of a view; None if there is none, or if it is not bound
        yet."""
        return self._everywhere.get((group, plural)) or self._bound.get((group, plural))

    def has(self, definition: ResourceDefinition) -> bool:
        """Whether this is the definition of one of these types, and not of a tenant's type that only has the same name."""
        own = self.find(definition.group, definition.plural)
        return own is not None and own.identity == definition.identity

    def bound(self, group: str, plural: str, identity: str) -> ResourceDefinition | None:
        """The definition of a type of root's exports, which have this identity hash; None if there is none."""
        made = self._bound.get((group, plural))
        if made is not None and made.identity == identity:
            return made
        offer = self._offers.get((identity, plural))
        return self._choose(offer) if offer is not None and offer.type.group == group else None

    def of_identity(self, plural: str, identity: str) -> ResourceDefinition | None:
        """As `bound`, without the group: an export of root has one type of a name."""
        offer = self._offers.get((identity, plural))
        if offer is not None:
            return self._choose(offer)
        return next((made for made in self._bound.values() if made.plural == plural and made.identity == identity), None)

    def takes_long(self, identity: str) -> bool:
        """Whether the definition of a type under an identity hash takes longer to make than a turn of the event loop."""
        return not facts.messages_are_read() and any(identity == offered for offered, _ in self._offers)

    def _choose(self, offer: _Offer) -> ResourceDefinition:
        made = self._chosen.get(offer)
        if made is None:
            made = self._chosen.setdefault(offer, offer.type.define(identity=offer.identity, uid=offer.uid))
        return made

    def get(self, group: str, plural: str) -> ResourceDefinition:
        """As `find`. Raises LookupError if there is none."""
        found = self.find(group, plural)
        if found is None:
            raise LookupError(f"{plural}.{group} is not known: it is bound from root's exports, which are not installed yet")
        return found

    @property
    def workspaces(self) -> ResourceDefinition:
        return self.get("tenancy.kcp.io", "workspaces")

    @property
    def workspace_types(self) -> ResourceDefinition:
        return self.get("tenancy.kcp.io", "workspacetypes")

    @property
    def shards(self) -> ResourceDefinition:
        return self.get("core.kcp.io", "shards")

    @property
    def partitions(self) -> ResourceDefinition:
        return self.get("topology.kcp.io", "partitions")

    @property
    def partition_sets(self) -> ResourceDefinition:
        return self.get("topology.kcp.io", "partitionsets")

    @property
    def logical_clusters(self) -> ResourceDefinition:
        return self.get("core.kcp.io", "logicalclusters")

    @property
    def api_exports(self) -> ResourceDefinition:
        return self.get("apis.kcp.io", "apiexports")

    @property
    def api_bindings(self) -> ResourceDefinition:
        return self.get("apis.kcp.io", "apibindings")

    @property
    def api_resource_schemas(self) -> ResourceDefinition:
        return self.get("apis.kcp.io", "apiresourceschemas")

    @property
    def api_export_endpoint_slices(self) -> ResourceDefinition:
        return self.get("apis.kcp.io", "apiexportendpointslices")

    @property
    def virtual_workspaces(self) -> ResourceDefinition:
        return self.get("views.tenantry.dev", "virtualworkspaces")

    @property
    def namespaces(self) -> ResourceDefinition:
        return self.get("", "namespaces")

    @property
    def secrets(self) -> ResourceDefinition:
        return self.get("", "secrets")

    @property
    def config_maps(self) -> ResourceDefinition:
        return self.get("", "configmaps")

    @property
    def service_accounts(self) -> ResourceDefinition:
        return self.get("", "serviceaccounts")

    @property
    def cluster_roles(self) -> ResourceDefinition:
        return self.get("rbac.authorization.k8s.io", "clusterroles")

    @property
    def cluster_role_bindings(self) -> ResourceDefinition:
        return self.get("rbac.authorization.k8s.io", "clusterrolebindings")
