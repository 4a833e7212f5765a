"""Which objects have copies in the catalog, and what a copy contains (kcp's cache server).

Exports, schemas, workspace types, endpoint slices, declared views, partitions and shards are always copied, and objects of the
types of views that ask for it. So are ClusterCachedResources, and the objects that they replicate
(`tenantry.tenancy.replication`). All RBAC of a provider is copied (a cluster with an export, a workspace type or an object of
such a type), because the shard of the consumer decides who may `bind` or `use` these. So are its webhook configurations and
admission policies, which are in effect for the objects of its API. Of other clusters, only the RBAC that decides about access is
copied (`tenantry.tenancy.access_rules`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import orjson

from tenantry.base.tasks import raised
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.exact import exact
from tenantry.kube.objects import Object, annotations_of
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key, catalog_key
from tenantry.storage.record import Record
from tenantry.tenancy.access_rules import OWNER_BINDING, AccessRules
from tenantry.tenancy.replication.publications import Publications, Usage
from tenantry.tenancy.replication.replicas import Replicas
from tenantry.tenancy.resources import (
    ADMISSION_CONFIGURATIONS,
    API_CONVERSIONS,
    API_EXPORT_ENDPOINT_SLICES,
    API_EXPORTS,
    API_RESOURCE_SCHEMAS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    LOGICAL_CLUSTERS,
    PARTITIONS,
    SHARDS,
    VIRTUAL_WORKSPACES,
    WORKSPACE_AUTHENTICATION_CONFIGURATIONS,
    WORKSPACE_TYPES,
    WORKSPACES,
)
from tenantry.tenancy.types import SystemDefinitions, cached_resource_names
from tenantry.tenancy.types.phase_fields import SCHEDULING, UNAVAILABLE
from tenantry.tenancy.types.view_type import Copy
from tenantry.tenancy.types.workspace import CLUSTER_ANNOTATION
from tenantry.tenancy.well_known import SYSTEM_ADMIN

ENDED = "tenantry/ended"
"""Catalog entries of deleted logical clusters whose Workspace is on another shard: (parent cluster, name) → {cluster, uid}.
That shard removes the Workspace and the entry."""
NOTHING: Mapping[bytes, bytes | None] = {}
COPIED_FOR_PROVIDERS = (LOGICAL_CLUSTERS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, *ADMISSION_CONFIGURATIONS)
"""Resources that are copied for providers only. Of other clusters, only objects that decide about access are copied."""
FIRST_COPIES = 40
"""The most RBAC objects that are copied in the transaction of a cluster's first export or workspace type.
`tenantry.tenancy.workspaces.role_copies_controller` copies the others."""

NO_STATUS: Object = {"status": {"pending": True}}
"""In the copy of a VirtualWorkspace whose status is not written yet: its URLs are nowhere, so it shows nothing."""

MakeCopy = Callable[[Object], Object | None]
"""Makes the copy of an object, in the shape of its storage version; None: it has none."""

_DROPPED_METADATA = frozenset({"managedFields", "resourceVersion"})
_NOT_COPIED = frozenset({"apiVersion", "kind", "metadata"})


def _whole(obj: Object) -> Object:
    # The metadata comes first, so that the copy is in the form of a stored value (`kube.codec.stored`) and can be served as one.
    copy: Object = {"metadata": {k: v for k, v in obj["metadata"].items() if k not in _DROPPED_METADATA}}
    copy.update((k, v) for k, v in obj.items() if k not in _NOT_COPIED)
    return copy


def _part(resource: str, copied: Copy, obj: Object) -> Object | None:
    """What the package of a view copies of an object. An error of it must not fail the write of the object."""
    try:
        return copied(orjson.loads(orjson.dumps(obj)))
    except Exception:  # a package's function may raise any error
        raised(f"making the copy of an object of {resource}, which gets none")
        return None


def _rules(role: Object) -> Object:
    return {"metadata": {"name": role["metadata"]["name"]}, "rules": role.get("rules") or []}


def _subjects(binding: Object) -> Object:
    role = binding.get("roleRef") or {}
    return {
        "metadata": {"name": binding["metadata"]["name"]},
        "roleRef": {"kind": role.get("kind"), "name": role.get("name")},
        "subjects": [{k: v for k, v in each.items() if k != "apiGroup"} for each in binding.get("subjects") or ()],
    }


def _without_counts(obj: Object) -> Object:
    copy = _whole(obj)
    status = copy.get("status")
    if status:
        # They change with each replicated object, and no other shard reads them.
        copy["status"] = {k: v for k, v in status.items() if k != "resourceCounts"}
    return copy


def _without_endpoints(obj: Object) -> Object:
    copy = _whole(obj)
    status = copy.get("status")
    if status:
        copy["status"] = {k: v for k, v in status.items() if k != "endpoints"}
    return copy


def _declaration(obj: Object) -> Object:
    """Without the status, which no other shard reads, but for whether there is one."""
    copy = {key: value for key, value in _whole(obj).items() if key != "status"}
    return copy if obj.get("status") else {**copy, **NO_STATUS}


def project_workspace(obj: Object) -> Object | None:
    """The entry of a Workspace in the path index: cluster, uid, type, and the phase if it is Unavailable or Scheduling. None: the
    Workspace has no cluster id yet.

    Scheduling: the cluster has an id, and so counts for the capacity of its range, but may not exist yet.
    """
    spec = obj.get("spec") or {}
    cluster = spec.get("cluster") or annotations_of(obj).get(CLUSTER_ANNOTATION)
    if not cluster:
        return None
    copy: Object = {"cluster": cluster, "uid": obj["metadata"].get("uid", "")}
    reference = spec.get("type")
    if reference:
        copy["type"] = f"{reference.get('path', '')}:{reference['name']}"
    if not spec.get("cluster"):
        copy["phase"] = SCHEDULING
    elif (obj.get("status") or {}).get("phase") == UNAVAILABLE:
        copy["phase"] = UNAVAILABLE
    return copy


_COPIED: Mapping[str, MakeCopy] = {
    API_EXPORTS: _whole,
    API_RESOURCE_SCHEMAS: _whole,
    API_CONVERSIONS: _whole,
    API_EXPORT_ENDPOINT_SLICES: _without_endpoints,
    VIRTUAL_WORKSPACES: _declaration,
    WORKSPACE_TYPES: _whole,
    WORKSPACE_AUTHENTICATION_CONFIGURATIONS: _whole,
    WORKSPACES: project_workspace,
    SHARDS: _whole,
    PARTITIONS: _whole,
    LOGICAL_CLUSTERS: _whole,
    CLUSTER_ROLES: _rules,
    CLUSTER_ROLE_BINDINGS: _subjects,
    **dict.fromkeys(ADMISSION_CONFIGURATIONS, _whole),
    **{names.resource: _without_counts for names in cached_resource_names.BOTH},
    **{names.slice_resource: _without_endpoints for names in cached_resource_names.BOTH},
}
_NOTED_PROVIDERS = (API_EXPORTS, WORKSPACE_TYPES)
"""A cluster that has one of these is a provider."""


def copied_view_types(definitions: SystemDefinitions) -> Mapping[str, MakeCopy]:
    """How copies of objects of the types of views are made, by resource, of those types that ask for copies."""
    return {
        each.type.resource: partial(_part, each.type.resource, each.type.copied) if callable(each.type.copied) else _whole
        for each in definitions.added
        if each.type.copied
    }


class Copies:
    """Makes the copies of the objects that this shard writes."""

    def __init__(self, cell: Cell, catalog: Catalog, definitions: SystemDefinitions, publications: Publications) -> None:
        self._cell = cell
        self._catalog = catalog
        self._definitions = definitions
        self._published = publications.by_cluster
        self._replicas = Replicas(catalog, publications, _whole)
        self._access_rules = AccessRules(cell, catalog)
        own = copied_view_types(definitions)
        self._copied: Mapping[str, MakeCopy] = {**_COPIED, **own}
        self._names = {(resource.split("/")[0], resource.split("/")[1]): resource for resource in self._copied}
        self.of_providers: Sequence[str] = (*_NOTED_PROVIDERS, *own)
        """The resources whose objects make a cluster a provider. Names as in the catalog."""

    def of(self, definition: ResourceDefinition, key: Key, obj: Object | None) -> Mapping[bytes, bytes | None]:
        """The catalog copies that belong into the transaction that writes `obj` at `key` (None: deletes it).

        `obj` is in the storage version's shape. Copies that would not change are left out.
        """
        resource = self._names.get((definition.group, definition.plural))
        if resource is None or not self._is_own(resource, definition.identity, custom=definition.custom):
            copies = NOTHING
        else:
            copies = self._of_own(resource, key, obj)
        published = self._published.get(key.cluster)
        return copies if published is None else {**copies, **self._replicas.of(published, definition, key, obj)}

    def replicas(
        self, definition: ResourceDefinition, key: Key, obj: Object | None, taken: Usage
    ) -> Mapping[bytes, bytes | None]:
        """The copies for consumers of replicated resources, as `of`. `taken`: what the same transaction adds to them."""
        return self._replicas.of(self._published.get(key.cluster, {}), definition, key, obj, taken)

    def _of_own(self, resource: str, key: Key, obj: Object | None) -> Mapping[bytes, bytes | None]:
        """The copies of an object of one of the system's types."""
        if obj is None:
            if resource == CLUSTER_ROLE_BINDINGS and key.name == OWNER_BINDING:
                obj = self._access_rules.revoked_owner_binding(key.cluster)
            return self._copy(resource, key.cluster, key.name, obj)
        if resource in COPIED_FOR_PROVIDERS:
            wanted = self._catalog.entry(resource, key.cluster, key.name) is not None or self._is_wanted(
                resource, key.cluster, obj
            )
            return self._copy(resource, key.cluster, key.name, obj) if wanted else NOTHING
        copy = self._copy(resource, key.cluster, key.name, obj)
        if resource in self.of_providers and not self.is_provider(key.cluster):
            found = dict(copy)
            for _, more in self.missing_copies(key.cluster, FIRST_COPIES, provider=True):
                found.update(more)
            return found
        return copy

    def removed(self, key: Key) -> Mapping[bytes, bytes | None]:
        """The changes to the catalog when the object at `key` is removed."""
        copies = self._removed_own(key)
        published = self._published.get(key.cluster)
        return copies if published is None else {**copies, **self._replicas.removed(published, key)}

    def _removed_own(self, key: Key) -> Mapping[bytes, bytes | None]:
        resource, _, identity = key.resource.partition(":")
        if resource not in self._copied or not self._is_own(resource, identity, custom=True):
            return NOTHING
        removed = self._copy(resource, key.cluster, key.name, None)
        binding = Key(key.cluster, CLUSTER_ROLE_BINDINGS, "", OWNER_BINDING)
        if resource == LOGICAL_CLUSTERS and self._cell.range_of(key.cluster).get(binding) is None:
            # The copy that says that the owner's binding was deleted is removed with the cluster.
            return {**removed, **self._copy(CLUSTER_ROLE_BINDINGS, key.cluster, OWNER_BINDING, None)}
        return removed

    def _is_own(self, resource: str, identity: str, *, custom: bool) -> bool:
        """Whether it is the system's type: a tenant may have a custom type of the same name, which is not copied."""
        if not custom:
            return True
        group, plural = resource.split("/")
        own = self._definitions.find(group, plural)
        return own is not None and own.identity == identity

    def is_provider(self, cluster: str) -> bool:
        """Whether the cluster has an export or a workspace type, which other clusters may use, or an object of a view that is
        copied, about which every shard decides."""
        return cluster == SYSTEM_ADMIN or any(self._catalog.has_any(resource, cluster) for resource in self.of_providers)

    def _is_wanted(self, resource: str, cluster: str, obj: Object) -> bool:
        if self.is_provider(cluster):
            return True
        return resource not in ADMISSION_CONFIGURATIONS and self._access_rules.decides_access(resource, cluster, obj)

    def uncopied(self, cluster: str, limit: int, *, provider: bool = False) -> list[tuple[Record, Object]]:
        """At most `limit` objects of a cluster of this shard that need a copy and have none. `provider`: as if it were a
        provider."""
        range_ = self._cell.range_of(cluster)
        found: list[tuple[Record, Object]] = []
        for resource in COPIED_FOR_PROVIDERS:
            for record in range_.list(resource, cluster):
                if len(found) == limit:
                    return found
                if self._catalog.entry(resource, cluster, record.key.name) is None:
                    obj = orjson.loads(record.value)
                    if provider or self._is_wanted(resource, cluster, obj):
                        found.append((record, obj))
        return found

    def missing_copies(
        self, cluster: str, limit: int, *, provider: bool = False
    ) -> list[tuple[Record, Mapping[bytes, bytes | None]]]:
        """As `uncopied`, each object with its copy to write."""
        return [
            (record, self._copy(record.key.resource, cluster, record.key.name, obj))
            for record, obj in self.uncopied(cluster, limit, provider=provider)
        ]

    def _copy(self, resource: str, cluster: str, name: str, obj: Object | None) -> Mapping[bytes, bytes | None]:
        entry = self._catalog.entry(resource, cluster, name)
        content = self._copied[resource](obj) if obj is not None else None
        if content is None:
            return {catalog_key(resource, cluster, name): None} if entry is not None else NOTHING
        raw = exact(orjson.dumps(content))
        if entry is not None and entry.raw == raw:
            return NOTHING
        return {catalog_key(resource, cluster, name): raw}
