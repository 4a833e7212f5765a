"""What all objects of a namespace use of a ResourceQuota, for types of which more than their number counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import orjson

from tenantry.base.time_slices import in_slices
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.quantity import negated
from tenantry.kube.quota import Amounts, plus, used_by
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent


class QuotaTotals:
    """The objects are read in slices, and what changes meanwhile is added, so that `now` is exact at any time. A context
    manager."""

    def __init__(self, range_: Range, quota: Key, obj: Object, definitions: Iterable[ResourceDefinition]) -> None:
        self._quota = quota
        self._object = obj
        self._keys = tuple((obj.get("spec") or {}).get("hard") or ())
        self.definitions = tuple(definitions)
        self._range = range_
        self._read: Amounts = {}
        self._changes: list[tuple[ResourceDefinition, RecordEvent]] = []
        self._stops: list[Callable[[], None]] = []

    async def __aenter__(self) -> QuotaTotals:
        try:
            for definition in self.definitions:
                self._stops.append(self._range.subscribe(self._noting(definition), definition.storage_key, self._quota.cluster))
                records = self._range.list(definition.storage_key, self._quota.cluster, self._quota.namespace)
                async for record in in_slices(records, 1):
                    self._add(self._read, definition, record)
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop()

    def now(self) -> Amounts:
        """The totals, with what has changed until now."""
        totals = dict(self._read)
        for definition, event in self._changes:
            if event.record is not None:
                self._add(totals, definition, event.record)
            if event.previous is not None:
                self._add(totals, definition, event.previous, less=True)
        return totals

    def _stop(self) -> None:
        for stop in self._stops:
            stop()
        self._stops = []

    def _noting(self, definition: ResourceDefinition) -> Callable[[Sequence[RecordEvent]], None]:
        def note(events: Sequence[RecordEvent]) -> None:
            self._changes += [(definition, event) for event in events if event.key.namespace == self._quota.namespace]

        return note

    def _add(self, totals: Amounts, definition: ResourceDefinition, record: Record, *, less: bool = False) -> None:
        used = used_by(self._object, self._keys, definition.group_resource, orjson.loads(record.value))
        for key, amount in used.items():
            totals[key] = plus(totals.get(key, "0"), negated(amount) if less else amount)
