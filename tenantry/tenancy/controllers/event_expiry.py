"""Events are kept for an hour after they were last written, as kube-apiserver keeps them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import orjson

from tenantry.background import restarting
from tenantry.storage.cell import NotOwned, Stale
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record, RecordEvent
from tenantry.storage.store import StoreError
from tenantry.tenancy.resources import EVENTS

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

LIFETIME_SECONDS = 3600.0
SWEEP_SECONDS = 60.0
_BATCH = 50

Writes = OrderedDict[Key, float]
"""The Unix time at which each event that there is was last written, oldest first."""


class EventExpiry:
    """One task for a shard, from `start` to `stop`. It remembers when each was written, so that a sweep looks at nothing else.

    `now` gives the Unix time, `sleep` waits for seconds: the clock, for tests.
    """

    def __init__(
        self,
        host: Host,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._host = host
        self._now = now
        self._sleep = sleep
        self._writes: dict[str, Writes] = {}
        self._task: asyncio.Task[None] | None = None
        self._stop_following: Callable[[], None] | None = None

    def start(self) -> None:
        self._stop_following = self._host.follow_ranges(self._follow)
        self._task = restarting(self._run, name="event expiry")

    async def stop(self) -> None:
        if self._stop_following is not None:
            self._stop_following()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self) -> int:
        """Deletes the events that were last written longer than LIFETIME_SECONDS ago; how many there were."""
        before = self._now() - LIFETIME_SECONDS
        swept = 0
        for name, held in list(self._host.cell.ranges.items()):
            due = _due(held, self._writes.get(name, OrderedDict()), before)
            while batch := list(islice(due, _BATCH)):
                await self._host.cell.settled([record.key for record in batch])
                try:
                    await self._host.cell.commit([Change(record.key, None, None, record) for record in batch])
                    swept += len(batch)
                except (Stale, NotOwned, StoreError):
                    # One was written again just now, or there is nobody to write to: the next sweep looks again.
                    writes = self._writes.get(name, OrderedDict())
                    for record in reversed(batch):
                        if held.get(record.key) is not None and record.key not in writes:
                            writes[record.key] = before
                            writes.move_to_end(record.key, last=False)
                    break
        return swept

    async def _run(self) -> None:
        while True:
            await self._sleep(SWEEP_SECONDS)
            await self.sweep()

    def _follow(self, held: Range) -> Callable[[], None]:
        known = sorted((_last_written(record), record.key) for record in held.list(EVENTS))
        writes = self._writes[held.name] = OrderedDict((key, written) for written, key in known)

        def written(events: Sequence[RecordEvent]) -> None:
            now = self._now()
            for event in events:
                writes.pop(event.key, None)
                if event.record is not None:
                    writes[event.key] = now

        stop_events = held.subscribe(written, EVENTS)

        def stop() -> None:
            stop_events()
            self._writes.pop(held.name, None)

        return stop


def _due(held: Range, writes: Writes, before: float) -> Iterable[Record]:
    """Takes what is older than `before` off `writes`."""
    while writes and next(iter(writes.values())) <= before:
        record = held.get(writes.popitem(last=False)[0])
        if record is not None:
            yield record


def _last_written(record: Record) -> float:
    """The Unix time, as far as a stored event tells."""
    event = orjson.loads(record.value)
    series = event.get("series") or {}
    moments = (series.get("lastObservedTime"), event.get("lastTimestamp"), event["metadata"].get("creationTimestamp"))
    return max((datetime.fromisoformat(moment).timestamp() for moment in moments if moment), default=0.0)
