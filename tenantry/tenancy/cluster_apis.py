"""The APIs of each logical cluster: built-in types, kcp's types, those of installed views, its CustomResourceDefinitions, and the
APIs that it has bound.

Clusters with the same APIs share one `ApiSet` with its discovery and OpenAPI documents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from weakref import WeakValueDictionary

import orjson

from tenantry.apiserver.deferred import Deferred, SharedWork, decided, may_defer
from tenantry.base.broadcast import KeyedBroadcast
from tenantry.base.cache import Cache
from tenantry.base.tasks import restarting
from tenantry.base.time_slices import in_slices
from tenantry.kube.api_set import ApiSet, ApiSets
from tenantry.kube.custom import definition_from_crd, first_stored_version
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, is_deleting
from tenantry.kube.status import StatusError
from tenantry.kube.workloads.facts import messages
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.bound_definitions import Bound, BoundDefinitions
from tenantry.tenancy.exports.identity_index import IdentityIndex
from tenantry.tenancy.exports.read_bindings import reference_of
from tenantry.tenancy.exports.virtual_storage import is_virtual, not_listed, read_only
from tenantry.tenancy.local_ranges import LocalRanges
from tenantry.tenancy.resources import (
    API_BINDINGS,
    API_EXPORTS,
    API_RESOURCE_SCHEMAS,
    CUSTOM_RESOURCE_DEFINITIONS,
    LOGICAL_CLUSTERS,
)
from tenantry.tenancy.retained_schemas import retained_schema
from tenantry.tenancy.types import SystemDefinitions

_SOURCES = (API_BINDINGS, CUSTOM_RESOURCE_DEFINITIONS)
"""If two objects define the same type, the one of the first of these resources counts."""
_CLUSTERS_BYTES_MAX = 16 << 20
_READ_BYTES_MAX = 4 << 20
_SLICE_BYTES = 64 << 10
"""The most bytes of APIBindings and CustomResourceDefinitions that are read in one turn of the event loop. A single larger one
is read in a thread."""
_SLICE_RECORDS = 200
"""The most of them that are combined in one turn of the event loop."""
_READ_ATTEMPTS = 3
"""How often they are read again in slices if they change meanwhile."""
_SETS_BYTES_MAX = 256 << 20
"""Clusters with equal APIs share a set, so this bounds tenants' own types."""


_Found = dict[tuple[str, str], ResourceDefinition]
"""(group, resource) → definition."""


