"""The range in memory of a collection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from tenantry.storage.history import HistoryLimits
from tenantry.storage.keys import Key
from tenantry.storage.range import EventCallback, Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.computed.computed_record import ComputedRecord

LIMITS = HistoryLimits(events=1024, value_bytes=4 << 20, resources=8, range_bytes=8 << 20)
"""The history of one collection. A watch that resumes from before lists again."""


class ComputedRange(Range):
    """The computed objects of one place, with the history of their changes. It can be read while its base can be read.

    `ask(version)`: computes again if the collection has not reached a version yet. `joined`, `left`: called when a subscriber
    comes, and when it goes.
    """

    def __init__(
        self,
        base: Range,
        *,
        ask: Callable[[int], Awaitable[None]],
        joined: Callable[[], None],
        left: Callable[[], None],
    ) -> None:
        super().__init__(base.name, base.start, base.end, limits=LIMITS)
        self.base: Range = base
        self._ask = ask
        self._joined = joined
        self._left = left

    @property
    def readable(self) -> bool:
        assert self.base is not None
        return self.owned and self.base.readable

    async def reached(self, version: int) -> None:
        await self._ask(version)

    def subscribe(self, callback: EventCallback, resource: str | None = None, cluster: str | None = None) -> Callable[[], None]:
        unsubscribe = super().subscribe(callback, resource, cluster)
        active = True
        self._joined()

        def stop() -> None:
            nonlocal active
            if active:
                active = False
                unsubscribe()
                self._left()

        return stop


def changes(
    before: Iterable[Record], now: Iterable[tuple[Key, ComputedRecord]]
) -> Sequence[tuple[Key, ComputedRecord | None, Record | None]]:
    """What has to change so that `before` becomes `now`, in the order of keys: (key, new content or None, record before or None).

    An object that was replaced by another one of its name (another uid) is deleted and then added.
    """
    left = {record.key: record for record in before}
    found: list[tuple[Key, ComputedRecord | None, Record | None]] = []
    for key, computed in now:
        record = left.pop(key, None)
        if record is None:
            found.append((key, computed, None))
        elif record.head.uid != computed.head.uid:
            found += ((key, None, record), (key, computed, None))
        elif record.value != computed.value or record.head != computed.head:
            found.append((key, computed, record))
    found += ((key, None, record) for key, record in left.items())
    # A stable sort: the deletion of a replaced object stays before the addition.
    found.sort(key=_place)
    return found


def events(found: Sequence[tuple[Key, ComputedRecord | None, Record | None]], first_version: int) -> Sequence[RecordEvent]:
    """The events of these changes. Each has a version of its own, so that a watch can resume between any two of them."""
    return [
        RecordEvent(key, version, Record(key, new.value, version, new.head) if new is not None else None, previous)
        for version, (key, new, previous) in enumerate(found, first_version)
    ]


def _place(change: tuple[Key, ComputedRecord | None, Record | None]) -> Key:
    return change[0]
