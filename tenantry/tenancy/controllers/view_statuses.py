"""The controller of the types of views: it writes the status that the type computes, with the URLs of its view by range."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial

from tenantry.apiserver import records
from tenantry.apiserver.decoding import normalise
from tenantry.apiserver.worker_threads import WorkerThreads
from tenantry.controllers.controller import Retry
from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.schema.validate import validate
from tenantry.placement.catalog import Catalog
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.storage.retry_on_conflict import Attempts
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.exports.consumers import CONSUMERS, ranges_with_consumers
from tenantry.tenancy.exports.objects_by_export import ObjectsByExport
from tenantry.tenancy.exports.written_statuses import WrittenStatuses
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.view_type import AddedType, RangeUrl, Status, ViewUrls

logger = logging.getLogger(__name__)

COMPUTED = "StatusComputed"
"""The condition that is False while the status cannot be computed. An object whose status is computed does not have it."""
CALL_SECONDS = 1.0
"""How long the computation of one status may take."""
AGAIN_SECONDS = 60.0
"""When a computation that failed is tried again."""
SOONEST_SECONDS = 1.0
"""The shortest time after which a type may have a status computed again without a change."""


class ViewStatusController(ObjectController):
    """Keeps the statuses of the objects of all types that views bring. One thread for each type computes them, so that one that
    hangs holds up neither the loop nor other types."""

    name = "view-statuses"

    def __init__(
        self,
        *,
        cell: Cell,
        catalog: Catalog,
        definitions: SystemDefinitions,
        range_map: RangeMap,
        urls: Urls,
        changes: Changes,
        written: WrittenStatuses,
    ) -> None:
        self._written = written
        self._cell = cell
        self._catalog = catalog
        self._range_map = range_map
        self._urls = urls
        self._changes = changes
        self._added = {each.type.resource: each for each in definitions.added if each.type.status is not None}
        self._threads = {resource: WorkerThreads(1) for resource in self._added}
        self._ranges: Sequence[str] = ()
        self._writing: dict[Key, bytes] = {}
        """What this controller writes at the moment. The events of it are no reason to compute the status again."""
        self._by_export = ObjectsByExport()
        if self._added:
            self._ranges = self._range_names()
            range_map.subscribe(self._map_changed)
            catalog.subscribe(CONSUMERS, self._consumers_changed)

    @property
    def resources(self) -> Sequence[str]:
        return tuple(self._added)

    def released(self, range_: Range) -> None:
        for key in self._by_export.in_range(range_):
            self._by_export.forget(key)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        own = event.record is not None and self._writing.get(event.key) == event.record.value
        return () if own else (event.key,)

    async def reconcile(self, range_: Range, key: Key) -> None:
        again: float | None = None
        number = self._written.number
        async for attempt in Attempts(self._cell, (key,)):
            with attempt:
                again = await self._reconcile(range_, key)
                break
        self._note(range_, key, number)
        if again is not None:
            raise Retry(max(again, SOONEST_SECONDS), "the type asked for it")

    async def _reconcile(self, range_: Range, key: Key) -> float | None:
        """Writes the status if it differs. Returns when it is to be computed again. Raises Stale."""
        record = range_.get(key)
        if record is None:
            self._by_export.forget(key)
            self._written.forget(key)
            return None
        if record.head.deleting:
            return None
        added = self._added[key.resource]
        definition = added.definition
        obj = records.decode(record, definition, definition.storage_version)
        wanted = records.decode(record, definition, definition.storage_version)
        before = wanted.get("status") or {}
        try:
            status, again = await self._computed(added, key, obj)
        except Exception as error:  # the function of a package may raise any error; other objects have their status computed
            logger.warning(
                "the status of an object of a view cannot be computed",
                extra={"view": added.view, "key": str(key), "error_type": type(error).__name__, "error": str(error)},
            )
            status, again = _failed(before, type(error).__name__), AGAIN_SECONDS
        if status or "status" in wanted:
            wanted["status"] = status
        normalise(definition, definition.versions[definition.storage_version], wanted, record)
        if (wanted.get("status") or {}) == before:
            return again
        change = self._changes.updated(definition, record, wanted)
        self._writing[key] = change.value or b""
        try:
            await self._cell.commit([change])
        finally:
            del self._writing[key]
        return again

    def _note(self, range_: Range, key: Key, number: int) -> None:
        if self._added[key.resource].type.export_of is not None and range_.get(key) is not None:
            self._written.note(key, self._by_export.export_of(key), number)

    async def _computed(self, added: AddedType, key: Key, obj: Object) -> tuple[Object, float | None]:
        """The status, in the shape of the schema, and when it is to be computed again. Raises any error."""
        compute = added.type.status
        assert compute is not None
        if "status" in obj:
            # What the function leaves as it is must not keep the condition.
            obj["status"] = dict(obj["status"])
            conditions.remove(obj["status"], COMPUTED)
        call = partial(_call, added.definition, compute, obj, self._urls_for(added, key, obj), datetime.now(UTC))
        async with asyncio.timeout(CALL_SECONDS):
            return await self._threads[key.resource].run(key.cluster, call)

    def _urls_for(self, added: AddedType, key: Key, obj: Object) -> ViewUrls:
        names = self._range_names()
        if added.type.export_of is not None:
            export = added.type.export_of(obj)
            self._by_export.remember(key, export)
            consumed = ranges_with_consumers(self._catalog, *export) if export is not None else ()
            names = [name for name in names if name in consumed]
        return ViewUrls(added.view, [RangeUrl(name, self._urls.range(name)) for name in names])

    def _consumers_changed(self, _: str, cluster: str, name: str, entry: Object | None) -> None:
        export = (cluster, name.rpartition(".")[0])
        if export in self._by_export:
            self.enqueue_all(export, lambda: self._by_export.of(export))

    def _range_names(self) -> list[str]:
        return sorted(info.name for info in self._range_map.ranges())

    def _map_changed(self) -> None:
        names = self._range_names()
        if names == self._ranges:
            # Most changes of the map are of shards and owners.
            return
        self._ranges = names
        for range_ in self._cell.ranges.values():
            self.enqueue_all(("map", range_.name), partial(self.initial_keys, range_))


def _call(
    definition: ResourceDefinition, compute: Status, obj: Object, urls: ViewUrls, now: datetime
) -> tuple[Object, float | None]:
    """Calls the function of a type and checks what it returns. Raises ValueError if that is no status of the type."""
    status, again = compute(obj, urls, now)
    if not isinstance(status, dict) or not (again is None or isinstance(again, int | float)):
        raise ValueError("the type's `status` returns no object and time")
    version = definition.versions[definition.storage_version]
    schema = version.schema.properties.get("status")
    if schema is None:
        raise ValueError("the type has no status")
    errors = validate(status, schema, path="status")
    if errors:
        raise ValueError("; ".join(f"{error.field}: {error.text}" for error in errors))
    return status, again


def _failed(before: Object, reason: str) -> Object:
    """The status before, with the condition that it could not be computed."""
    status = dict(before)
    known = conditions.find(status, COMPUTED)
    # A schema may keep less of a condition than is written. One that says the same is left as it is.
    if known is None or known.get("reason") != reason:
        conditions.mark_false(status, COMPUTED, reason, "the view cannot compute the status", timestamp())
    return status
