"""The keys that a syncer has to do: each once, retried after growing pauses."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from tenantry.base.backoff import KeyedBackoff

K = TypeVar("K", bound=Hashable)

FIRST_PAUSE_SECONDS = 0.05
LAST_PAUSE_SECONDS = 60.0


class WorkQueue(Generic[K]):
    """A key is in it once, and is given to one worker at a time. A key that is added while a worker has it is given again after
    that.

    `keys_max`: how many keys may wait before `room` makes the watches wait.
    """

    def __init__(self, keys_max: int) -> None:
        self._waiting: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._backoff: KeyedBackoff[K] = KeyedBackoff(FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS)
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._keys_max = keys_max

    def __len__(self) -> int:
        """How many keys wait, without those that wait for a retry."""
        return len(self._waiting)

    @property
    def retrying(self) -> int:
        """How many keys wait for a retry."""
        return len(self._timers)

    @property
    def idle(self) -> bool:
        """Whether no key waits or is processed. Keys that wait for a retry do not count."""
        return not self._waiting and not self._processing

    async def room(self) -> None:
        """Returns when fewer than `keys_max` keys wait."""
        await self._room.wait()

    def add(self, key: K) -> None:
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key in self._processing:
            return
        self._waiting.append(key)
        self._ready.set()
        if len(self._waiting) >= self._keys_max:
            self._room.clear()

    async def get(self) -> K:
        """Waits for the next key. The caller calls `done` or `retry`."""
        while not self._waiting:
            self._ready.clear()
            await self._ready.wait()
        key = self._waiting.popleft()
        if len(self._waiting) < self._keys_max:
            self._room.set()
        self._dirty.discard(key)
        self._processing.add(key)
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        return key

    def done(self, key: K) -> None:
        """The key succeeded."""
        self._backoff.reset(key)
        self._finish(key)

    def retry(self, key: K, at_least_seconds: float = 0.0) -> None:
        """The key failed: it is added again after a pause that grows with each failure, or earlier if an event adds it."""
        pause = self._backoff.next_seconds(key) * random.uniform(0.5, 1.0)
        self._finish(key)
        if key not in self._dirty:
            self._timers[key] = asyncio.get_running_loop().call_later(max(pause, at_least_seconds), self._due, key)

    def stop(self) -> None:
        """Forgets the keys that wait for a retry."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _finish(self, key: K) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._waiting.append(key)
            self._ready.set()
