"""Finds the replicated objects that an endpoint slice, or an export with virtual storage, refers to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tenantry.base.broadcast import KeyedBroadcast
from tenantry.kube.objects import GroupResource, Object, annotations_of, is_deleting
from tenantry.kube.status import StatusError, internal
from tenantry.placement.catalog import Catalog
from tenantry.tenancy.exports.export_lookup import Export, ExportLookup
from tenantry.tenancy.exports.identity_index import ExportKey
from tenantry.tenancy.exports.read_bindings import reference_of
from tenantry.tenancy.exports.virtual_storage import virtual_resource
from tenantry.tenancy.replication.publications import Publication, group_resource_of
from tenantry.tenancy.resources import API_EXPORTS
from tenantry.tenancy.types.cached_resource_names import BOTH, GROUP, CachedResourceNames

REPLICATION_STARTED = "ReplicationStarted"
REPLICATED_ANNOTATION = "internal.cache.kcp.io/replicated"
"""The id of the publication whose copies are all there. Only the system sets it. After a change of the resource it names the
publication before, so that no consumer sees half of the objects."""
_CACHED_RESOURCES = frozenset(names.resource for names in BOTH)
_SLICES = {(GROUP, names.slice_kind): names for names in BOTH}


class Replicated(NamedTuple):
    """The objects of one ClusterCachedResource, in the state of its present spec. `id`: names their copies. `version`: in whose
    shape they are. `schema`: the name of the APIResourceSchema under which the export serves them."""

    id: str
    version: str
    schema: str


class CachedResource(NamedTuple):
    """A ClusterCachedResource with its cluster (id)."""

    cluster: str
    object: Object


class Served(NamedTuple):
    """A resource of an export, as virtual storage serves it."""

    export: ExportKey
    resource: GroupResource


class ReplicationLookup:
    """Answers from the catalog, so the provider may be on any shard.

    An identity hash is what entitles an export to the objects of another workspace: only who may read the ClusterCachedResource
    knows it. So it has to be equal in the export and in the ClusterCachedResource, wherever they are. That of an export does not
    count in other workspaces, because its consumers know it.
    """

    def __init__(self, catalog: Catalog, exports: ExportLookup) -> None:
        self._catalog = catalog
        self._exports = exports
        self._subscribers: KeyedBroadcast[Served, []] = KeyedBroadcast("a reader of replicated objects")
        self._watched: dict[Served, Replicated | None] = {}
        """What those with subscribers served when it was looked at last."""
        for resource in (API_EXPORTS, *(each for names in BOTH for each in (names.resource, names.slice_resource))):
            catalog.subscribe(resource, self._changed)

    def served(self, served: Served) -> Replicated:
        """The replicated objects that an export serves for a resource. Raises StatusError 500 in kcp's words if there are none at
        the moment."""
        (cluster, name), resource = served
        export = self._exports.get(cluster, name)
        entry = virtual_resource(export, *resource) if export is not None else None
        slice_name = _slice_of(entry)
        if export is None or entry is None or slice_name is None:
            raise unresolved(resource)
        names, own_name = slice_name
        endpoint_slice = self.slice(names, cluster, own_name)
        if endpoint_slice is None:
            place = GroupResource(GROUP, names.slice_plural)
            raise internal(f'error resolving resource: {place} "{own_name}" not found')
        found = self._replicated(names, cluster, endpoint_slice, Export(cluster, name, export), resource, entry)
        if found is None:
            raise unresolved(resource)
        return found

    def slice(self, names: CachedResourceNames, cluster: str, name: str) -> Object | None:
        return self._catalog.get(names.slice_resource, cluster, name)

    def has_slice(self, served: Served) -> bool:
        """Whether the endpoint slice is there to which an export refers for a resource."""
        (cluster, name), resource = served
        export = self._exports.get(cluster, name)
        slice_name = _slice_of(virtual_resource(export, *resource)) if export is not None else None
        return slice_name is not None and self.slice(slice_name[0], cluster, slice_name[1]) is not None

    def served_by_slice(self, names: CachedResourceNames, cluster: str, name: str) -> Served | None:
        """The resource that an endpoint slice serves: that of its export which refers to it. None if it serves nothing."""
        endpoint_slice = self.slice(names, cluster, name)
        export = self.export_of(cluster, endpoint_slice) if endpoint_slice is not None else None
        if export is None:
            return None
        for entry in (export.object.get("spec") or {}).get("resources") or ():
            reference = ((entry.get("storage") or {}).get("virtual") or {}).get("reference") or {}
            if reference.get("apiGroup") == GROUP and (reference.get("kind"), reference.get("name")) == (names.slice_kind, name):
                return Served((export.cluster, export.name), GroupResource(entry.get("group") or "", entry["name"]))
        return None

    def identity_for(self, names: CachedResourceNames, cluster: str, name: str) -> str:
        """The identity hash that the export of an endpoint slice expects of its objects; empty if there is none."""
        served = self.served_by_slice(names, cluster, name)
        export = self._exports.get(*served.export) if served is not None else None
        entry = virtual_resource(export, *served.resource) if export is not None and served is not None else None
        return (entry["storage"]["virtual"].get("identityHash") or "") if entry is not None else ""

    def export_of(self, cluster: str, endpoint_slice: Object) -> Export | None:
        """The export of a slice in `cluster`. It is in the same cluster: exports refer to slices by name."""
        path, name = reference_of(endpoint_slice)
        return self._exports.find(cluster, "", name) if self._exports.resolve_cluster(cluster, path) == cluster else None

    def cached_resource_of(
        self, names: CachedResourceNames, cluster: str, endpoint_slice: Object, identity: str
    ) -> CachedResource | None:
        """The ClusterCachedResource of a slice in `cluster`; None if there is none. One of another cluster has to have this
        identity hash, as no export of its cluster has."""
        reference = (endpoint_slice.get("spec") or {}).get(names.field) or {}
        home = self._exports.resolve_cluster(cluster, reference.get("path") or "")
        found = self._catalog.get(names.resource, home, reference.get("name") or "") if home is not None else None
        if home is None or found is None:
            return None
        if home != cluster:
            secret = identity_of(found) == identity and all(
                each.cluster != home for each in self._exports.with_identity(identity)
            )
            if not identity or not secret:
                return None
        return CachedResource(home, found)

    def subscribe(self, served: Served, changed: Callable[[], None]) -> Callable[[], None]:
        """Calls `changed` when an export serves other objects for a resource, or none any more. Returns a function that ends
        this."""
        unsubscribe = self._subscribers.subscribe(served, changed)
        if served not in self._watched:
            self._watched[served] = self._present(served)

        def stop() -> None:
            unsubscribe()
            if served not in self._subscribers:
                self._watched.pop(served, None)

        return stop

    def _replicated(
        self,
        names: CachedResourceNames,
        cluster: str,
        endpoint_slice: Object,
        export: Export,
        resource: GroupResource,
        entry: Mapping[str, Any],
    ) -> Replicated | None:
        identity = entry["storage"]["virtual"].get("identityHash") or ""
        found = self.cached_resource_of(names, cluster, endpoint_slice, identity)
        if found is None or is_deleting(found.object) or identity_of(found.object) != identity:
            return None
        own = self.export_of(cluster, endpoint_slice)
        spec = found.object.get("spec") or {}
        if own is None or own.name != export.name or group_resource_of(spec) != resource:
            return None
        publication = Publication(found.object["metadata"].get("uid", ""), spec)
        if annotations_of(found.object).get(REPLICATED_ANNOTATION) != publication.id:
            return None
        return Replicated(publication.id, publication.version, entry["schema"])

    def _present(self, served: Served) -> Replicated | None:
        try:
            return self.served(served)
        except StatusError:
            return None

    def _changed(self, resource: str, cluster: str, *_: object) -> None:
        anywhere = resource in _CACHED_RESOURCES
        for served in self._subscribers:
            if served in self._watched and (anywhere or cluster == served.export[0]):
                before, now = self._watched[served], self._present(served)
                self._watched[served] = now
                if before != now:
                    self._subscribers.send(served)


def _slice_of(entry: Mapping[str, Any] | None) -> tuple[CachedResourceNames, str] | None:
    """The endpoint slice to which an entry in `spec.resources` of an APIExport refers: of which type, and its name. None if it
    refers to none."""
    reference = (entry["storage"]["virtual"].get("reference") or {}) if entry is not None else {}
    names = _SLICES.get((reference.get("apiGroup") or "", reference.get("kind") or ""))
    return (names, reference["name"]) if names is not None else None


def identity_of(cached_resource: Object) -> str:
    return (cached_resource.get("status") or {}).get("identityHash") or ""


def unresolved(resource: GroupResource) -> StatusError:
    """The error of a consumer whose provider has to repair something (kcp)."""
    return internal(f"error resolving resource {resource}; please contact APIExport owner to resolve")
