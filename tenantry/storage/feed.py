"""What a watch has not taken yet of the live commits."""

from __future__ import annotations

import asyncio
from collections import deque

from tenantry.storage.store import Batch

# Beyond this a slow reader is sent back to the log.
EVENTS_LIMIT = 4096


class Feed:
    """Batches of one watch, in order and bounded. Used on the loop only."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._events = 0
        self._lost: tuple[int, int] | None = None
        self._waker: asyncio.Future[None] | None = None
        self.closed = False

    def push(self, batch: Batch) -> None:
        self._events += len(batch.events)
        if self._lost is not None or self._events > EVENTS_LIMIT:
            self.lose(batch.revision)
            return
        self._batches.append(batch)
        self._wake()

    def lose(self, revision: int) -> None:
        """What is held is given up: the reader has to read the log up to a revision."""
        first = self._lost[0] if self._lost else self._batches[0].revision if self._batches else revision
        self._lost = (first, revision)
        self._batches.clear()
        self._events = 0
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._wake()

    async def take(self) -> tuple[tuple[int, int] | None, list[Batch]]:
        """Waits for batches, or for the first and last revision that must be read from the log instead."""
        while not self._batches and self._lost is None and not self.closed:
            self._waker = asyncio.get_running_loop().create_future()
            await self._waker
        lost, batches = self._lost, list(self._batches)
        self._batches.clear()
        self._events = 0
        self._lost = None
        return lost, batches

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)
