"""Events are kept for an hour, as kube-apiserver keeps them: one sweep over a shard's ranges, oldest first."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson

from tenantry.kube.objects import timestamp
from tenantry.storage.cell import NotOwned, Stale
from tenantry.storage.record import Change, Record
from tenantry.storage.store import StoreError

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

EVENTS = "core/events"
LIFETIME = timedelta(hours=1)
SWEEP_SECONDS = 60.0
_BATCH = 50


class EventExpiry:
    """One task for a shard, from `start` to `stop`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="event expiry")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.sweep(datetime.now(UTC))

    async def sweep(self, now: datetime) -> int:
        """Deletes the events that were last written before `now` less LIFETIME; how many there were."""
        before = timestamp(now - LIFETIME)
        swept = 0
        for held in list(self._host.cell.ranges.values()):
            old = [record for record in held.list(EVENTS) if _last_written(record) < before]
            for start in range(0, len(old), _BATCH):
                batch = old[start : start + _BATCH]
                await self._host.cell.settled([record.key for record in batch])
                try:
                    await self._host.cell.commit([Change(record.key, None, None, record) for record in batch])
                except (Stale, NotOwned, StoreError):
                    # Written again just now, or nobody to write to: the next sweep looks again.
                    continue
                swept += len(batch)
        return swept


def _last_written(record: Record) -> str:
    event = orjson.loads(record.value)
    series = event.get("series") or {}
    moments = (series.get("lastObservedTime"), event.get("lastTimestamp"), event["metadata"].get("creationTimestamp"))
    # RFC 3339 in UTC sorts as text; the fraction of a MicroTime only sorts within its second.
    return max((moment for moment in moments if moment), default="")
