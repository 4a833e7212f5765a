"""The clock of retries and measurements. Tests replace it, so that they do not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Time, and callbacks at a given time."""

    def now(self) -> float:
        """The present time in monotonic seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` when `now` reaches `when`. Returns how to cancel it."""
        ...


class LoopClock:
    """The clock of the event loop that runs at the first call."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        return self._running_loop().time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        return self._running_loop().call_at(when, callback).cancel

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        # `get_running_loop` is a system call (getpid), so its answer is kept.
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        return loop
