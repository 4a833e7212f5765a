"""Compacting the store's history, which etcd keeps for ever otherwise (kube-apiserver compacts its etcd too).

Every registry notes now and then which revision is the present one; the leader compacts the store up to the newest note that is
old enough, and deletes the journals of shards that were killed by then. Ages are by its own monotonic clock, so a
clock that jumps deletes nothing, and a new leader, which has notes of its own, goes on where the last one stopped. Two leaders at
once are harmless: the store compares the last compaction.
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
from tenantry.storage.store import Fence, Fenced, Put, Store, StoreError

logger = logging.getLogger(__name__)

NOTES = 12
"""In one retention: history is kept for that long, and at most a twelfth longer."""

KEY = COMPACTION.encode()


class Compaction:
    """`leading()` says whether this registry acts, `clock` is monotonic, in seconds."""

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
        self._notes: deque[tuple[float, int]] = deque(maxlen=NOTES + 1)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = restarting(self._run, name="compaction")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def step(self) -> int:
        """Takes a note, and compacts where this registry leads; the revision that was compacted now, or 0. Raises StoreError."""
        page = await self._store.read(KEY, KEY + b"\0")
        # Younger than it is, if anything: the clock is read after the answer.
        now = self._clock()
        self._notes.append((now, page.revision))
        old_enough = [revision for at, revision in self._notes if now - at >= self._retention_seconds]
        if not old_enough or not self._leading():
            return 0
        revision = old_enough[-1]
        last, last_revision = (int(page.kvs[0].value), page.kvs[0].mod_revision) if page.kvs else (0, 0)
        if revision <= last:
            return 0
        try:
            await self._store.commit([Fence(KEY, last_revision)], [Put(KEY, b"%d" % revision)], [])
        except Fenced:
            # Another leader is at it.
            return 0
        await self._store.compact(revision)
        journals = await delete_journals(self._store, revision)
        logger.info("the store was compacted", extra={"before": revision, "journals": journals})
        return revision

    async def _run(self) -> None:
        while True:
            try:
                await self.step()
            except StoreError as error:
                logger.warning("the store could not be compacted; trying again", extra={"error": str(error)})
            except ValueError as error:
                logger.error("%s holds no revision; delete it", COMPACTION, extra={"error": str(error)})
            await asyncio.sleep(self._retention_seconds / NOTES)
