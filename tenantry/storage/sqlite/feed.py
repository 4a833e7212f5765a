"""What a watch has not taken yet of the live commits."""

from __future__ import annotations

import asyncio
from collections import deque

from tenantry.storage.store import Batch

# Beyond this a slow reader is sent back to the log, which is on disk.
EVENTS_LIMIT = 4096


class Feed:
    """Batches of one watch, in order and bounded. Used on the loop only."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._events = 0
        self._lost_until = 0
        self._waker: asyncio.Future[None] | None = None
        self.closed = False

    def push(self, batch: Batch) -> None:
        self._events += len(batch.events)
        if self._lost_until or self._events > EVENTS_LIMIT:
            self.lose(batch.revision)
            return
        self._batches.append(batch)
        self._wake()

    def lose(self, revision: int) -> None:
        """What is held is given up: the reader has to read the log up to a revision."""
        self._batches.clear()
        self._events = 0
        self._lost_until = revision
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._wake()

    async def take(self) -> tuple[int, list[Batch]]:
        """Waits for batches. The number, where it is not 0, is the revision up to which the log must be read before them."""
        while not self._batches and not self._lost_until and not self.closed:
            self._waker = asyncio.get_running_loop().create_future()
            await self._waker
        lost, batches = self._lost_until, list(self._batches)
        self._batches.clear()
        self._events = self._lost_until = 0
        return lost, batches

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)
