"""Following a part of the store: read once, then kept by a watch that is made again whenever it breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing

from tenantry.base.tasks import restarting
from tenantry.storage.store import Batch, Compacted, KeyValue, Store, StoreError

logger = logging.getLogger(__name__)

PAGE_KEYS = 10_000
FIRST_RETRY_SECONDS = 0.02
LAST_RETRY_SECONDS = 1.0


class Follower:
    """Calls `loaded(kvs, revision)` with all there is at one revision, then `changed(batch)` for every batch after it, in order.

    Neither may wait. Where one raises, all is read again: what it has kept may be half of something.

    `parts` are intervals of keys in ascending order. They are read one by one and watched as one interval from the first to the
    last, so that what one transaction writes to several of them arrives together; keys between them arrive too, and are
    the receiver's to ignore. `loaded` is called again when the watch fell behind what the store keeps.
    """

    def __init__(
        self,
        store: Store,
        parts: Sequence[tuple[bytes, bytes]],
        *,
        loaded: Callable[[Sequence[KeyValue], int], None],
        changed: Callable[[Batch], None],
        name: str,
    ) -> None:
        self._store = store
        self._parts = parts
        self._loaded = loaded
        self._changed = changed
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._revision: int | None = None
        """Up to here everything has been told; None where it has to be read again."""

    async def start(self) -> None:
        """Returns when `loaded` was called. Raises Unavailable, Damaged."""
        revision = await self._load()
        self._revision = revision
        self._task = restarting(self._follow, name=f"follow {self._name}")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _load(self) -> int:
        while True:
            try:
                kvs, revision = await self._read()
            except Compacted:
                # Reading took longer than the store keeps history: begin at a newer revision.
                await asyncio.sleep(FIRST_RETRY_SECONDS)
                continue
            self._loaded(kvs, revision)
            return revision

    async def _read(self) -> tuple[list[KeyValue], int]:
        kvs: list[KeyValue] = []
        revision: int | None = None
        for start, end in self._parts:
            while True:
                page = await self._store.read(start, end, revision=revision, limit=PAGE_KEYS)
                revision = page.revision
                kvs.extend(page.kvs)
                if not page.more:
                    break
                start = page.kvs[-1].key + b"\0"
        assert revision is not None
        return kvs, revision

    async def _follow(self) -> None:
        start, end = self._parts[0][0], self._parts[-1][1]
        delay = FIRST_RETRY_SECONDS
        revision, self._revision = self._revision, None
        while True:
            try:
                if revision is None:
                    revision = await self._load()
                async with aclosing(self._store.watch(start, end, from_revision=revision + 1)) as batches:
                    async for batch in batches:
                        revision = max(revision, batch.revision)
                        delay = FIRST_RETRY_SECONDS
                        self._changed(batch)
            except Compacted:
                revision = None
            except StoreError as error:
                logger.warning("%s is not followed; trying again", self._name, extra={"error": str(error)})
            await asyncio.sleep(delay)
            delay = min(2 * delay, LAST_RETRY_SECONDS)
