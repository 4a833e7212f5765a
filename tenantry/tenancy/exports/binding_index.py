"""An index of the APIBindings in the ranges of this shard by export. It uses the label of bindings, and decodes none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from tenantry.base.tasks import restarting
from tenantry.base.time_slices import in_slices
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.exports.hashing import EXPORT_LABEL
from tenantry.tenancy.local_ranges import LocalRanges
from tenantry.tenancy.resources import API_BINDINGS


class BindingIndex:
    """Bindings by range and export. `label`: the `hashing.export_hash` of the export."""

    def __init__(self, *, local_ranges: LocalRanges) -> None:
        self._local_ranges = local_ranges
        self._by_range: dict[str, dict[str, set[Key]]] = {}
        self._filling: dict[str, tuple[Range, asyncio.Task[None]]] = {}
        self.stop: Callable[[], None] = self._local_ranges.follow(self._follow)

    async def filled(self, range_: Range) -> None:
        """Returns when all bindings of a range are indexed, or when the range is released."""
        filling = self._filling.get(range_.name)
        if filling is not None and filling[0] is range_:
            await asyncio.wait([filling[1]])

    def keys(self, label: str) -> Iterator[Key]:
        """The bindings to an export in the ranges of this shard."""
        for by_label in tuple(self._by_range.values()):
            yield from tuple(by_label.get(label, ()))

    def count(self, range_name: str, label: str) -> int:
        """How many bindings of a range refer to an export."""
        return len(self._by_range.get(range_name, {}).get(label, ()))

    def labels(self, range_name: str) -> list[str]:
        """The exports that a range's bindings refer to."""
        return list(self._by_range.get(range_name, ()))

    def _follow(self, range_: Range) -> Callable[[], None]:
        by_label = self._by_range[range_.name] = {}

        def changed(events: Sequence[RecordEvent]) -> None:
            for event in events:
                before = event.previous.head.labels.get(EXPORT_LABEL) if event.previous is not None else None
                after = event.record.head.labels.get(EXPORT_LABEL) if event.record is not None else None
                if before == after:
                    continue
                if before is not None:
                    _discard(by_label, before, event.key)
                if after is not None:
                    by_label.setdefault(after, set()).add(event.key)

        async def fill() -> None:
            async for record in in_slices(range_.each(API_BINDINGS)):
                label = record.head.labels.get(EXPORT_LABEL)
                if label is not None:
                    by_label.setdefault(label, set()).add(record.key)

        stop = range_.subscribe(changed, API_BINDINGS)
        task = restarting(fill, name=f"bindings of range {range_.name}", ends=True)
        self._filling[range_.name] = range_, task

        def leave() -> None:
            stop()
            task.cancel()
            self._by_range.pop(range_.name, None)
            self._filling.pop(range_.name, None)

        return leave


def _discard(by_label: dict[str, set[Key]], label: str, key: Key) -> None:
    keys = by_label.get(label)
    if keys is not None:
        keys.discard(key)
        if not keys:
            del by_label[label]
