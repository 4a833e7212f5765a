"""Time slices for long work on the event loop.

Work that grows with the objects of tenants (lists, the first look at a range, the dependents of an owner) is written as an
iteration with rests between its items. All such work together gets one slice of each turn of the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

SLICE_SECONDS = 0.002
"""The length of a slice: how long the loop works on long requests and long background work together before it serves others."""
PIECE = 64
"""How many items are processed between two checks of the clock. An item takes some microseconds."""

Item = TypeVar("Item")


class Turns:
    """Divides the turns of an event loop among all long work on it.

    `await turns.rest()` between two pieces returns at once while the slice of this turn lasts. After that callers wait in a
    queue, and each turn of the loop wakes the first of them for a slice of its own.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter, slice_seconds: float = SLICE_SECONDS) -> None:
        self._clock = clock
        self._slice_seconds = slice_seconds
        self._until = 0.0
        self._line: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    def spent(self) -> bool:
        """Whether the slice of this turn is used up."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._line.clear()
            self._begin()
            return False
        return self._clock() >= self._until

    async def rest(self) -> None:
        """Lets the loop serve others if the slice is used up."""
        if self.spent():
            await self._wait()

    async def _wait(self) -> None:
        assert self._loop is not None
        turn: asyncio.Future[None] = self._loop.create_future()
        self._line.append(turn)
        await turn

    def _begin(self) -> None:
        """Begins a slice. The next turn begins another one if a caller waits."""
        assert self._loop is not None
        self._until = self._clock() + self._slice_seconds
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                break
        self._loop.call_soon(self._next, self._loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            return
        if self._line:
            self._begin()
        else:
            self._loop = None


turns = Turns()
"""The turns of the process, which has one event loop."""


async def in_slices(items: Iterable[Item], piece: int | None = None) -> AsyncIterator[Item]:
    """Yields the items, with a rest after every `piece` of them (default `PIECE`). Use 1 if an item may be large.

    The next item is taken from the iterable after the rest, so a lazy iterable yields the present state. State that was read
    before the rest may be outdated.
    """
    piece = piece or PIECE
    for number, item in enumerate(items, 1):
        yield item
        if number % piece == 0:
            await turns.rest()


async def batches(items: Iterable[Item | None], size: int, piece: int | None = None) -> AsyncIterator[list[Item]]:
    """Yields the items in lists of `size`, without None, in slices. `piece`: as for `in_slices`."""
    batch: list[Item] = []
    async for item in in_slices(items, piece):
        if item is not None:
            batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
