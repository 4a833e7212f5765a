"""The controllers of APIExportEndpointSlices, where a provider finds its consumers: one URL for each range that has any (kcp)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, annotations_of, timestamp
from tenantry.kube.selectors import labels as label_selectors
from tenantry.kube.selectors.labels import LabelSelector
from tenantry.placement.catalog import Catalog
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.exports.conditions import mark_false, mark_true
from tenantry.tenancy.exports.consumers import CONSUMERS, ranges_with_consumers
from tenantry.tenancy.exports.export_lookup import Export, ExportLookup
from tenantry.tenancy.exports.export_urls import export_url
from tenantry.tenancy.exports.identity_index import ExportKey
from tenantry.tenancy.exports.objects_by_export import ObjectsByExport
from tenantry.tenancy.exports.read_bindings import decoded, reference_of
from tenantry.tenancy.exports.update_object import revise
from tenantry.tenancy.exports.written_statuses import WrittenStatuses
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.resources import API_EXPORT_ENDPOINT_SLICES, API_EXPORTS, PARTITIONS, SHARDS
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.api_export import SKIP_ANNOTATION
from tenantry.tenancy.well_known import PATH_ANNOTATION, ROOT

_EVERY_RANGE = label_selectors.parse("")


class DefaultEndpointSliceController(ObjectController):
    """Creates an endpoint slice of the same name for every APIExport without the annotation `SKIP_ANNOTATION`."""

    name = "apiexport-endpointslice-creator"

    def __init__(self, *, cell: Cell, definitions: SystemDefinitions, changes: Changes) -> None:
        self._cell = cell
        self._definitions = definitions
        self._changes = changes

    @property
    def resources(self) -> Sequence[str]:
        return (API_EXPORTS, API_EXPORT_ENDPOINT_SLICES)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        if event.key.resource == API_EXPORTS:
            return (event.key,) if event.record is not None else ()
        return (Key(event.key.cluster, API_EXPORTS, "", event.key.name),) if event.record is None else ()

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key for record in range_.each(API_EXPORTS))

    async def reconcile(self, range_: Range, key: Key) -> None:
        place = Key(key.cluster, API_EXPORT_ENDPOINT_SLICES, "", key.name)
        await transact(self._cell, (key, place), lambda: self._compute(range_.get(key), range_.get(place)))

    def _compute(self, record: Record | None, existing: Record | None) -> tuple[Change, ...]:
        if record is None or record.head.deleting or existing is not None:
            return ()
        export = decoded(record)
        if SKIP_ANNOTATION in annotations_of(export):
            return ()
        cluster, name = record.key.cluster, record.key.name
        owner = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIExport", "name": name, "uid": record.head.uid}
        path = annotations_of(export).get(PATH_ANNOTATION) or cluster
        wanted: Object = {
            "metadata": {"name": name, "ownerReferences": [owner]},
            "spec": {"export": {"path": path, "name": name}},
        }
        return (self._changes.created(self._definitions.api_export_endpoint_slices, cluster, wanted),)


class EndpointSliceController(ObjectController):
    """Keeps the status of endpoint slices up to date. It reads exports, consumers and partitions from the catalog.

    Those of other types of slices, whose URLs are also one for each range with a consumer of an export, are subclasses.
    """

    name = "apiexport-endpoints"
    resource = API_EXPORT_ENDPOINT_SLICES
    no_export = "APIExportNotFound"
    """The reason of the condition of a slice without its export."""

    def __init__(
        self,
        *,
        cell: Cell,
        catalog: Catalog,
        definitions: SystemDefinitions,
        range_map: RangeMap,
        urls: Urls,
        changes: Changes,
        exports: ExportLookup,
        written: WrittenStatuses,
    ) -> None:
        self._range_map = range_map
        self._written = written
        self._urls = urls
        self._cell = cell
        self._catalog = catalog
        self._definitions = definitions
        self._changes = changes
        self._exports = exports
        self._by_export = ObjectsByExport()
        self._catalog.subscribe(CONSUMERS, self._consumers_changed)
        self._catalog.subscribe(API_EXPORTS, self._export_changed)
        self._catalog.subscribe(SHARDS, self._partitions_changed)
        self._catalog.subscribe(PARTITIONS, self._partitions_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (self.resource,)

    @property
    def definition(self) -> ResourceDefinition:
        return self._definitions.api_export_endpoint_slices

    def url(self, range_name: str, key: Key, export: Export) -> str:
        """The URL of a range in the slice `key`."""
        return export_url(self._urls, range_name, export.cluster, export.name)

    def find_export(self, key: Key, endpoint_slice: Object) -> Export | None:
        path, name = reference_of(endpoint_slice)
        return self._exports.find(key.cluster, path, name)

    def is_valid(self, key: Key, endpoint_slice: Object, status: Object, now: str) -> bool:
        """Sets the conditions that only this type of slice has. False: the others are not looked at, and there is no URL."""
        return True

    def forget(self, key: Key) -> None:
        """Drops what is known of a slice that is gone, or whose range this shard released."""
        self._by_export.forget(key)
        self._written.forget(key)

    def released(self, range_: Range) -> None:
        for key in self._by_export.in_range(range_):
            self.forget(key)

    async def reconcile(self, range_: Range, key: Key) -> None:
        record = range_.get(key)
        if record is None:
            self.forget(key)
            return
        number = self._written.number

        def change(current: Object) -> bool:
            before = current.get("status") or {}
            current["status"] = self._status(key, current)
            return bool(current["status"] != before)

        await revise(self._cell, self._changes, self.definition, key, change)
        self._written.note(key, self._about(key), number)

    def _about(self, key: Key) -> ExportKey | None:
        """The export that a slice is about, also while there is none: the id of its cluster instead of a path, and the name."""
        known = self._by_export.export_of(key)
        if known is None or self._exports.get(*known) is not None:
            return known
        cluster = self._exports.resolve_cluster(key.cluster, known[0])
        return (cluster, known[1]) if cluster is not None else known

    def _status(self, key: Key, endpoint_slice: Object) -> Object:
        now = timestamp()
        status: Object = dict(endpoint_slice.get("status") or {})
        path, name = reference_of(endpoint_slice)
        export = self.find_export(key, endpoint_slice)
        self._by_export.remember(key, (export.cluster if export is not None else (path or key.cluster), name))
        if not self.is_valid(key, endpoint_slice, status, now):
            status.pop("endpoints", None)
            return status
        selector = self._selector(key, endpoint_slice, status, now)
        if export is None:
            mark_false(status, "APIExportValid", self.no_export, f"APIExport {path or key.cluster}|{name} not found", now)
        else:
            mark_true(status, "APIExportValid", now)
        if export is None or selector is None:
            status.pop("endpoints", None)
            return status
        endpoints = self._endpoints(key, export, selector, status)
        if endpoints:
            status["endpoints"] = endpoints
        else:
            status.pop("endpoints", None)
        return status

    def _endpoints(self, key: Key, export: Export, selector: LabelSelector, status: Object) -> list[Object]:
        """The endpoints of a slice. A range that left the partition but still has consumers stays in the list (kcp)."""
        listed = {endpoint["url"] for endpoint in status.get("endpoints") or ()}
        endpoints = []
        for range_name in sorted(ranges_with_consumers(self._catalog, export.cluster, export.name)):
            url = self.url(range_name, key, export)
            if url in listed or selector.matches(self._range_labels(range_name)):
                endpoints.append({"url": url})
        return endpoints

    def _selector(self, key: Key, endpoint_slice: Object, status: Object, now: str) -> LabelSelector | None:
        name = (endpoint_slice.get("spec") or {}).get("partition")
        if not name:
            mark_true(status, "PartitionValid", now)
            status.pop("shardSelector", None)
            return _EVERY_RANGE
        partition = self._catalog.get(PARTITIONS, key.cluster, name)
        if partition is None:
            mark_false(status, "PartitionValid", "PartitionInvalidReference", f'Partition "{name}" not found', now)
            status.pop("shardSelector", None)
            return None
        try:
            selector = label_selectors.from_object((partition.get("spec") or {}).get("selector") or {})
        except ValueError as error:
            mark_false(status, "PartitionValid", "PartitionInvalidReference", str(error), now)
            return None
        mark_true(status, "PartitionValid", now)
        if str(selector):
            status["shardSelector"] = str(selector)
        else:
            status.pop("shardSelector", None)
        return selector

    def _consumers_changed(self, _: str, cluster: str, name: str, entry: Object | None) -> None:
        self._enqueue(cluster, name.rpartition(".")[0])

    def _export_changed(self, _: str, cluster: str, name: str, export: Object | None) -> None:
        self._enqueue(cluster, name)
        if export is not None:
            self._enqueue(annotations_of(export).get(PATH_ANNOTATION) or cluster, name)

    def _enqueue(self, cluster: str, name: str) -> None:
        if (cluster, name) in self._by_export:
            self.enqueue_all((cluster, name), lambda: self._by_export.of((cluster, name)))

    def _partitions_changed(self, *_: object) -> None:
        self.enqueue_all("partitions", self._by_export.all)

    def _range_labels(self, range_name: str) -> dict[str, str]:
        """The labels of a range: those of its Shard object in root, or those of the map until that exists."""
        shard = self._catalog.get(SHARDS, ROOT, range_name)
        if shard is not None:
            return shard["metadata"].get("labels") or {}
        known = self._range_map.named(range_name)
        return {"name": range_name, **(known.labels if known is not None else {})}
