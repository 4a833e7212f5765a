"""Deletes Events one hour after their last write, as kube-apiserver does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from math import ceil

import orjson

from tenantry.base.tasks import restarting
from tenantry.base.time_slices import in_slices
from tenantry.storage.cell import Cell, NotOwned, Stale
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record, RecordEvent
from tenantry.storage.store import StoreError
from tenantry.tenancy.local_ranges import LocalRanges
from tenantry.tenancy.resources import EVENTS

LIFETIME_SECONDS = 3600.0
SWEEP_SECONDS = 60.0
_BATCH = 50


class Writes:
    """The time of the last write of each Event, grouped by second, so that old ones are found without sorting."""

    def __init__(self) -> None:
        self._second_of: dict[Key, int] = {}
        self._seconds: dict[int, dict[Key, None]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._second_of

    def put(self, key: Key, written: float) -> None:
        """`written`: Unix time in seconds, rounded up."""
        self.discard(key)
        second = ceil(written)
        self._second_of[key] = second
        self._seconds.setdefault(second, {})[key] = None

    def discard(self, key: Key) -> None:
        second = self._second_of.pop(key, None)
        if second is not None:
            same = self._seconds[second]
            del same[key]
            if not same:
                del self._seconds[second]

    def due(self, before: float) -> Iterator[Key]:
        """Yields the Events that were written up to `before` (Unix time), and removes them."""
        for second in sorted(second for second in self._seconds if second <= before):
            while same := self._seconds.get(second):
                key = next(iter(same))
                self.discard(key)
                yield key


class EventExpiry:
    """One task for a shard, from `start` to `stop`. It keeps the time of each Event's last write, so that a sweep reads only
    old Events. It deletes them in batches, and other tasks run between two batches.

    `now`: the Unix time. `sleep`: waits for seconds. Tests replace both.
    """

    def __init__(
        self,
        *,
        cell: Cell,
        local_ranges: LocalRanges,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cell = cell
        self._local_ranges = local_ranges
        self._now = now
        self._sleep = sleep
        self._writes: dict[str, Writes] = {}
        self._task: asyncio.Task[None] | None = None
        self._stop_following: Callable[[], None] | None = None

    def start(self) -> None:
        self._stop_following = self._local_ranges.follow(self._follow)
        self._task = restarting(self._run, name="event expiry")

    async def stop(self) -> None:
        if self._stop_following is not None:
            self._stop_following()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self) -> int:
        """Deletes Events whose last write is more than LIFETIME_SECONDS ago. Returns their number."""
        before = self._now() - LIFETIME_SECONDS
        swept = 0
        for name, range_ in list(self._cell.ranges.items()):
            writes = self._writes.get(name) or Writes()
            due = (record for key in writes.due(before) if (record := range_.get(key)) is not None)
            while batch := list(islice(due, _BATCH)):
                await self._cell.writes_done([record.key for record in batch])
                try:
                    await self._cell.commit([Change(record.key, None, None, record) for record in batch])
                    swept += len(batch)
                except (Stale, NotOwned, StoreError):
                    # One was written again, or the store or range is not available: the next sweep tries again.
                    for record in batch:
                        if range_.get(record.key) is not None and record.key not in writes:
                            writes.put(record.key, before)
                    break
        return swept

    async def _run(self) -> None:
        while True:
            await self._sleep(SWEEP_SECONDS)
            await self.sweep()

    def _follow(self, range_: Range) -> Callable[[], None]:
        writes = self._writes[range_.name] = Writes()
        oldest = self._now() - LIFETIME_SECONDS

        def written(events: Sequence[RecordEvent]) -> None:
            now = self._now()
            for event in events:
                if event.record is None:
                    writes.discard(event.key)
                else:
                    writes.put(event.key, now)

        async def look() -> None:
            async for record in in_slices(range_.each(EVENTS), 1):
                if record.key not in writes:
                    # The fields of an Event may have any value, so its time is limited to the last hour.
                    writes.put(record.key, min(max(_last_written(record), oldest), oldest + LIFETIME_SECONDS))

        stop_events = range_.subscribe(written, EVENTS)
        task = restarting(look, name=f"events of range {range_.name}", ends=True)

        def stop() -> None:
            stop_events()
            task.cancel()
            self._writes.pop(range_.name, None)

        return stop


def _last_written(record: Record) -> float:
    """The Unix time of the last write, by the fields of the Event."""
    event = orjson.loads(record.value)
    series = event.get("series") or {}
    moments = (series.get("lastObservedTime"), event.get("lastTimestamp"), event["metadata"].get("creationTimestamp"))
    return max((datetime.fromisoformat(moment).timestamp() for moment in moments if moment), default=0.0)
