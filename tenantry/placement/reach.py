"""Which shards gateways and other shards reach, and how far this process's clock is from theirs: followed from the store.

Certificates are judged by clocks and addresses are what an operator wrote, so a shard can be well and out of everybody's reach.
What it owned then would be served to nobody.
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
"""A difference that is logged. Certificates begin five minutes before they are issued, so from there on TLS refuses."""
WARNINGS_APART_SECONDS = 60.0
_SAMPLES = 4


class Reach:
    """`own`: the uid under which this process reports, where it does. `wall`: seconds since the epoch."""

    def __init__(self, store: Store, *, own: str = "", wall: Callable[[], float] = time.time) -> None:
        self._own = own
        self._wall = wall
        self._rows: dict[str, ReachRow] = {}
        self._ahead: dict[str, deque[float]] = {}
        """By observers: how far our clock was ahead of theirs, each time when a row of theirs came."""
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
        """Why a shard is to own nothing: more of those who tried do not reach it than do, or nobody has tried yet. Empty where
        it may, also where nobody reports at all."""
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
        """How far this process's clock is ahead of the median of the others', negative where it is behind; 0 while there are no
        others."""
        # A row takes its time to come, which makes ours look ahead: the quickest of the last ones is the nearest to the truth.
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
            logger.error("a report cannot be read and is left out", extra={"key": key, "error": str(error)})
            return None
        return row

    def _warn(self) -> None:
        difference = self.clock_difference_seconds
        now = time.monotonic()
        if abs(difference) < CLOCK_WARNING_SECONDS or (self._warned is not None and now - self._warned < WARNINGS_APART_SECONDS):
            return
        self._warned = now
        logger.warning(
            "this clock is %s of those of the other processes; synchronize it, for certificates and tokens are judged by it",
            ahead(difference),
            extra={"difference_seconds": round(difference, 3), "others": len(self._ahead)},
        )


def ahead(seconds: float) -> str:
    """In words."""
    return f"{abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"


def clock_gauge(metrics: Metrics, reach: Reach) -> None:
    metrics.gauge(
        "tenantry_clock_difference_seconds",
        "How far this process's clock is ahead of the median of the other processes' clocks.",
        lambda: reach.clock_difference_seconds,
    )
