"""The controller of ClusterCachedResourceEndpointSlices: one URL of the replication view for each range that has a consumer."""

from __future__ import annotations

from typing import Any

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.tenancy.exports.conditions import mark_false, mark_true
from tenantry.tenancy.exports.endpoint_slice_controllers import EndpointSliceController
from tenantry.tenancy.exports.export_lookup import Export
from tenantry.tenancy.replication.cached_resource_controller import RESOURCE_VALID
from tenantry.tenancy.replication.replication_lookup import ReplicationLookup
from tenantry.tenancy.types.cached_resource_names import GROUP, CachedResourceNames


class ReplicationSliceController(EndpointSliceController):
    """One of these for each set of names of the types. A slice and its export are in the same workspace: exports refer to slices
    by name."""

    no_export = "APIExportInvalidReference"

    def __init__(self, names: CachedResourceNames, lookup: ReplicationLookup, **parts: Any) -> None:
        """`parts`: those of `EndpointSliceController`."""
        super().__init__(**parts)
        self.name = f"{names.kind.lower()}-endpoints"
        self.resource = names.slice_resource
        self._names = names
        self._lookup = lookup
        self._waiting: dict[str, set[Key]] = {}
        """Name of a ClusterCachedResource, in whatever cluster → the slices that refer to one of this name."""
        self._refers_to: dict[Key, str] = {}
        self._catalog.subscribe(names.resource, self._cached_resource_changed)

    @property
    def definition(self) -> ResourceDefinition:
        return self._definitions.get(GROUP, self._names.slice_plural)

    def url(self, range_name: str, key: Key, export: Export) -> str:
        return f"{self._urls.range(range_name)}/services/replication/{key.cluster}/{key.name}"

    def find_export(self, key: Key, endpoint_slice: Object) -> Export | None:
        return self._lookup.export_of(key.cluster, endpoint_slice)

    def is_valid(self, key: Key, endpoint_slice: Object, status: Object, now: str) -> bool:
        reference = (endpoint_slice.get("spec") or {}).get(self._names.field) or {}
        name = reference.get("name") or ""
        if self._refers_to.get(key) != name:
            self._drop(key)
            self._refers_to[key] = name
            self._waiting.setdefault(name, set()).add(key)
        identity = self._lookup.identity_for(self._names, key.cluster, key.name)
        if self._lookup.cached_resource_of(self._names, key.cluster, endpoint_slice, identity) is None:
            place = f"{reference.get('path') or key.cluster}|{name}"
            kind = self._names.kind
            mark_false(status, RESOURCE_VALID, f"{kind}NotFound", f"Error getting {kind} {place}", now)
            return False
        mark_true(status, RESOURCE_VALID, now)
        return True

    def forget(self, key: Key) -> None:
        super().forget(key)
        self._drop(key)

    def _drop(self, key: Key) -> None:
        name = self._refers_to.pop(key, None)
        if name is not None:
            self._waiting[name].discard(key)
            if not self._waiting[name]:
                del self._waiting[name]

    def _cached_resource_changed(self, _: str, cluster: str, name: str, obj: Object | None) -> None:
        if name in self._waiting:
            self.enqueue_all(("cached resource", name), lambda: tuple(self._waiting.get(name, ())))
