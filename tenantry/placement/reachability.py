"""Follows the reports of gateways and shards in the store: which shards they reach, and what their clocks show.

A shard may work and still be unreachable, because of a wrong clock (certificates) or a wrong address. Ranges that it owned would
not be served.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence

from tenantry.base.broadcast import Broadcast
from tenantry.base.metrics import Metrics
from tenantry.placement.map_rows import ReachRow, decode
from tenantry.storage.follower import Follower, gathered
from tenantry.storage.keys import REACH, prefix_end
from tenantry.storage.store import Batch, KeyValue, Store

logger = logging.getLogger(__name__)

CLOCK_WARNING_SECONDS = 5.0
"""Clock differences from this value on are logged. TLS fails from five minutes on: certificates are valid from five minutes
before their issue."""
WARNINGS_APART_SECONDS = 60.0
_SAMPLES = 4


class Reach:
    """The reports of all processes. `own`: the uid under which this process reports, if it does. `wall`: returns seconds since
    the epoch."""

    def __init__(self, store: Store, *, own: str = "", wall: Callable[[], float] = time.time) -> None:
        self._own = own
        self._wall = wall
        self._rows: dict[str, ReachRow] = {}
        self._ahead: dict[str, deque[float]] = {}
        """Reporter's uid → how far our clock was ahead (seconds) when each of the last reports arrived."""
        self._warned: float | None = None
        self._changes: Broadcast[[]] = Broadcast("a subscriber of who reaches whom")
        prefix = REACH.encode()
        self._follower = Follower(
            store, [(prefix, prefix_end(prefix))], load=gathered(self._loaded), changed=self._changed, name="who reaches whom"
        )

    async def start(self) -> None:
        """Raises Unavailable, Damaged."""
        await self._follower.start()

    async def stop(self) -> None:
        await self._follower.stop()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._changes.subscribe(callback)

    def why_not(self, uid: str) -> str:
        """The reason why a shard gets no ranges; empty if it may have some.

        A shard gets none if more reporters fail to reach it than reach it, or if no reporter has tried yet. Without any
        reports, every shard may have ranges.
        """
        others = [row for observer, row in self._rows.items() if observer != uid]
        reached = sum(uid in row.reached for row in others)
        refused = sorted((row.name, row.unreached[uid]) for row in others if uid in row.unreached)
        if len(refused) > reached:
            name, reason = refused[0]
            return f"{len(refused)} of {len(refused) + reached} gateways and shards do not reach it; {name}: {reason}"
        if others and not reached and not refused:
            return "no gateway and no other shard has reached it yet"
        return ""

    @property
    def clock_difference_seconds(self) -> float:
        """How far our clock is ahead of the median of the other clocks; negative if it is behind. 0 without reports."""
        # Delivery delays make our clock look ahead. The smallest of the last samples has the least delay.
        found = [min(samples) for samples in self._ahead.values()]
        return statistics.median(found) if found else 0.0

    def _loaded(self, kvs: Sequence[KeyValue], _: int) -> None:
        self._rows = {}
        for kv in kvs:
            self._take(kv)
        self._ahead = {observer: samples for observer, samples in self._ahead.items() if observer in self._rows}
        self._changes.send()

    def _changed(self, batch: Batch) -> None:
        for event in batch.events:
            observer = event.kv.key.decode().removeprefix(REACH)
            if event.deleted:
                self._rows.pop(observer, None)
                self._ahead.pop(observer, None)
            elif (row := self._take(event.kv)) is not None and observer != self._own:
                samples = self._ahead.setdefault(observer, deque(maxlen=_SAMPLES))
                samples.append(self._wall() - row.clock_seconds)
        self._warn()
        self._changes.send()

    def _take(self, kv: KeyValue) -> ReachRow | None:
        key = kv.key.decode()
        try:
            row = self._rows[key.removeprefix(REACH)] = decode(kv.value, ReachRow)
        except ValueError as error:
            self._rows.pop(key.removeprefix(REACH), None)
            logger.error("skipping an unreadable report about reachable shards", extra={"key": key, "error": str(error)})
            return None
        return row

    def _warn(self) -> None:
        difference = self.clock_difference_seconds
        now = time.monotonic()
        if abs(difference) < CLOCK_WARNING_SECONDS or (self._warned is not None and now - self._warned < WARNINGS_APART_SECONDS):
            return
        self._warned = now
        logger.warning(
            "the clock differs from the clocks of the other processes: %s; synchronize it (NTP), TLS and tokens depend on it",
            ahead(difference),
            extra={"difference_seconds": round(difference, 3), "others": len(self._ahead)},
        )


def ahead(seconds: float) -> str:
    """A clock difference as text: `7 s ahead`, `7 s behind`."""
    return f"{abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"


def clock_gauge(metrics: Metrics, reach: Reach) -> None:
    metrics.gauge(
        "tenantry_clock_difference_seconds",
        "How far this process's clock is ahead of the median of the other processes' clocks.",
        lambda: reach.clock_difference_seconds,
    )
