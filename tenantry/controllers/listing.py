"""Listings: what a controller goes through from end to end, in slices of the loop's turns.

A listing has no bound, it may be a whole range. So it is an iteration that is rested in: all listings of a process, and its other
long work, share one slice of each turn of the loop (`tenantry.base.slices`), and take turns in it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

from tenantry.base.slices import in_slices, turns
from tenantry.base.tasks import FAILURES, restarting
from tenantry.controllers.queue import WorkQueue
from tenantry.storage.range import Range

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


class _Acquired(NamedTuple):
    """What the first listing of a range is more than another one."""

    range_: Range
    wait_for_sync: Callable[[], Awaitable[None]]


class _Listing(NamedTuple, Generic[K]):
    keys: Callable[[], Iterable[K | None]]
    acquired: _Acquired | None = None


class Listings(Generic[K]):
    """The listings of one controller: one after the other, each once however often it is asked for before it begins.

    The keys of a listing are added to the work queue. An iteration gives None for what it looks at and what concerns nobody.
    """

    def __init__(self, name: str, queue: WorkQueue[K]) -> None:
        self._name = name
        self._queue = queue
        self._waiting: dict[Hashable, _Listing[K]] = {}
        self._current: Hashable = None
        """The purpose of the listing under way."""
        self._task: asyncio.Task[None] | None = None
        self._running = False

    @property
    def idle(self) -> bool:
        """No listing waits, and none is under way."""
        return not self._waiting and self._task is None

    def start(self) -> None:
        self._running = True
        self._begin()

    def stop(self) -> asyncio.Task[None] | None:
        """Ends the listing under way. Returns its task, which has to be waited for."""
        self._running = False
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    def add(self, purpose: Hashable, keys: Callable[[], Iterable[K | None]]) -> None:
        """Asks for a listing of `keys()`. One that waits for the same purpose is replaced."""
        self._waiting[purpose] = _Listing(keys)
        self._begin()

    def add_range(
        self, range_: Range, keys: Callable[[], Iterable[K | None]], wait_for_sync: Callable[[], Awaitable[None]]
    ) -> None:
        """Asks for the first listing of a range that was acquired, after `wait_for_sync()`. No key of the range is processed
        before its end."""
        self._queue.pause(range_)
        self._waiting[range_] = _Listing(keys, _Acquired(range_, wait_for_sync))
        self._begin()

    def discard_range(self, range_: Range) -> None:
        """The range was released: its first listing is not begun, or ends."""
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
                # Many listings begin in one turn of the loop, when a range is acquired. None gets a slice before its turn.
                await turns.rest()
                await self._add_keys(purpose, keys())
            except Exception:  # listings serve every tenant: whatever one object provokes must not end those that follow
                FAILURES.inc()
                log.exception("a listing of controller %s failed", self._name)
                self._queue.relist_all = True
            if acquired is not None and self._current is purpose:
                await self._add_keys(purpose, self._queue.resume(acquired.range_))
        self._current = None
        self._task = None

    async def _add_keys(self, purpose: Hashable, keys: Iterable[K | None]) -> None:
        """Ends early when the range that is listed is released."""
        async for key in in_slices(keys):
            if self._current is not purpose:
                return
            if key is not None:
                self._queue.add(key)
