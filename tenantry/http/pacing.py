"""The pace at which large bodies are read: one piece in each turn of the loop, and at a rate while several tenants use the
server.

    piece read ──► queue by tenant and user ──► the owner with the fewest bytes is next, when the rate allows its piece

A piece is the result of one read, mostly 256 KiB. Decrypting it releases the GIL a dozen times, and other requests have to wait
while a large body is decoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tenantry.base.fair_queue import FairQueue, Owners

_LOOK_SECONDS = 0.1
"""How often at least it is checked again whether several tenants use the server."""
_EARLY_SECONDS = 0.0005
"""How much too early a piece may continue: timers of the loop have a resolution of milliseconds."""


class Pacing:
    """The pace of one server. `bytes_per_second`: the rate of all large bodies together while `shared()` is true. 0: no limit."""

    def __init__(self, bytes_per_second: int, shared: Callable[[], bool]) -> None:
        self._seconds_per_byte = 1 / bytes_per_second if bytes_per_second else 0.0
        self._shared = shared
        self._queue: FairQueue[tuple[asyncio.Future[None], int]] = FairQueue()
        self._armed = False
        self._next_at = 0.0
        self.waited_seconds = 0.0
        """How long pieces have waited in total."""

    async def rest(self, owners: Owners, size: int) -> float:
        """Waits until a piece of `size` bytes may be used and the next one read. Returns how many seconds it waited."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self.turn(owners, size)
        finally:
            waited = loop.time() - began
            self.waited_seconds += waited
        return waited

    def turn(self, owners: Owners, size: int) -> asyncio.Future[None]:
        """As `rest`, for callers that cannot await. Who needs the turn no more cancels it."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._queue.push(owners, (turn, size))
        self._arm(loop)
        return turn

    def _wait_seconds(self, loop: asyncio.AbstractEventLoop) -> float:
        return min(self._next_at - loop.time(), _LOOK_SECONDS) if self._shared() else 0.0

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._armed:
            self._armed = True
            wait = self._wait_seconds(loop)
            if wait > _EARLY_SECONDS:
                loop.call_later(wait, self._next, loop)
            else:
                loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._armed = False
        if self._wait_seconds(loop) <= _EARLY_SECONDS:
            while (found := self._queue.pop(cost=0.0)) is not None:
                owners, (turn, size) = found
                # A cancelled caller is still in the queue. Skip it.
                if not turn.done():
                    self._queue.charge(owners, size)
                    # Counted from when it was due, so that many small pieces keep the rate. A quiet time gives no credit.
                    now = loop.time()
                    self._next_at = min(max(self._next_at, now), now + _EARLY_SECONDS) + size * self._seconds_per_byte
                    turn.set_result(None)
                    break
        if self._queue:
            self._arm(loop)
