"""Which ranges have consumers of an export: a catalog entry for each (export, range), which every shard reads.

The entry is `/catalog/tenantry/consumers/<export cluster>/<export>.<range>`. Its original is a record of the range, in the
cluster with the id of the range's start, which is shorter than the id of any tenant. No API serves it. A controller writes and
removes the record and the entry when the number of bindings changes between zero and more. It is level-triggered, so concurrent
changes need no special care.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

from tenantry.base.time_slices import in_slices
from tenantry.controllers.controller import Controller
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.keys import Key, catalog_key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Head, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.exports.binding_index import BindingIndex
from tenantry.tenancy.exports.hashing import EXPORT_LABEL
from tenantry.tenancy.exports.identity_index import ExportKey
from tenantry.tenancy.exports.read_bindings import decoded
from tenantry.tenancy.resources import API_BINDINGS

CONSUMERS = "tenantry/consumers"


def ranges_with_consumers(catalog: Catalog, cluster: str, export: str) -> set[str]:
    """The names of the ranges with at least one binding to an export. `cluster`: id of the export's cluster."""
    found = set()
    for _, name, _ in catalog.list(CONSUMERS, cluster):
        export_name, _, range_name = name.rpartition(".")
        if export_name == export:
            found.add(range_name)
    return found


class ConsumedExport(NamedTuple):
    """The key of the controller: an export, in a range that may have consumers of it."""

    range_start: str
    label: str
    """The export's `hashing.export_hash`."""

    @property
    def record_key(self) -> Key:
        """The storage key of the record."""
        return Key(self.range_start, CONSUMERS, "", self.label)


class ConsumersController(Controller[ConsumedExport]):
    """Keeps the entries of the ranges of this shard up to date."""

    name = "apiexport-consumers"

    def __init__(self, index: BindingIndex, *, cell: Cell) -> None:
        self._cell = cell
        self._index = index

    @property
    def resources(self) -> Sequence[str]:
        return (API_BINDINGS,)

    def cluster_of(self, key: ConsumedExport) -> str:
        return key.range_start

    def keys(self, event: RecordEvent) -> Iterable[ConsumedExport]:
        before = event.previous.head.labels.get(EXPORT_LABEL) if event.previous is not None else None
        after = event.record.head.labels.get(EXPORT_LABEL) if event.record is not None else None
        try:
            start = self._cell.range_of(event.key.cluster).start
        except NotOwned:
            return ()
        return {ConsumedExport(start, label) for label in (before, after) if label is not None}

    async def wait_for_sync(self, range_: Range) -> None:
        await self._index.filled(range_)

    def initial_keys(self, range_: Range) -> Iterable[ConsumedExport | None]:
        yield from (ConsumedExport(range_.start, record.key.name) for record in range_.each(CONSUMERS, range_.start))
        yield from (ConsumedExport(range_.start, label) for label in self._index.labels(range_.name))

    async def reconcile(self, range_: Range, key: ConsumedExport) -> None:
        if key.range_start != range_.start:
            return
        place = key.record_key
        export = await self._export_of(range_, key.label) if range_.get(place) is None else None
        await transact(self._cell, (place,), lambda: self._compute(range_, key, export))

    def _compute(self, range_: Range, key: ConsumedExport, export: ExportKey | None) -> tuple[Change, ...]:
        place = key.record_key
        record = range_.get(place)
        consumed = self._index.count(range_.name, key.label) > 0
        if consumed == (record is not None):
            return ()
        if record is not None:
            gone = decoded(record)["export"]
            entry = catalog_key(CONSUMERS, gone["cluster"], f"{gone['name']}.{range_.name}")
            return (Change(place, None, None, record, {entry: None}),)
        if export is None:
            return ()
        entry = catalog_key(CONSUMERS, export[0], f"{export[1]}.{range_.name}")
        value = orjson.dumps({"metadata": {"name": key.label}, "export": {"cluster": export[0], "name": export[1]}})
        return (Change(place, value, Head(), None, {entry: b"{}"}),)

    async def _export_of(self, range_: Range, label: str) -> ExportKey | None:
        """(cluster id, name) of the export with this hash, read from one of its bindings; None before one is bound."""
        async for key in in_slices(self._index.keys(label), 1):
            record = range_.get(key)
            if record is None:
                continue
            binding = decoded(record)
            cluster = (binding.get("status") or {}).get("apiExportClusterName")
            if cluster:
                return cluster, binding["spec"]["reference"]["export"]["name"]
        return None
