"""Copies of the APIResourceSchemas that the consumers of a range have bound (kcp's bound CRDs).

A provider may delete a schema. Consumers that have bound it continue to use it, also after a restart. So each range keeps a
copy of every schema that is in the status of one of its APIBindings, until no binding has it. The copies are records of the
range in the cluster with the id of the range's start, and no API serves them (`tenantry.tenancy.exports.consumers` does the
same).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

from tenantry.controllers.controller import Controller
from tenantry.kube.exact import exact
from tenantry.kube.objects import Object
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Head, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.exports.binding_index import BindingIndex
from tenantry.tenancy.exports.hashing import EXPORT_LABEL, export_hash
from tenantry.tenancy.exports.read_bindings import decoded
from tenantry.tenancy.resources import API_BINDINGS, API_RESOURCE_SCHEMAS
from tenantry.tenancy.types import EXPORTED_TYPES, OFFERED_TYPES
from tenantry.tenancy.well_known import ROOT

RETAINED = "tenantry/boundschemas"
_SYSTEM_EXPORTS = frozenset(export_hash(ROOT, name) for name in (*EXPORTED_TYPES, *OFFERED_TYPES))
"""Exports whose schemas are not copied: the system installs them, and never deletes them."""
_SCHEMA_UID = re.compile(rb'"UID":"([^"]+)"')


def retained_schema(range_: Range, uid: str) -> Object | None:
    """The copy of the APIResourceSchema with that uid in a range; None if it has none."""
    for record in range_.list(RETAINED, range_.start):
        if record.key.name == uid:
            return decoded(record)
    return None


class RetainedSchema(NamedTuple):
    """The key of the controller: a schema of an export, in a range."""

    range_start: str
    export_label: str
    """`hashing.export_hash` of the export."""
    uid: str

    @property
    def record_key(self) -> Key:
        """The storage key of the copy. It has the export label as its namespace."""
        return Key(self.range_start, RETAINED, self.export_label, self.uid)


class RetainedSchemasController(Controller[RetainedSchema]):
    """Keeps the copy of a schema while an APIBinding of the range has bound the schema."""

    name = "bound-schemas"
    workers = 2

    def __init__(self, index: BindingIndex, *, cell: Cell, catalog: Catalog) -> None:
        self._cell = cell
        self._catalog = catalog
        self._index = index
        self._users: dict[str, dict[tuple[str, str], set[Key]]] = {}
        """Start of a range → (export label, schema uid) → the bindings that have bound the schema."""

    @property
    def resources(self) -> Sequence[str]:
        return (API_BINDINGS,)

    def cluster_of(self, key: RetainedSchema) -> str:
        return key.range_start

    def keys(self, event: RecordEvent) -> Iterable[RetainedSchema]:
        shown = event.record or event.previous
        label = shown.head.labels.get(EXPORT_LABEL) if shown is not None else None
        if not label or label in _SYSTEM_EXPORTS:
            return ()
        used = _used(event.record.value) if event.record is not None else frozenset()
        before = _used(event.previous.value) if event.previous is not None else frozenset()
        changed = used ^ before
        if not changed:
            return ()
        try:
            start = self._cell.range_of(event.key.cluster).start
        except NotOwned:
            return ()
        users = self._users.setdefault(start, {})
        for uid in changed:
            if uid in used:
                users.setdefault((label, uid), set()).add(event.key)
            elif (keys := users.get((label, uid))) is not None:
                keys.discard(event.key)
                if not keys:
                    del users[label, uid]
        return [RetainedSchema(start, label, uid) for uid in changed]

    def released(self, range_: Range) -> None:
        self._users.pop(range_.start, None)

    async def wait_for_sync(self, range_: Range) -> None:
        await self._index.filled(range_)

    def initial_keys(self, range_: Range) -> Iterable[RetainedSchema | None]:
        for record in range_.each(RETAINED, range_.start):
            yield RetainedSchema(range_.start, record.key.namespace, record.key.name)
        for record in range_.each(API_BINDINGS):
            label = record.head.labels.get(EXPORT_LABEL)
            if label and label not in _SYSTEM_EXPORTS:
                users = self._users.setdefault(range_.start, {})
                for uid in _used(record.value):
                    users.setdefault((label, uid), set()).add(record.key)
                    yield RetainedSchema(range_.start, label, uid)
            yield None

    async def reconcile(self, range_: Range, key: RetainedSchema) -> None:
        if key.range_start == range_.start:
            await transact(self._cell, (key.record_key,), lambda: self._compute(range_, key))

    def _compute(self, range_: Range, key: RetainedSchema) -> Sequence[Change]:
        place = key.record_key
        record = range_.get(place)
        user = self._user(range_, key)
        if record is not None:
            return (Change(place, None, None, record),) if user is None else ()
        schema = self._schema(user, key.uid) if user is not None else None
        if schema is None:
            return ()
        content = {k: v for k, v in schema.items() if k not in ("apiVersion", "kind")}
        return (Change(place, exact(orjson.dumps(content)), Head(), None),)

    def _user(self, range_: Range, key: RetainedSchema) -> Object | None:
        """An APIBinding of the range that has bound the schema."""
        for place in self._users.get(range_.start, {}).get((key.export_label, key.uid), ()):
            record = range_.get(place)
            if record is not None:
                return decoded(record)
        return None

    def _schema(self, binding: Object, uid: str) -> Object | None:
        status = binding.get("status") or {}
        provider = status.get("apiExportClusterName") or ""
        for entry in status.get("boundResources") or ():
            if entry["schema"]["UID"] == uid:
                found = self._catalog.get(API_RESOURCE_SCHEMAS, provider, entry["schema"]["name"])
                if found is not None and found["metadata"]["uid"] == uid:
                    return found
        return None


def _used(binding: bytes) -> frozenset[str]:
    return frozenset(uid.decode() for uid in _SCHEMA_UID.findall(binding))
