"""Decides which requests may run now: a bounded number at a time, and for a bounded part of each turn of the event loop.

    request ──► a seat is free, and the turn is not used up? ──► runs
                             │ no
                             ▼
                  queue by tenant and user ──► the least served is next; 429 if it waits too long, or too many wait

This is Kubernetes' API Priority and Fairness for tenants: a seat is a place among the requests in progress. A handler also keeps
the event loop until it first waits, which delays all other answers, so its time is measured. When requests have used up their
part of a turn, the others wait for the next one: first the loop reads from sockets and runs timers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from functools import partial
from typing import Any, TypeVar

from tenantry.base.fair_queue import FairQueue
from tenantry.base.loop_turns import What, in_steps
from tenantry.base.metrics import InFlight, Metrics
from tenantry.base.shares import Shares
from tenantry.http.callers import Caller
from tenantry.http.errors import TooManyRequests
from tenantry.http.limits import Limits

TURN_SECONDS = 0.004
"""How long all requests together may run in one turn of the loop."""
TENANT_TURN_SECONDS = 0.002
"""How long one tenant's requests may run in one turn, so that other tenants are served in the same turn too."""
ALONE_TURN_SECONDS = 0.01
"""The same for a tenant that was the only one for a second. No other tenant waits, and fewer turns cost less."""
_ALONE_AFTER_SECONDS = 1.0
_SHARED_SECONDS = 10.0
"""How long after a request a tenant counts as active. Clients renew leases every two seconds, for example."""
_FIRST_GUESS_SECONDS = 0.0005
"""How long a request is expected to run before one of its tenant was measured."""
_GUESSES = 1024
"""How many tenants' times are remembered."""

Result = TypeVar("Result")


class Lane:
    """Requests that share a number of seats. Reads are one lane, and writes are another."""

    def __init__(self, name: str, seats: int, largest: float, in_flight: InFlight) -> None:
        self.in_flight = in_flight
        self.seats = Shares(name, seats, largest=largest)
        self.queue: FairQueue[asyncio.Future[None]] = FairQueue()
        self.waiting = 0


class Seat:
    """The seat of a request: its place among the requests in progress. It can be left and taken again any number of times."""

    __slots__ = ("_caller", "_gate", "_lane", "_taken")

    def __init__(self, gate: Gate, lane: Lane, caller: Caller) -> None:
        self._gate = gate
        self._lane = lane
        self._caller = caller
        self._taken = False

    @property
    def owners(self) -> tuple[Hashable, ...]:
        """`Place.owners`."""
        return self._caller.owners

    def take_now(self) -> bool:
        """Takes a seat if one is free and no other caller is first. Returns whether it did."""
        taken = self._taken = self._gate.enter(self._lane, self._caller)
        return taken

    async def take(self) -> None:
        """Waits for a seat. Raises TooManyRequests."""
        if not self._taken:
            await self._gate.wait(self._lane, self._caller)
            self._taken = True

    async def wait(self, waiter: asyncio.Future[None]) -> None:
        """`Place.wait`."""
        self.leave()
        await self._gate.park(self._caller, waiter)
        await self.take()

    async def away(self, work: Awaitable[Result]) -> Result:
        """`Place.away`."""
        self.leave()
        result = await self._gate.absent(self._caller, work)
        await self.take()
        return result

    def leave(self) -> None:
        """Gives the seat back, if one is taken."""
        if self._taken:
            self._taken = False
            self._gate.leave(self._lane, self._caller)


