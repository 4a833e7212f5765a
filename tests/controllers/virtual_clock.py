"""A clock that a test moves from timer to timer."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class VirtualClock:
    """`tenantry.controllers.clock.Clock`, as the test says."""

    def __init__(self) -> None:
        self._now = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        entry = (when, len(self._timers), callback)
        heapq.heappush(self._timers, entry)
        return lambda: self._timers.remove(entry) if entry in self._timers else None

    @property
    def next(self) -> float | None:
        """When the next timer is due."""
        return self._timers[0][0] if self._timers else None

    def advance(self) -> None:
        """To the next timer."""
        self._now, _, callback = heapq.heappop(self._timers)
        callback()
