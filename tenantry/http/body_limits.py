"""Limits of the bodies of requests: how many are received at a time, how many bytes are in memory, and how long they may take."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from tenantry.base import garbage
from tenantry.base.allocator import free_pages
from tenantry.base.shares import Shares
from tenantry.http.callers import Caller
from tenantry.http.errors import TooManyRequests
from tenantry.http.large_bodies import LargeBodies
from tenantry.http.limits import Limits
from tenantry.http.pacing import Pacing


class Body(Protocol):
    """The state of the body of one request, which an `Exchange` keeps."""

    caller: Caller
    receiving_since: float
    """When receiving began, by the loop's clock, plus the time that the body waited for others."""
    body_bytes: int
    """How many bytes were received and are counted."""
    worked_bytes: int
    """The size of a large body while its request is processed, else 0."""
    paced: bool
    """Whether it waits for bodies of others (`Pacing`)."""


BodyT = TypeVar("BodyT", bound=Body)


class Bodies(Generic[BodyT]):
    """The bodies of one server. `memory`: the bytes of all requests. The bytes of a body count from when they arrive until the
    request is answered."""

    def __init__(self, limits: Limits, memory: Shares, pacing: Pacing) -> None:
        self.memory = memory
        self.receiving = Shares("receiving_bodies", limits.receiving_bodies, largest=limits.largest_share)
        self.slow = 0
        """How many bodies did not arrive in time."""
        self._pacing = pacing
        self._large = LargeBodies(limits.large_body_bytes_at_once)
        self._limits = limits
        self._under_way: set[BodyT] = set()

    def begin(self, body: BodyT, now: float) -> None:
        """Called when receiving a body begins. Raises TooManyRequests."""
        if not self.receiving.take(body.caller.owners):
            raise TooManyRequests("Too many requests are being received, please try again later.")
        body.receiving_since = now
        self._under_way.add(body)

    async def pace(self, body: BodyT, size: int) -> None:
        """Waits until a piece of `size` bytes may be used. This time does not count towards the client's time-out."""
        body.paced = True
        try:
            body.receiving_since += await self._pacing.rest(body.caller.owners, size)
        finally:
            body.paced = False

    @property
    def paced_seconds(self) -> float:
        """How long pieces of large bodies have waited in total (`Pacing`)."""
        return self._pacing.waited_seconds

    async def work(self, body: BodyT, size: int) -> None:
        """Waits until a large body that was received may be processed. The request has no seat during that time."""
        await self._large.begin(body.caller.owners, size)
        body.worked_bytes = size

    def worked(self, body: BodyT) -> None:
        """Called when the request is answered."""
        if body.worked_bytes:
            self._large.end(body.caller.owners, body.worked_bytes)
            body.worked_bytes = 0

    @property
    def waited_seconds(self) -> float:
        """How long large bodies have waited in total (`LargeBodies`)."""
        return self._large.waited_seconds

    def end(self, body: BodyT) -> None:
        """Called when the body was received, or will not be."""
        self._under_way.discard(body)
        self.receiving.give(body.caller.owners)

    def keep(self, body: BodyT, size: int) -> None:
        """Counts `size` more bytes of a body until `forget`. Raises TooManyRequests."""
        if size:
            if not self.memory.take(body.caller.owners, size):
                raise TooManyRequests("Too many bytes of requests are held in memory, please try again later.")
            body.body_bytes += size

    def forget(self, body: BodyT) -> None:
        """Called when the request is over and its body is not in memory any more."""
        if body.body_bytes:
            garbage.bodies.pending_bytes += body.body_bytes
            free_pages.passed(body.body_bytes)
            self.memory.give(body.caller.owners, body.body_bytes)
            body.body_bytes = 0

    def late(self, now: float) -> list[BodyT]:
        """The bodies that take too long. `now`: by the loop's clock. The time of a body grows with the bytes that were received,
        so a large body is not too slow as long as it arrives at the lowest rate."""
        limits = self._limits
        found = [
            body
            for body in self._under_way
            if not body.paced
            and now - body.receiving_since > limits.body_timeout_seconds + body.body_bytes / limits.body_bytes_per_second
        ]
        self.slow += len(found)
        return found
