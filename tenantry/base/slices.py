"""Long work on the event loop, done a slice at a time between its turns.

What grows with what tenants hold (lists, the first look at a range, the dependents of an owner) is written as an iteration, and
whoever goes through it rests between its items. All of it together has one slice of each turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

SLICE_SECONDS = 0.002
"""How long the loop works on long requests and on long work in the background, all of it together, before it looks at who else
wants something."""
PIECE = 64
"""Items between two looks at the clock, where an item takes some microseconds."""

Item = TypeVar("Item")


class Turns:
    """Shares each turn of one event loop among all long work on it.

    `await turns.rest()` between two pieces returns at once while the slice of this turn lasts. After that whoever asks waits in
    line, and each turn of the loop wakes the first of the line for a slice of its own.
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
        """Lets the loop serve others, if the slice is used up."""
        if self.spent():
            await self._wait()

    async def _wait(self) -> None:
        assert self._loop is not None
        turn: asyncio.Future[None] = self._loop.create_future()
        self._line.append(turn)
        await turn

    def _begin(self) -> None:
        """A slice, and then a new one at each turn that anybody waits for."""
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
"""Those of the process, which has one loop."""


async def in_slices(items: Iterable[Item], piece: int | None = None) -> AsyncIterator[Item]:
    """The items, with a rest after every `piece` (`PIECE`) of them where the slice is used up. 1 where an item may be large.

    An item is taken from the iteration after the rest, so that a lazy one gives what is there when it is worked on. What was read
    before the item belongs to another turn.
    """
    piece = piece or PIECE
    for number, item in enumerate(items, 1):
        yield item
        if number % piece == 0:
            await turns.rest()


async def batches(items: Iterable[Item | None], size: int, piece: int | None = None) -> AsyncIterator[list[Item]]:
    """The items in lists of so many, without those that are None, gone through in slices."""
    batch: list[Item] = []
    async for item in in_slices(items, piece):
        if item is not None:
            batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
