"""Listings: complete iterations of a controller over many keys, in slices of the loop's turns.

A listing may cover a whole range, so it has no size limit. All listings and other long tasks of a process share one slice of each
turn of the loop (`tenantry.base.time_slices`), and take turns in it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

from tenantry.base.tasks import FAILURES, restarting
from tenantry.base.time_slices import in_slices, turns
from tenantry.controllers.queue import WorkQueue
from tenantry.storage.range import Range

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


class _Acquired(NamedTuple):
    """What the first listing of an acquired range needs in addition."""

    range_: Range
    wait_for_sync: Callable[[], Awaitable[None]]


class _Listing(NamedTuple, Generic[K]):
    keys: Callable[[], Iterable[K | None]]
    acquired: _Acquired | None = None


class Listings(Generic[K]):
    """The listings of one controller. They run one after the other; several requests for a waiting listing are one listing.

    The keys of a listing are added to the work queue. An iteration yields None for an item that is no key.
    """

    def __init__(self, name: str, queue: WorkQueue[K]) -> None:
        self._name = name
        self._queue = queue
        self._waiting: dict[Hashable, _Listing[K]] = {}
        self._current: Hashable = None
        """The purpose of the running listing."""
        self._task: asyncio.Task[None] | None = None
        self._running = False

    @property
    def idle(self) -> bool:
        """Whether no listing is waiting or running."""
        return not self._waiting and self._task is None

    def start(self) -> None:
        self._running = True
        self._begin()

    def stop(self) -> asyncio.Task[None] | None:
        """Cancels the running listing. Returns its task, which the caller has to await."""
        self._running = False
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    def add(self, purpose: Hashable, keys: Callable[[], Iterable[K | None]]) -> None:
        """Requests a listing of `keys()`. It replaces a waiting listing with the same purpose."""
        self._waiting[purpose] = _Listing(keys)
        self._begin()

    def add_range(
        self, range_: Range, keys: Callable[[], Iterable[K | None]], wait_for_sync: Callable[[], Awaitable[None]]
    ) -> None:
        """Requests the first listing of an acquired range, after `wait_for_sync()`. No key of the range is processed before the
        end of the listing."""
        self._queue.pause(range_)
        self._waiting[range_] = _Listing(keys, _Acquired(range_, wait_for_sync))
        self._begin()

    def discard_range(self, range_: Range) -> None:
        """Cancels the first listing of a range that was released."""
        self._waiting.pop(range_, None)
        self._queue.resume(range_)
        if self._current is range_:
            self._current = None

    def _begin(self) -> None:
        if self._running and self._waiting and self._task is None:
            self._task = restarting(self._list, name=f"{self._name}-listings", ends=True)

    async def _list(self) -> None:
        while self._waiting:
            purpose = next(iter(self._waiting))
            keys, acquired = self._waiting.pop(purpose)
            self._current = purpose
            try:
                if acquired is not None:
                    await acquired.wait_for_sync()
                # When a range is acquired, many listings begin in one turn of the loop. Each waits for its slice.
                await turns.rest()
                await self._add_keys(purpose, keys())
            except Exception:  # one object may cause any error; it must not end the listings of other tenants
                FAILURES.inc()
                logger.exception("a listing of controller %s failed", self._name)
                self._queue.relist_all = True
            if acquired is not None and self._current is purpose:
                await self._add_keys(purpose, self._queue.resume(acquired.range_))
        self._current = None
        self._task = None

    async def _add_keys(self, purpose: Hashable, keys: Iterable[K | None]) -> None:
        """Adds keys to the work queue. Ends early if the listed range is released."""
        async for key in in_slices(keys):
            if self._current is not purpose:
                return
            if key is not None:
                self._queue.add(key)
