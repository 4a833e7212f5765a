"""Compacts the store's history, as kube-apiserver does: etcd does not delete old revisions by itself.

Every registry samples the present revision periodically. The leader compacts the store up to the newest sample that is old
enough, and deletes the journals of shards that were killed before it. Ages come from the monotonic clock, so a jump of the wall
clock deletes nothing. A new leader has its own samples and continues at once. Two leaders at the same time are harmless, because
the transaction compares the last compaction.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from registry.stale_keys import delete_journals
from tenantry.base.tasks import restarting
from tenantry.storage.keys import COMPACTION
from tenantry.storage.store import Compare, CompareFailed, Put, Store, StoreError

logger = logging.getLogger(__name__)

SAMPLES = 12
"""How many (time, revision) samples are kept for one retention period. History is kept for the retention plus at most 1/12."""

KEY = COMPACTION.encode()


class Compaction:
    """Compacts while this registry leads.

    `retention_seconds`: how long history is kept. `leading()`: whether this registry leads. `clock`: monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        *,
        retention_seconds: float,
        leading: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._retention_seconds = retention_seconds
        self._leading = leading
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES + 1)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = restarting(self._run, name="compaction")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def step(self) -> int:
        """Takes a sample, and compacts if this registry leads. Returns the compacted revision, or 0. Raises StoreError."""
        page = await self._store.read(KEY, KEY + b"\0")
        # The clock is read after the answer, so a sample may look younger than it is, never older.
        now = self._clock()
        self._samples.append((now, page.revision))
        old_enough = [revision for at, revision in self._samples if now - at >= self._retention_seconds]
        if not old_enough or not self._leading():
            return 0
        revision = old_enough[-1]
        last, last_revision = (int(page.kvs[0].value), page.kvs[0].mod_revision) if page.kvs else (0, 0)
        if revision <= last:
            return 0
        try:
            await self._store.commit([Compare(KEY, last_revision)], [Put(KEY, b"%d" % revision)], [])
        except CompareFailed:
            # Another leader compacts.
            return 0
        await self._store.compact(revision)
        journals = await delete_journals(self._store, revision)
        logger.info("compacted the store", extra={"before": revision, "journals": journals})
        return revision

    async def _run(self) -> None:
        while True:
            try:
                await self.step()
            except StoreError as error:
                logger.warning("cannot compact the store, retrying", extra={"error": str(error)})
            except ValueError as error:
                logger.error("the key %s is not a revision; delete it", COMPACTION, extra={"error": str(error)})
            await asyncio.sleep(self._retention_seconds / SAMPLES)
