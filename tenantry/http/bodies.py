"""Bodies of requests: how many are on their way, how many bytes of them are in memory, and how long they may take."""

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
    """What is known of one request's body, which an `Exchange` keeps."""

    caller: Caller
    receiving_since: float
    """When it began to be waited for, by the loop's clock; later by every second for which others were first."""
    body_bytes: int
    """What came of it, and is counted."""
    worked_bytes: int
    """Of a large body that is worked on; else 0."""
    paced: bool
    """It waits for others' bodies."""


BodyT = TypeVar("BodyT", bound=Body)


class Bodies(Generic[BodyT]):
    """Those of one server. `memory` counts the bytes of all requests: those of a body as they come, until the request is
    answered."""

    def __init__(self, limits: Limits, memory: Shares, pacing: Pacing) -> None:
        self.memory = memory
        self.receiving = Shares("receiving_bodies", limits.receiving_bodies, largest=limits.largest_share)
        self.slow = 0
        """How many did not come in time."""
        self._pacing = pacing
        self._large = LargeBodies(limits.large_body_bytes_at_once)
        self._limits = limits
        self._under_way: set[BodyT] = set()

    def begin(self, body: BodyT, now: float) -> None:
        """A body is on its way. Raises TooManyRequests."""
        if not self.receiving.take(body.caller.owners):
            raise TooManyRequests("Too many requests are being received, please try again later.")
        body.receiving_since = now
        self._under_way.add(body)

    async def pace(self, body: BodyT, size: int) -> None:
        """Waits until a piece of `size` bytes may be used. That time does not count against the client."""
        body.paced = True
        try:
            body.receiving_since += await self._pacing.rest(body.caller.owners, size)
        finally:
            body.paced = False

    @property
    def paced_seconds(self) -> float:
        """How long pieces of large bodies waited (`Pacing`), all of them together."""
        return self._pacing.waited_seconds

    async def work(self, body: BodyT, size: int) -> None:
        """Waits until a large body that has come may be worked on. The request has no seat meanwhile."""
        await self._large.begin(body.caller.owners, size)
        body.worked_bytes = size

    def worked(self, body: BodyT) -> None:
        """The request is answered."""
        if body.worked_bytes:
            self._large.end(body.caller.owners, body.worked_bytes)
            body.worked_bytes = 0

    @property
    def waited_seconds(self) -> float:
        """How long large bodies waited (`LargeBodies`), all of them together."""
        return self._large.waited_seconds

    def end(self, body: BodyT) -> None:
        """The body has come, or will not."""
        self._under_way.discard(body)
        self.receiving.give(body.caller.owners)

    def keep(self, body: BodyT, size: int) -> None:
        """`size` more bytes of a body came; they count until `forget`. Raises TooManyRequests."""
        if size:
            if not self.memory.take(body.caller.owners, size):
                raise TooManyRequests("Too many bytes of requests are held in memory, please try again later.")
            body.body_bytes += size

    def forget(self, body: BodyT) -> None:
        """The request is over, and its body out of memory."""
        if body.body_bytes:
            garbage.bodies.pending_bytes += body.body_bytes
            free_pages.passed(body.body_bytes)
            self.memory.give(body.caller.owners, body.body_bytes)
            body.body_bytes = 0

    def late(self, now: float) -> list[BodyT]:
        """Bodies that take too long; `now` by the loop's clock. The time that one has grows with what came of it, so that only
        silence is too slow."""
        limits = self._limits
        found = [
            body
            for body in self._under_way
            if not body.paced
            and now - body.receiving_since > limits.body_timeout_seconds + body.body_bytes / limits.body_bytes_per_second
        ]
        self.slow += len(found)
        return found
