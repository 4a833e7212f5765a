"""Which ranges have consumers of an export: a catalog entry for each (export, range), which every shard reads.

The entry is `/catalog/tenantry/consumers/<export cluster>/<export>.<range>`. Its original is a record of the range, in the
cluster with the id of the range's start, which is shorter than the id of any tenant. No API serves it. A controller writes and
removes the record and the entry when the number of bindings changes between zero and more. It is level-triggered, so concurrent
changes need no special care.

A record is pending at first: the URL of the range is in no status yet, and the views of the export show nothing of the range.
Its entry has a token that no other entry has. Once that is published (`published_ranges.py`), the record is open until it is
removed. The views look at the record, which is in the range of their objects. So at each version of a range, in every process, it
is clear what a client was shown.

A record is about one export, by its uid. When the export is deleted and another one gets its name, bindings to it stay: then the
record is pending once more, as the statuses lost their URLs meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from tenantry.base.time_slices import in_slices
from tenantry.controllers.controller import Controller
from tenantry.kube.objects import Object, annotations_of
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.keys import Key, catalog_key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Head, Record, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.exports.binding_index import BindingIndex
from tenantry.tenancy.exports.hashing import EXPORT_LABEL, export_hash
from tenantry.tenancy.exports.identity_index import ExportKey
from tenantry.tenancy.exports.read_bindings import decoded, identity_of
from tenantry.tenancy.resources import API_BINDINGS, API_EXPORT_ENDPOINT_SLICES, API_EXPORTS, VIRTUAL_WORKSPACES
from tenantry.tenancy.types.api_export import SKIP_ANNOTATION
from tenantry.tenancy.types.cached_resource_names import BOTH

CONSUMERS = "tenantry/consumers"
PUBLISHED = "tenantry/published"
"""Catalog entries of exports with pending ranges: (export cluster, export) → `ranges`: name → the token of its entry."""
PUBLISHING = (API_EXPORT_ENDPOINT_SLICES, VIRTUAL_WORKSPACES, *(names.slice_resource for names in BOTH))
"""The resources whose objects have URLs of exports in their status. Those of the types of views come to them."""
_PENDING = "pending"
"""The label of a pending record. Its value is the token."""
_OPEN_ENTRY = b"{}"
_WITH_UID = b'"uid":'


def consumers_key(range_: Range, export: ExportKey) -> Key:
    """The key of the record of an export in a range."""
    return Key(range_.start, CONSUMERS, "", export_hash(*export))


def is_open(record: Record | None, uid: bytes = b"") -> bool:
    """Whether a range shows its consumers to the provider, by its record of the export. `uid`: that of the export; empty: it does
    not matter. A record of an earlier release is open, for each export of its name."""
    if record is None or _PENDING in record.head.labels:
        return False
    return uid in record.value or _WITH_UID not in record.value


def ranges_with_consumers(catalog: Catalog, cluster: str, export: str) -> set[str]:
    """The names of the ranges with at least one binding to an export. `cluster`: id of the export's cluster."""
    found = set()
    for _, name, _ in catalog.list(CONSUMERS, cluster):
        export_name, _, range_name = name.rpartition(".")
        if export_name == export:
            found.add(range_name)
    return found


