"""Tenants take turns at a webhook that reviews. Without turns, one with many questions would have all of the connections to it,
and the questions of others would end with their time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tenantry.base.fair_queue import FairQueue, Owners
from tenantry.http.calls import CONNECTIONS_TO_ONE_SERVER_MAX


class ReviewTurns:
    """So many reviews are in flight `at_once`; others wait, and their owners take turns. Who waits is bounded by who calls: each
    is a request that has a place at the server."""

    def __init__(self, at_once: int = CONNECTIONS_TO_ONE_SERVER_MAX) -> None:
        self._free = at_once
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    @asynccontextmanager
    async def turn(self, owners: Owners) -> AsyncIterator[None]:
        """`owners`: for whom a review is asked, such as a logical cluster and a user."""
        await self._take(owners)
        try:
            yield
        finally:
            self._give()

    async def _take(self, owners: Owners) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.push(owners, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(owners, turn)
            else:
                # It was given in the same turn of the loop.
                self._give()
            raise

    def _give(self) -> None:
        while (found := self._waiting.pop()) is not None:
            if not found[1].done():
                found[1].set_result(None)
                return
        self._free += 1