class ClusterApis:
    """Computes the APIs of a cluster on first use, and caches them until a CustomResourceDefinition, binding or schema
    changes."""

    def __init__(
        self,
        *,
        cell: Cell,
        catalog: Catalog,
        definitions: SystemDefinitions,
        local_ranges: LocalRanges,
        identities: IdentityIndex,
    ) -> None:
        self._cell = cell
        self._catalog = catalog
        self._definitions = definitions
        self._local_ranges = local_ranges
        self._identities = identities
        self._base = tuple(definitions.everywhere)
        self._taken = frozenset(d.group_resource for d in self._base)
        self._clusters: Cache[str, int] = Cache("cluster_apis", bytes_max=_CLUSTERS_BYTES_MAX)
        """Cluster → the number of its set."""
        self._sets = ApiSets("api_sets", bytes_max=_SETS_BYTES_MAX)
        self._nothing = ApiSet(())
        # Definitions are kept alive by the sets that contain them, by views, and by watches.
        self._crds: WeakValueDictionary[str, ResourceDefinition] = WeakValueDictionary()
        self._bound = BoundDefinitions(catalog, definitions)
        # By record and version: when one object changes, only that one is read again.
        self._of_records: WeakValueDictionary[tuple[Key, int], ResourceDefinition] = WeakValueDictionary()
        self._read: Cache[tuple[Key, int], Bound | None] = Cache("cluster_apis_read", bytes_max=_READ_BYTES_MAX)
        """Bindings, and None for CustomResourceDefinitions that are not served."""
        self._readers = SharedWork()
        self._unchanged: set[str] = set()
        """Clusters that are being read and did not change since the start of that."""
        self._ending: set[str] = set()
        self._incomplete: set[str] = set()
        self._subscribers: KeyedBroadcast[str, []] = KeyedBroadcast("a subscriber of a cluster's APIs")
        self._to_notify: dict[str, None] = {}
        """Clusters that changed, have subscribers, and are read in slices before these are called."""
        self._notification_due = asyncio.Event()
        self._notifier: asyncio.Task[None] | None = None
        self._stops: list[Callable[[], None]] = []

    def start(self) -> None:
        self._notifier = restarting(self._notify_all, name="cluster-apis")
        self._stops = [
            self._local_ranges.follow(self._follow),
            self._catalog.subscribe(API_RESOURCE_SCHEMAS, self._schema_changed),
        ]

    def stop(self) -> None:
        if self._notifier is not None:
            self._notifier.cancel()
        for stop in self._stops:
            stop()
        self._stops = []

    def for_cluster(self, cluster: str) -> ApiSet:
        """The APIs of a cluster. Raises NotOwned if this shard does not own its range, Deferred if they have to be read in
        slices."""
        number = self._clusters.get(cluster)
        found = self._sets.numbered(number) if number is not None else None
        if found is None:
            if cluster in self._ending:
                return self._nothing
            if may_defer() and self._is_large(cluster):
                raise Deferred(partial(self._readers.run, cluster, partial(self._read_all, cluster)))
            found = self._compute(cluster)
            self._clusters.put(cluster, found.number)
        return found

    async def read(self, cluster: str) -> ApiSet:
        """The APIs of a cluster, for callers that can await. Raises NotOwned, and StatusError 429 as `decided`."""
        return await decided(partial(self.for_cluster, cluster))

    def for_wildcard(self, resource: str, identity: str) -> ApiSet:
        """The types that are the same in every cluster and, with an identity, the resource of the exports with that identity."""
        extra = [d for d in self._by_identity(resource, identity) if d.group_resource not in self._taken] if identity else []
        return self._sets.of((*self._base, *extra))

    def unlisting(self, apis: ApiSet, unlisted: Collection[ResourceDefinition]) -> ApiSet:
        """The same set, but discovery does not list some of its types."""
        return self._sets.of(not_listed(each) if each in unlisted else each for each in apis) if unlisted else apis

    def subscribe(self, cluster: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` when the cluster's APIs may have changed. Returns a function that ends this."""
        return self._subscribers.subscribe(cluster, callback)

    def bound_definition(self, schema: Object, identity: str) -> ResourceDefinition:
        """The definition of an APIResourceSchema under an identity hash, shared by all clusters that bind it.

        Raises StatusError or ValueError if the schema is invalid.
        """
        return self._bound.of(schema, identity)

    def exported(self, identity: str, group: str, resource: str) -> ResourceDefinition | None:
        """The definition of a resource (plural) of the exports with an identity; None if they have none of this name."""
        return next((d for d in self._by_identity(resource, identity) if d.group == group), None)

    def definition(self, cluster: str, group: str, resource: str) -> ResourceDefinition | None:
        """The definition that a cluster serves for a group and resource (plural); None if it does not serve it."""
        of_group = self.for_cluster(cluster).of_group(group)
        return next((definition for definition in of_group if definition.plural == resource), None)

    def _follow(self, range_: Range) -> Callable[[], None]:
        stops = [
            range_.subscribe(self._changed, CUSTOM_RESOURCE_DEFINITIONS),
            range_.subscribe(self._changed, API_BINDINGS),
            range_.subscribe(self._ended, LOGICAL_CLUSTERS),
        ]

        def stop() -> None:
            for each in stops:
                each()
            for cluster in [cluster for cluster in self._clusters if cluster in range_]:
                self._clusters.pop(cluster)
            self._incomplete = {cluster for cluster in self._incomplete if cluster not in range_}
            self._unchanged = {cluster for cluster in self._unchanged if cluster not in range_}

        return stop

    def _changed(self, events: Sequence[RecordEvent]) -> None:
        self._forget({event.key.cluster for event in events})

    def _ended(self, events: Sequence[RecordEvent]) -> None:
        """A deleted cluster serves nothing: its watches end, and its cached APIs are dropped."""
        for event in events:
            if event.record is None:
                self._incomplete.discard(event.key.cluster)
                self._ending.add(event.key.cluster)
                self._forget((event.key.cluster,))
                self._ending.discard(event.key.cluster)

    def _schema_changed(self, resource: str, cluster: str, name: str, obj: Object | None) -> None:
        if obj is not None and self._incomplete:
            waiting, self._incomplete = self._incomplete, set()
            self._forget(waiting)

    def _forget(self, clusters: Iterable[str]) -> None:
        for cluster in clusters:
            self._clusters.pop(cluster)
            self._unchanged.discard(cluster)
            if cluster not in self._subscribers:
                continue
            if cluster not in self._ending and self._is_large(cluster):
                self._to_notify[cluster] = None
                self._notification_due.set()
            else:
                self._subscribers.send(cluster)

    async def _notify_all(self) -> None:
        """Reads the APIs of changed clusters before it calls their subscribers, which ask for them at once."""
        self._notification_due.set()
        while True:
            await self._notification_due.wait()
            self._notification_due.clear()
            for cluster in tuple(self._to_notify):
                try:
                    await self.read(cluster)
                except NotOwned:
                    # Watches of the range end here; its new owner notifies its own subscribers.
                    self._to_notify.pop(cluster, None)
                except StatusError:
                    # It changes faster than it can be read.
                    self._notification_due.set()
                else:
                    self._to_notify.pop(cluster, None)
                    self._subscribers.send(cluster)

    def _records(self, cluster: str) -> Iterator[Record]:
        range_ = self._cell.range_of(cluster)
        for resource in _SOURCES:
            yield from range_.each(resource, cluster)

    def _is_read(self, record: Record) -> bool:
        place = (record.key, record.version)
        return place in self._of_records or place in self._read

    def _is_large(self, cluster: str) -> bool:
        """Whether the cluster's objects or bound schemas are too many or too large to be read in one turn of the event loop."""
        range_ = self._cell.range_of(cluster)
        if range_.usage(cluster)[1] <= _SLICE_BYTES:
            return self._has_large_schemas(cluster)
        if sum(range_.count(resource, cluster) for resource in _SOURCES) > _SLICE_RECORDS:
            return True
        total = 0
        for record in self._records(cluster):
            total += 0 if self._is_read(record) else len(record.value)
            if total > _SLICE_BYTES:
                return True
        return self._has_large_schemas(cluster)

    def _has_large_schemas(self, cluster: str) -> bool:
        return self._bound.are_large(map(self._bound_by, self._cell.range_of(cluster).each(API_BINDINGS, cluster)))

    async def _read_all(self, cluster: str) -> None:
        """Does what `for_cluster` does, in slices; large objects are read in a thread."""
        try:
            for _ in range(_READ_ATTEMPTS):
                self._unchanged.add(cluster)
                made = await asyncio.to_thread(self._set_of, await self._read_records(cluster))
                if cluster in self._unchanged:
                    self._clusters.put(cluster, made.number)
                    return
        finally:
            self._unchanged.discard(cluster)
        # Nearly all of it is read by now.
        self._clusters.put(cluster, self._compute(cluster).number)

    async def _read_records(self, cluster: str) -> _Found:
        found: _Found = {}
        kept: list[ResourceDefinition] = []
        async for record in in_slices(self._records(cluster), 1):
            if record.key.resource == API_BINDINGS:
                kept += await self._bound.read(self._bound_by(record))
            is_large = len(record.value) > _SLICE_BYTES and record.key.resource == CUSTOM_RESOURCE_DEFINITIONS
            serve = partial(self._served_by, cluster, record)
            _add(found, await asyncio.to_thread(serve) if is_large else serve())
        return found

    def _compute(self, cluster: str) -> ApiSet:
        found: _Found = {}
        for record in self._records(cluster):
            _add(found, self._served_by(cluster, record))
        return self._set_of(found)

    def _served_by(self, cluster: str, record: Record) -> Iterable[ResourceDefinition]:
        if record.key.resource == API_BINDINGS:
            return self._of_binding(cluster, self._bound_by(record))
        own = self._of_crd(record)
        return (own,) if own is not None else ()

    def _set_of(self, found: _Found) -> ApiSet:
        return self._sets.of((*self._base, *(found[key] for key in sorted(found) if key not in self._taken)))

    def _bound_by(self, record: Record) -> Bound:
        place = (record.key, record.version)
        found = self._read.get(place)
        if found is None:
            binding: Object = orjson.loads(record.value)
            status = binding.get("status") or {}
            schemas = [(bound["schema"], is_virtual(bound)) for bound in status.get("boundResources") or ()]
            found = Bound(
                (status.get("apiExportClusterName", ""), reference_of(binding)[1]),
                is_deleting(binding),
                tuple((schema["UID"], schema["name"], schema["identityHash"], virtual) for schema, virtual in schemas),
            )
            self._read.put(place, found)
        return found

    def _of_binding(self, cluster: str, bound: Bound) -> Iterable[ResourceDefinition]:
        for uid, name, identity, virtual in bound.schemas:
            definition = self._bound.get(uid, identity)
            if definition is None:
                copy = self._catalog.get(API_RESOURCE_SCHEMAS, bound.export[0], name)
                if copy is None or copy["metadata"]["uid"] != uid:
                    copy = retained_schema(self._cell.range_of(cluster), uid)
                if copy is None:
                    self._incomplete.add(cluster)
                    continue
                definition = self.bound_definition(copy, identity)
            if virtual:
                definition = read_only(definition, bound.export)
            yield self._as_terminating(definition) if bound.deleting else definition

    def _of_crd(self, record: Record) -> ResourceDefinition | None:
        place = (record.key, record.version)
        found = self._of_records.get(place)
        if found is None and place not in self._read:
            found = self._defined_by(orjson.loads(record.value))
            if found is not None:
                self._of_records[place] = found
            else:
                self._read.put(place, None)
        return found

    def _defined_by(self, crd: Object) -> ResourceDefinition | None:
        """None for a CustomResourceDefinition that is not served."""
        conditions = {c.get("type"): c.get("status") for c in (crd.get("status") or {}).get("conditions") or ()}
        if conditions.get("Established") != "True":
            return None
        metadata = crd["metadata"]
        stored_first = first_stored_version(crd)
        fingerprint = f"{metadata['uid']}/{metadata.get('generation')}/{stored_first}/{crd['status'].get('acceptedNames')}"
        known = self._crds.get(fingerprint)
        if known is None:
            known = self._crds[fingerprint] = definition_from_crd(crd)
        deleting = is_deleting(crd) or conditions.get("Terminating") == "True"
        return self._as_terminating(known) if deleting else known

    def _as_terminating(self, definition: ResourceDefinition) -> ResourceDefinition:
        memo = definition.versions[definition.storage_version].memo
        key = ("tenancy.terminating", definition.identity)
        found: ResourceDefinition | None = memo.get(key)
        if found is None:
            found = memo[key] = replace(definition, terminating=True, origin=definition)
        return found

    def _by_identity(self, resource: str, identity: str) -> Iterable[ResourceDefinition]:
        if self._definitions.takes_long(identity) and may_defer():
            raise Deferred(partial(self._readers.run, identity, partial(asyncio.to_thread, messages)))
        own = self._definitions.of_identity(resource, identity)
        if own is not None:
            return (own,)
        for cluster, name in self._identities.exports(identity):
            export = self._catalog.get(API_EXPORTS, cluster, name) or {}
            for entry in (export.get("spec") or {}).get("resources") or ():
                if entry.get("name") == resource:
                    schema = self._catalog.get(API_RESOURCE_SCHEMAS, cluster, entry["schema"])
                    if schema is not None:
                        definition = self.bound_definition(schema, identity)
                        virtual = (entry.get("storage") or {}).get("virtual")
                        return (read_only(definition, (cluster, name)) if virtual else definition,)
        return ()


def _add(found: _Found, definitions: Iterable[ResourceDefinition]) -> None:
    for definition in definitions:
        found.setdefault(definition.group_resource, definition)
