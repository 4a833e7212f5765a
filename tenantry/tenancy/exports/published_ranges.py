"""Says of which ranges the URLs of an export are in every status: the ranges may then show their objects to the provider.

A range with its first consumer of an export is pending: the views of the export show nothing of it (`consumers.py`). The
controllers of endpoint slices and of the other objects in the workspace of the export write its URL. When all have, this
controller writes the catalog entry `/catalog/tenantry/published/<export cluster>/<export>`, with the token of each pending range.
The owner of the range then opens it, and its token is gone, here too. So there are entries only while ranges are pending.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from tenantry.base.time_slices import in_slices
from tenantry.controllers.cluster_controller import ClusterController
from tenantry.kube.objects import Object, annotations_of
from tenantry.placement.catalog import Catalog
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key, catalog_key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Head, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.exports.consumers import CONSUMERS, PUBLISHED, PUBLISHING, pending_ranges
from tenantry.tenancy.exports.export_urls import export_url
from tenantry.tenancy.exports.identity_index import ExportKey
from tenantry.tenancy.exports.read_bindings import decoded
from tenantry.tenancy.exports.written_statuses import WrittenStatuses
from tenantry.tenancy.resources import API_EXPORT_ENDPOINT_SLICES, API_EXPORTS
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.api_export import SKIP_ANNOTATION


def publishing_types(definitions: SystemDefinitions) -> Sequence[str]:
    """The resources of the types of views whose objects have URLs of exports in their status."""
    return [each.type.resource for each in definitions.added if each.type.export_of and each.type.status]


class PublishedRangesController(ClusterController):
    """Keeps the entries of the exports of this shard up to date. Its keys are the clusters of exports.

    Objects in other workspaces than the export count for nothing here: else any tenant with one could keep a provider from its
    consumers.
    """

    name = "apiexport-published-ranges"
    workers = 1

    def __init__(
        self,
        written: WrittenStatuses,
        *,
        cell: Cell,
        catalog: Catalog,
        definitions: SystemDefinitions,
        urls: Urls,
        publish_on_exports: bool,
    ) -> None:
        """`publish_on_exports`: whether `APIExport.status.virtualWorkspaces` has URLs, too."""
        self._written = written
        self._cell = cell
        self._catalog = catalog
        self._urls = urls
        self._publish_on_exports = publish_on_exports
        self._publish = (*PUBLISHING, *publishing_types(definitions))
        self._since: dict[str, dict[str, int]] = {}
        """By cluster and name of an entry of `CONSUMERS`: the first number of the statuses that have a pending range."""
        self._behind: dict[ExportKey, Key] = {}
        """An object whose status was behind when it was looked at last. While it is, the others need no look."""
        catalog.subscribe(CONSUMERS, self._consumers_changed)
        written.follow(self._status_written)

    @property
    def resources(self) -> Sequence[str]:
        return (API_EXPORTS, API_EXPORT_ENDPOINT_SLICES)

    def keys(self, event: RecordEvent) -> Iterable[str]:
        return (event.key.cluster,) if event.key.cluster in self._since else ()

    def initial_keys(self, range_: Range) -> Iterable[str | None]:
        for cluster in range_.clusters(API_EXPORTS):
            pending = pending_ranges(self._catalog, cluster)
            for export, ranges in pending.items():
                for name in ranges:
                    self._since.setdefault(cluster, {}).setdefault(f"{export}.{name}", 0)
            yield cluster if pending else None
        yield from {record.key.name.partition(".")[0] for record in range_.each(PUBLISHED, range_.start)}

    def released(self, range_: Range) -> None:
        self._written.released(range_)

    async def reconcile(self, range_: Range, key: str) -> None:
        pending = pending_ranges(self._catalog, key)
        for name in {*pending, *self._catalog.names_in(PUBLISHED, key)}:
            wanted = await self._published(range_, (key, name), pending.get(name, {}))
            await self._write(range_, (key, name), wanted)

    async def _published(self, range_: Range, export: ExportKey, pending: dict[str, str]) -> dict[str, str]:
        """The pending ranges whose URLs are in all statuses, with their tokens."""
        known = (self._catalog.get(PUBLISHED, *export) or {}).get("ranges") or {}
        published = {name: token for name, token in pending.items() if known.get(name) == token}
        since = self._since.get(export[0], {})
        waiting = {name: since.get(f"{export[1]}.{name}", 0) for name in pending if name not in published}
        record = range_.get(Key(export[0], API_EXPORTS, "", export[1]))
        if not waiting or record is None:
            self._behind.pop(export, None)
            return published
        obj = decoded(record)
        own_slice = range_.get(Key(export[0], API_EXPORT_ENDPOINT_SLICES, "", export[1]))
        if own_slice is None and SKIP_ANNOTATION not in annotations_of(obj):
            # It is about to be created.
            return published
        number = await self._oldest(range_, export, min(waiting.values()))
        ready = {name: pending[name] for name, first in waiting.items() if number is None or number >= first}
        if self._publish_on_exports:
            listed = _urls_of(obj)
            ready = {name: ready[name] for name in ready if export_url(self._urls, name, *export) in listed}
        return {**published, **ready}

    async def _oldest(self, range_: Range, export: ExportKey, first: int) -> int | None:
        """The lowest number of a status about the export, or any below `first`; None: there is none."""
        behind = self._behind.get(export)
        if behind is not None and (number := self._number(range_, behind, export)) is not None and number < first:
            return number
        self._behind.pop(export, None)
        oldest: int | None = None
        for resource in self._publish:
            async for record in in_slices(range_.list(resource, export[0])):
                number = self._number(range_, record.key, export)
                if number is None:
                    continue
                if number < first:
                    self._behind[export] = record.key
                    return number
                oldest = number if oldest is None else min(oldest, number)
        return oldest

    def _number(self, range_: Range, key: Key, export: ExportKey) -> int | None:
        """The number of the status of an object; -1: it is not known yet. None: the object is gone, or about something else."""
        if range_.get(key) is None:
            return None
        status = self._written.of(key)
        if status is None:
            return -1
        return status.number if status.export == export else None

    async def _write(self, range_: Range, export: ExportKey, ranges: dict[str, str]) -> None:
        place = Key(range_.start, PUBLISHED, "", ".".join(export))
        entry = catalog_key(PUBLISHED, *export)

        def compute() -> Sequence[Change]:
            record = range_.get(place)
            if not ranges:
                return (Change(place, None, None, record, {entry: None}),) if record is not None else ()
            value = orjson.dumps({"metadata": {"name": place.name}, "ranges": ranges}, option=orjson.OPT_SORT_KEYS)
            if record is not None and record.value == value:
                return ()
            return (Change(place, value, Head(), record, {entry: value}),)

        await transact(self._cell, (place,), compute)

    def _consumers_changed(self, _: str, cluster: str, name: str, entry: Object | None) -> None:
        if entry:
            self._since.setdefault(cluster, {})[name] = self._written.next()
            self.enqueue(cluster)
        elif (waiting := self._since.get(cluster)) is not None:
            waiting.pop(name, None)
            if not waiting:
                del self._since[cluster]
            self.enqueue(cluster)

    def _status_written(self, key: Key) -> None:
        if key.cluster in self._since:
            self.enqueue(key.cluster)


def _urls_of(export: Object) -> set[str]:
    return {entry["url"] for entry in (export.get("status") or {}).get("virtualWorkspaces") or ()}