def pending_ranges(catalog: Catalog, cluster: str) -> dict[str, dict[str, str]]:
    """The pending ranges of the exports of a cluster, with the tokens of their entries. By name of the export."""
    found: dict[str, dict[str, str]] = {}
    for name, entry in catalog.entries(CONSUMERS, cluster):
        if entry.raw != _OPEN_ENTRY:
            export, _, range_name = name.rpartition(".")
            found.setdefault(export, {})[range_name] = entry.object["token"]
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

    def __init__(self, index: BindingIndex, *, cell: Cell, catalog: Catalog, others_publish: bool) -> None:
        """`others_publish`: whether objects may have URLs in their status of which the catalog has no copies: those of the types
        of views, and exports."""
        self._others_publish = others_publish
        self._cell = cell
        self._catalog = catalog
        self._index = index
        catalog.subscribe(PUBLISHED, self._published)
        catalog.subscribe(API_EXPORTS, self._export_changed)

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
        if record is None:
            return (self._first(range_, place, export, None),) if consumed and export is not None else ()
        known = decoded(record)["export"]
        export = known["cluster"], known["name"]
        entry = _entry_key(range_, export)
        if not consumed:
            return (Change(place, None, None, record, {entry: None}),)
        if self._is_about_another(record, export):
            return (self._first(range_, place, export, record),)
        token = record.head.labels.get(_PENDING)
        published = (self._catalog.get(PUBLISHED, *export) or {}).get("ranges") or {}
        if token is None or published.get(range_.name) != token:
            return ()
        return (Change(place, _value(key.label, export, known.get("uid", "")), Head(), record, {entry: _OPEN_ENTRY}),)

    def _first(self, range_: Range, place: Key, export: ExportKey, record: Record | None) -> Change:
        """The record with the first consumer. It is pending, unless no status will ever have the URL of the range. `record`: that
        of another export with the name."""
        entry = _entry_key(range_, export)
        uid = self._uid_of(export)
        if self._is_unpublished(export):
            return Change(place, _value(place.name, export, uid), Head(), record, {entry: _OPEN_ENTRY})
        token = secrets.token_hex(8)
        pending = {_PENDING: token}
        return Change(
            place, _value(place.name, export, uid, pending), Head(labels=pending), record, {entry: orjson.dumps({"token": token})}
        )

    def _uid_of(self, export: ExportKey) -> str:
        """The uid of an export; empty if there is none, or while it has no identity, without which it has no view."""
        found = self._catalog.get(API_EXPORTS, *export)
        return str(found["metadata"]["uid"]) if found is not None and identity_of(found) else ""

    def _is_about_another(self, record: Record, export: ExportKey) -> bool:
        """Whether the present export is another one than that of a record."""
        uid = self._uid_of(export).encode()
        return uid not in record.value and (_WITH_UID in record.value or not is_open(record))

    def _is_unpublished(self, export: ExportKey) -> bool:
        """Whether nothing in the workspace of an export has URLs of it, so that its objects wait for no other shard."""
        found = self._catalog.get(API_EXPORTS, *export)
        if found is None or SKIP_ANNOTATION not in annotations_of(found) or self._others_publish:
            return False
        return not any(self._catalog.has_any(resource, export[0]) for resource in PUBLISHING)

    def _published(self, _: str, cluster: str, name: str, entry: Object | None) -> None:
        for range_name in (entry or {}).get("ranges") or ():
            range_ = self._cell.ranges.get(range_name)
            if range_ is not None:
                self.enqueue(ConsumedExport(range_.start, export_hash(cluster, name)))

    def _export_changed(self, _: str, cluster: str, name: str, export: Object | None) -> None:
        if export is None or not self._catalog.has_any(CONSUMERS, cluster):
            return
        for range_name in ranges_with_consumers(self._catalog, cluster, name):
            range_ = self._cell.ranges.get(range_name)
            record = range_.get(consumers_key(range_, (cluster, name))) if range_ is not None else None
            if range_ is not None and record is not None and self._is_about_another(record, (cluster, name)):
                self.enqueue(ConsumedExport(range_.start, record.key.name))

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


def _entry_key(range_: Range, export: ExportKey) -> bytes:
    return catalog_key(CONSUMERS, export[0], f"{export[1]}.{range_.name}")


def _value(label: str, export: ExportKey, uid: str, pending: Mapping[str, str] | None = None) -> bytes:
    metadata: Object = {"name": label}
    if pending:
        metadata["labels"] = pending
    named = {"cluster": export[0], "name": export[1]}
    return orjson.dumps({"metadata": metadata, "export": {**named, "uid": uid} if uid else named})
