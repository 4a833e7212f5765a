"""A buffer of new commits that the reader of a watch has not read yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

from tenantry.storage.store import Batch, Unavailable

# When more events wait, the buffer is dropped and the reader reads the log instead.
EVENTS_LIMIT = 4096
HISTORY_REVISIONS = 256
"""How many revisions of the log are read at a time. It bounds the memory for a reader that is far behind."""

ReadLog = Callable[[int, int], Awaitable[Iterable[Batch]]]
"""Reads the log from one revision to another, both included. Raises Compacted."""


class WatchBuffer:
    """The batches of one watch, in order, and bounded (`EVENTS_LIMIT`). It is used on the event loop only."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._events = 0
        self._dropped: tuple[int, int] | None = None
        self._waker: asyncio.Future[None] | None = None
        self.closed = False

    def push(self, batch: Batch) -> None:
        self._events += len(batch.events)
        if self._dropped is not None or self._events > EVENTS_LIMIT:
            self.drop(batch.revision)
            return
        self._batches.append(batch)
        self._wake()

    def drop(self, revision: int) -> None:
        """Drops the buffered batches. The reader has to read the log up to `revision` instead."""
        first = self._dropped[0] if self._dropped else self._batches[0].revision if self._batches else revision
        self._dropped = (first, revision)
        self._batches.clear()
        self._events = 0
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._wake()

    async def take(self) -> tuple[tuple[int, int] | None, list[Batch]]:
        """Waits for batches. Returns the first and last revision that must be read from the log (None: none), and the batches."""
        while not self._batches and self._dropped is None and not self.closed:
            self._waker = asyncio.get_running_loop().create_future()
            await self._waker
        dropped, batches = self._dropped, list(self._batches)
        self._batches.clear()
        self._events = 0
        self._dropped = None
        return dropped, batches

    async def follow(self, history: ReadLog, from_revision: int, until: int) -> AsyncGenerator[Batch, None]:
        """Yields all batches from a revision on. Those up to `until`, and those that were dropped, are read from the log.

        An empty batch follows when the log was read up to `until`. Raises Compacted, Unavailable (the store was closed)."""
        next_revision = from_revision
        batches: list[Batch] = []
        progress = True
        while not self.closed:
            while next_revision <= until:
                last = min(until, next_revision + HISTORY_REVISIONS - 1)
                found = await history(next_revision, last)
                next_revision = last + 1
                for batch in found:
                    yield batch
            if progress:
                progress = False
                yield Batch(until, [])
            for batch in batches:
                if batch.revision >= next_revision:
                    next_revision = batch.revision + 1
                    yield batch
            dropped, batches = await self.take()
            if dropped is not None:
                next_revision, until = max(next_revision, dropped[0]), dropped[1]
        raise Unavailable("the store is closed")

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)