class Gate:
    """The gate of one server. Exempt callers are counted and never wait. `clock`: seconds, monotonic."""

    def __init__(self, limits: Limits, metrics: Metrics, clock: Callable[[], float] = time.perf_counter) -> None:
        self.reading = Lane("reading_requests", limits.reading_requests, limits.largest_share, metrics.reading)
        self.writing = Lane("writing_requests", limits.writing_requests, limits.largest_share, metrics.writing)
        self._metrics = metrics
        self.queued = Shares("queued_requests", limits.queued_requests, largest=limits.largest_share)
        self.timed_out = 0
        """How many requests were refused after waiting for `Limits.queue_seconds`."""
        self._queue_seconds = limits.queue_seconds
        self._clock = clock
        self._lanes = (self.reading, self.writing)
        self._waiting: dict[asyncio.Future[None], float] = {}
        """Waiting requests, and since when they wait (loop time), the longest first."""
        self._turn: dict[Hashable, float] = {}
        self._turn_seconds = 0.0
        self._tenant_seconds = ALONE_TURN_SECONDS
        self._armed = False
        self._last_tenant: Hashable = None
        self._not_alone_until = 0.0
        self._last_served: Hashable = None
        """The last tenant that was served. Exempt callers do not count."""
        self._last_served_at = -_SHARED_SECONDS
        self._shared_until = 0.0
        self._guesses: dict[Hashable, float] = {}

    def enter(self, lane: Lane, caller: Caller) -> bool:
        """Takes a seat if one is free. Returns whether it did.

        While others wait, only a tenant that has not run in this turn may begin. It does not delay the others: they wait for the
        next turn, or for room in their own shares.
        """
        if caller.exempt:
            lane.in_flight.requests += 1
            return True
        turn, tenant = self._turn, caller.owners[0]
        if turn:
            if tenant in turn:
                if lane.waiting or turn[tenant] >= self._tenant_seconds:
                    return False
            elif self._turn_seconds >= TURN_SECONDS:
                return False
        if lane.waiting and lane.queue.waits(caller.owners):
            return False
        if not lane.seats.grant(caller.owners):
            return False
        lane.in_flight.requests += 1
        return True

    def leave(self, lane: Lane, caller: Caller) -> None:
        """Returns a seat."""
        lane.in_flight.requests -= 1
        if caller.exempt:
            return
        lane.seats.give(caller.owners)
        if lane.waiting and not self._armed:
            self._admit(lane, {})

    async def wait(self, lane: Lane, caller: Caller) -> None:
        """Takes a seat when it is this caller's turn. Raises TooManyRequests if too many requests wait, or if it takes too
        long."""
        if self.enter(lane, caller):
            return
        owners = caller.owners
        if not self.queued.take(owners):
            raise self._refusal()
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        lane.queue.push(owners, waiter)
        lane.waiting += 1
        self._waiting[waiter] = loop.time()
        try:
            await waiter
        except BaseException:
            if lane.queue.remove(owners, waiter):
                lane.waiting -= 1
            elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # The caller was cancelled after it had been given the seat.
                self.leave(lane, caller)
            raise
        finally:
            del self._waiting[waiter]
            self.queued.give(owners)

    async def park(self, caller: Caller, waiter: asyncio.Future[None]) -> None:
        """Waits for something else than a seat. Raises TooManyRequests if too many requests wait, or if it takes too long."""
        if not self.queued.take(caller.owners):
            raise self._refusal()
        self._waiting[waiter] = asyncio.get_running_loop().time()
        try:
            await waiter
        finally:
            del self._waiting[waiter]
            self.queued.give(caller.owners)

    async def absent(self, caller: Caller, work: Awaitable[Result]) -> Result:
        """Awaits what ends by itself. Raises TooManyRequests if too many requests wait."""
        if not self.queued.take(caller.owners):
            if isinstance(work, Coroutine):
                work.close()
            raise self._refusal()
        try:
            return await work
        finally:
            self.queued.give(caller.owners)

    def tick(self, now: float) -> None:
        """Refuses requests that have waited for too long. `now`: by the loop's clock."""
        for waiter, since in self._waiting.items():
            if now - since < self._queue_seconds:
                break
            if not waiter.done():
                self.timed_out += 1
                waiter.set_exception(self._refusal())

    def shared(self) -> bool:
        """Whether more than one tenant was served in the last `_SHARED_SECONDS`. Exempt callers do not count."""
        return self._clock() < self._shared_until

    def run(self, caller: Caller, work: Coroutine[Any, Any, Result], what: What = ()) -> Awaitable[Result]:
        """Awaits the work and returns its result. The time that it keeps the loop counts for the caller. `what`: the work in
        words, for the log."""
        return in_steps(work, what, partial(self.spent, caller), self._clock)

    def spent(self, caller: Caller, seconds: float, now: float) -> None:
        """Counts a step of a caller that kept the loop for `seconds`, until `now` (by `clock`)."""
        if caller.exempt:
            self._last_tenant = None
            return
        turn, tenant = self._turn, caller.owners[0]
        turn[tenant] = turn.get(tenant, 0.0) + seconds
        self._turn_seconds += seconds
        if tenant != self._last_tenant:
            self._last_tenant = tenant
            self._not_alone_until = now + _ALONE_AFTER_SECONDS
            if tenant != self._last_served:
                if now - self._last_served_at < _SHARED_SECONDS:
                    self._shared_until = now + _SHARED_SECONDS
                self._last_served = tenant
        self._last_served_at = now
        if not self._armed:
            self._armed = True
            self._tenant_seconds = TENANT_TURN_SECONDS if now < self._not_alone_until else ALONE_TURN_SECONDS
            asyncio.get_running_loop().call_soon(self._next_turn)
        for lane in self._lanes:
            if lane.waiting:
                guess = self._guesses.get(tenant, seconds)
                if len(self._guesses) >= _GUESSES:
                    self._guesses.clear()
                self._guesses[tenant] = guess + (seconds - guess) / 4
                lane.queue.charge(caller.owners, seconds)

    def _next_turn(self) -> None:
        """Begins a new turn and admits waiting requests."""
        self._armed = False
        self._turn.clear()
        self._turn_seconds = 0.0
        if self._waiting:
            planned: dict[Hashable, float] = {}
            for lane in self._lanes:
                if lane.waiting:
                    self._admit(lane, planned)
        elif self._guesses:
            self._guesses.clear()

    def _admit(self, lane: Lane, planned: dict[Hashable, float]) -> None:
        """Gives free seats to waiting requests, as many as fit into one turn. `planned`: the seconds that each tenant is expected
        to use of it."""

        def fits(owners: tuple[Hashable, ...], _: asyncio.Future[None]) -> bool:
            return planned.get(owners[0], 0.0) < self._tenant_seconds and lane.seats.fits(owners)

        total = 0.0
        while lane.waiting and total < TURN_SECONDS:
            found = lane.queue.pop(fits, cost=0.0)
            if found is None:
                return
            lane.waiting -= 1
            owners, waiter = found
            if waiter.done():
                continue
            guess = self._guesses.get(owners[0], _FIRST_GUESS_SECONDS)
            planned[owners[0]] = planned.get(owners[0], 0.0) + guess
            total += guess
            lane.seats.grant(owners)
            lane.in_flight.requests += 1
            waiter.set_result(None)

    def _refusal(self) -> TooManyRequests:
        self._metrics.rejected += 1
        return TooManyRequests("Too many requests, please try again later.")
