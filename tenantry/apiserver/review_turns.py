"""Tenants take turns at a webhook that reviews. Without turns, one with many questions would have all of the connections to it,
and the questions of others would end with their time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from tenantry.base.fair_queue import FairQueue, Owners
from tenantry.base.shares import Shares
from tenantry.http.calls import CONNECTIONS_TO_ONE_SERVER_MAX

_LARGEST_SHARE = 0.75
"""One tenant alone leaves a quarter of the reviews in flight to the next one, also where the webhook takes long to answer it."""
_LARGEST_PART = 0.5


class Asker(NamedTuple):
    """For whom a review is asked: `owners`, such as a logical cluster and a user, have shares and take turns. So have `parts` of
    these among themselves, such as the addresses of clients whose tokens no review has accepted yet."""

    owners: Owners = ()
    parts: Owners = ()


NO_ASKER = Asker()


class ReviewTurns:
    """So many reviews are in flight `at_once`; others wait, and their askers take turns. Who waits is bounded by who calls: each
    is a request that has a place at the server."""

    def __init__(self, at_once: int = CONNECTIONS_TO_ONE_SERVER_MAX) -> None:
        self._in_flight = Shares("reviews", at_once, largest=_LARGEST_SHARE)
        self._parts_in_flight = Shares("parts of reviews", at_once, largest=_LARGEST_PART)
        self._waiting: FairQueue[None] = FairQueue()
        """One for each that waits, by its owners."""
        self._parts: dict[Owners, FairQueue[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, asker: Asker) -> AsyncIterator[None]:
        await self._take(asker)
        try:
            yield
        finally:
            self._give(asker)

    async def _take(self, asker: Asker) -> None:
        owners, parts = asker
        if not self._waiting and self._in_flight.fits(owners) and self._parts_in_flight.fits(parts):
            self._hold(asker)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.push(owners, None)
        self._parts.setdefault(owners, FairQueue()).push(parts, turn)
        # Those that wait may have no room in their shares, and this one has.
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(asker, turn)
            else:
                # It was given in the same turn of the loop.
                self._give(asker)
            raise

    def _hold(self, asker: Asker) -> None:
        self._in_flight.hold(asker.owners)
        self._parts_in_flight.hold(asker.parts)

    def _give(self, asker: Asker) -> None:
        self._in_flight.give(asker.owners)
        self._parts_in_flight.give(asker.parts)
        self._next()

    def _leave(self, asker: Asker, turn: asyncio.Future[None]) -> None:
        owners, parts = asker
        mine = self._parts.get(owners)
        if mine is not None and mine.remove(parts, turn):
            self._waiting.remove(owners, None)
            self._tidy(owners, mine)

    def _next(self) -> None:
        full: set[Owners] = set()

        def fits(owners: Owners, _: None) -> bool:
            return owners not in full and self._in_flight.fits(owners)

        while (found := self._waiting.pop(fits, cost=0.0)) is not None:
            owners = found[0]
            mine = self._parts[owners]
            waiting = mine.pop(lambda parts, _: self._parts_in_flight.fits(parts))
            if waiting is None:
                self._waiting.push_first(owners, None)
                full.add(owners)
                continue
            self._tidy(owners, mine)
            if not waiting[1].done():
                self._waiting.charge(owners, 1.0)
                self._hold(Asker(owners, waiting[0]))
                waiting[1].set_result(None)

    def _tidy(self, owners: Owners, mine: FairQueue[asyncio.Future[None]]) -> None:
        if not mine:
            del self._parts[owners]
