"""Bodies of requests: how many are on their way, how many bytes of them are in memory, and how long they may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenantry.base import garbage
from tenantry.base.allocator import free_pages
from tenantry.base.shares import Shares
from tenantry.http.large_bodies import LargeBodies
from tenantry.http.limits import Limits
from tenantry.http.pacing import Pacing
from tenantry.kube.status import too_many_requests

if TYPE_CHECKING:
    from tenantry.http.exchange import Exchange


class Bodies:
    """`memory` is what is counted of all bytes of requests. Bytes are counted as they come, until the request is answered."""

    def __init__(self, limits: Limits, memory: Shares, pacing: Pacing) -> None:
        self.memory = memory
        self.receiving = Shares("receiving_bodies", limits.receiving_bodies, largest=limits.largest_share)
        self.slow = 0
        """How many did not come in time."""
        self._pacing = pacing
        self._large = LargeBodies(limits.large_body_bytes_at_once)
        self._limits = limits
        self._under_way: set[Exchange] = set()

    def begin(self, exchange: Exchange, now: float) -> None:
        """A body is waited for. Raises StatusError 429."""
        if not self.receiving.take(exchange.caller.owners):
            raise too_many_requests("Too many requests are being received, please try again later.")
        exchange.receiving_since = now
        self._under_way.add(exchange)

    async def pace(self, exchange: Exchange, size: int) -> None:
        """Waits until a piece of `size` bytes may be used. It is not the client who is late meanwhile."""
        exchange.paced = True
        try:
            exchange.receiving_since += await self._pacing.rest(exchange.caller.owners, size)
        finally:
            exchange.paced = False

    @property
    def paced_seconds(self) -> float:
        return self._pacing.waited_seconds

    async def work(self, exchange: Exchange, size: int) -> None:
        """Waits until a large body may be worked on, which has come. The request has no seat meanwhile."""
        await self._large.begin(exchange.caller.owners, size)
        exchange.worked_bytes = size

    def worked(self, exchange: Exchange) -> None:
        """There is an answer."""
        if exchange.worked_bytes:
            self._large.end(exchange.caller.owners, exchange.worked_bytes)
            exchange.worked_bytes = 0

    @property
    def waited_seconds(self) -> float:
        return self._large.waited_seconds

    def end(self, exchange: Exchange) -> None:
        """It has come, or will not."""
        self._under_way.discard(exchange)
        self.receiving.give(exchange.caller.owners)

    def keep(self, exchange: Exchange, size: int) -> None:
        """So much of a body came and is in memory until the request is over. Raises StatusError 429."""
        if size:
            if not self.memory.take(exchange.caller.owners, size):
                raise too_many_requests("Too many bytes of requests are held in memory, please try again later.")
            exchange.body_bytes += size

    def forget(self, exchange: Exchange) -> None:
        """The request is over."""
        if exchange.body_bytes:
            garbage.bodies.pending_bytes += exchange.body_bytes
            free_pages.passed(exchange.body_bytes)
            self.memory.give(exchange.caller.owners, exchange.body_bytes)
            exchange.body_bytes = 0

    def late(self, now: float) -> list[Exchange]:
        """Those that take too long. The time grows with what came, so that slow lines are no obstacle and silence is."""
        limits = self._limits
        found = [
            exchange
            for exchange in self._under_way
            if not exchange.paced
            and now - exchange.receiving_since > limits.body_timeout_seconds + exchange.body_bytes / limits.body_bytes_per_second
        ]
        self.slow += len(found)
        return found
