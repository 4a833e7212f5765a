"""What all objects of a namespace use of a ResourceQuota, for types of which more than their number counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import orjson

from tenantry.apiserver.worker_threads import run_weighed, weigh
from tenantry.base.time_slices import in_slices, turns
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.quantity import negated
from tenantry.kube.quota import Amounts, ObjectUsage, plus
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent


class QuotaTotals:
    """The objects are read in slices, large ones in threads, and what changes meanwhile is added, so that `now` is exact at any
    time. A context manager."""

    def __init__(self, range_: Range, quota: Key, obj: Object, definitions: Iterable[ResourceDefinition]) -> None:
        self._quota = quota
        self._object = obj
        self._keys = frozenset((obj.get("spec") or {}).get("hard") or ())
        self.definitions = tuple(definitions)
        self._range = range_
        self._read: Amounts = {}
        self._changes: deque[tuple[ResourceDefinition, RecordEvent]] = deque()
        self._stops: list[Callable[[], None]] = []

    async def __aenter__(self) -> QuotaTotals:
        try:
            for definition in self.definitions:
                self._stops.append(self._range.subscribe(self._noting(definition), definition.storage_key, self._quota.cluster))
                records = self._range.list(definition.storage_key, self._quota.cluster, self._quota.namespace)
                # A copy, because the list changes while others have their turns.
                async for record in in_slices(tuple(records), 1):
                    await self._add_weighed(definition, record)
            await self._add_changes()
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop()

    async def _add_changes(self) -> None:
        """Adds what has changed by now. What changes meanwhile is left to `now`: it is as long as this takes, and so less."""
        for _ in range(len(self._changes)):
            definition, event = self._changes.popleft()
            for record, less in ((event.record, False), (event.previous, True)):
                if record is not None:
                    await self._add_weighed(definition, record, less=less)
            await turns.rest()

    def now(self) -> Amounts:
        """The totals, with what has changed until now."""
        while self._changes:
            definition, event = self._changes.popleft()
            for record, less in ((event.record, False), (event.previous, True)):
                if record is not None:
                    self._add(definition, record, less=less)
        return self._read

    def _stop(self) -> None:
        for stop in self._stops:
            stop()
        self._stops = []

    def _noting(self, definition: ResourceDefinition) -> Callable[[Sequence[RecordEvent]], None]:
        def note(events: Sequence[RecordEvent]) -> None:
            self._changes += [(definition, event) for event in events if event.key.namespace == self._quota.namespace]

        return note

    async def _add_weighed(self, definition: ResourceDefinition, record: Record, *, less: bool = False) -> None:
        await run_weighed(self._quota.cluster, weigh(record.value), lambda: self._add(definition, record, less=less), begins=True)

    def _add(self, definition: ResourceDefinition, record: Record, *, less: bool = False) -> None:
        used = ObjectUsage(definition.group_resource, orjson.loads(record.value), self._keys).of(self._object, self._keys)
        for key, amount in used.items():
            self._read[key] = plus(self._read.get(key, "0"), negated(amount) if less else amount)
