"""Which requests may run now: a bounded number at a time, and for a bounded part of each turn of the event loop.

    request ──► a seat is free, and the turn is not used up? ──► runs
                             │ no
                             ▼
                  queue by tenant and user ──► who was served least is next; 429 after too long a wait, or where too many wait

A handler keeps the loop until it first waits, and all other answers are late by that. So its time is measured. Once requests have
used up their part of a turn, the others wait for the next turn: the loop reads from sockets and runs timers first.
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
"""What all requests together may use of one turn of the loop."""
TENANT_TURN_SECONDS = 0.002
"""What one tenant may use of it, so that others who came in the same turn are served in it, too."""
ALONE_TURN_SECONDS = 0.01
"""The same for a tenant that was the only one for a second: nobody else waits, and fewer turns cost less."""
_ALONE_AFTER_SECONDS = 1.0
_SHARED_SECONDS = 10.0
"""How long after a request a tenant counts as one that uses the server: clients renew leases every two seconds, for example."""
_FIRST_GUESS_SECONDS = 0.0005
"""How long a tenant's request is expected to keep the loop, before one of them was measured."""
_GUESSES = 1024
"""Tenants whose requests' times are remembered."""

Result = TypeVar("Result")


class Lane:
    """Requests that share a number of seats: those that read, and those that write."""

    def __init__(self, name: str, seats: int, largest: float, in_flight: InFlight) -> None:
        self.in_flight = in_flight
        self.seats = Shares(name, seats, largest=largest)
        self.queue: FairQueue[asyncio.Future[None]] = FairQueue()
        self.waiting = 0


class Seat:
    """A request's place among those that are carried out. It can be left and taken again any number of times."""

    __slots__ = ("_caller", "_gate", "_lane", "_taken")

    def __init__(self, gate: Gate, lane: Lane, caller: Caller) -> None:
        self._gate = gate
        self._lane = lane
        self._caller = caller
        self._taken = False

    def take_now(self) -> bool:
        """Takes one if there is one, and nobody else is first. Returns whether it did."""
        taken = self._taken = self._gate.enter(self._lane, self._caller)
        return taken

    async def take(self) -> None:
        """Waits for one. Raises TooManyRequests."""
        if not self._taken:
            await self._gate.wait(self._lane, self._caller)
            self._taken = True

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
        """How many waited for `Limits.queue_seconds` and were refused."""
        self._queue_seconds = limits.queue_seconds
        self._clock = clock
        self._lanes = (self.reading, self.writing)
        self._waiting: dict[asyncio.Future[None], float] = {}
        """Since when each of them has waited, the longest first."""
        self._turn: dict[Hashable, float] = {}
        self._turn_seconds = 0.0
        self._tenant_seconds = ALONE_TURN_SECONDS
        self._armed = False
        self._last_tenant: Hashable = None
        self._not_alone_until = 0.0
        self._last_served: Hashable = None
        """The last tenant, not counting exempt callers."""
        self._last_served_at = -_SHARED_SECONDS
        self._shared_until = 0.0
        self._guesses: dict[Hashable, float] = {}

    def enter(self, lane: Lane, caller: Caller) -> bool:
        """Takes a seat if there is one now. Returns whether it did.

        While others wait, only a tenant that did nothing in this turn may begin: the others wait for another turn, or for room in
        their own share, and it keeps them from neither.
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
        """Gives a seat back."""
        lane.in_flight.requests -= 1
        if caller.exempt:
            return
        lane.seats.give(caller.owners)
        if lane.waiting and not self._armed:
            self._admit(lane, {})

    async def wait(self, lane: Lane, caller: Caller) -> None:
        """Takes a seat when it is this caller's turn. Raises TooManyRequests where too many wait, or it takes too long."""
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
                # The caller went away in the moment in which it was given the seat.
                self.leave(lane, caller)
            raise
        finally:
            del self._waiting[waiter]
            self.queued.give(owners)

    def tick(self, now: float) -> None:
        """Refuses those who have waited for too long; `now` by the loop's clock."""
        for waiter, since in self._waiting.items():
            if now - since < self._queue_seconds:
                break
            if not waiter.done():
                self.timed_out += 1
                waiter.set_exception(self._refusal())

    def shared(self) -> bool:
        """Whether more than one tenant was served in the last seconds; exempt callers are none."""
        return self._clock() < self._shared_until

    def run(self, caller: Caller, work: Coroutine[Any, Any, Result], what: What = ()) -> Awaitable[Result]:
        """Awaits the work and returns its result. The time for which it keeps the loop is counted for the caller. `what`: the
        work in words, for the log."""
        return in_steps(work, what, partial(self.spent, caller), self._clock)

    def spent(self, caller: Caller, seconds: float, now: float) -> None:
        """The caller kept the loop for so many seconds, until `now` by the clock."""
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
        """A new turn begins, with those who waited."""
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
        """Gives free seats to those who wait, as far as they fit into one turn. `planned`: the seconds that each tenant is
        expected to use of it."""

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
