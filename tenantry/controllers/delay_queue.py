"""Keys that are added to their work queues later (client-go: delaying queue). All controllers share one heap and one timer."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

from tenantry.controllers.clock import Clock
from tenantry.controllers.queue import WorkQueue

K = TypeVar("K", bound=Hashable)

BATCH_MAX = 128
"""Maximum number of keys that are moved to their work queues in one turn of the loop."""
_STALE_ENTRIES_MAX = 64


class _Entry(NamedTuple):
    due: float
    number: int
    """Unique, so that queues and keys are never compared."""
    queue: WorkQueue[Any]
    key: Any


class DelayQueue:
    """Keys with the time at which they are due. Each key is in it once; if it is added again, the earlier time counts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[_Entry] = []
        self._current: dict[tuple[WorkQueue[Any], Any], _Entry] = {}
        """The valid entry of each key. Other entries in the heap are stale and are skipped when they are due."""
        self._numbers = itertools.count()
        self._timer_due = 0.0
        self._cancel_timer: Callable[[], None] | None = None

    def __len__(self) -> int:
        """The number of waiting keys."""
        return len(self._current)

    def add_after(self, queue: WorkQueue[K], key: K, seconds: float) -> None:
        """Adds a key to a work queue after `seconds`, but not before the next turn of the loop."""
        due = self._clock.now() + seconds
        current = self._current.get((queue, key))
        if current is not None and current.due <= due:
            return
        entry = self._current[queue, key] = _Entry(due, next(self._numbers), queue, key)
        heapq.heappush(self._heap, entry)
        self._drop_stale()
        self._set_timer()

    def discard(self, queue: WorkQueue[K], concerned: Callable[[K], bool]) -> None:
        """Removes the keys of a work queue for which `concerned` is true."""
        for place in [(of, key) for of, key in self._current if of is queue and concerned(key)]:
            del self._current[place]
        self._drop_stale()

    def stop(self) -> None:
        """Stops the timer until a key is added."""
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None

    def _is_current(self, entry: _Entry) -> bool:
        return self._current.get((entry.queue, entry.key)) is entry

    def _drop_stale(self) -> None:
        """Removes stale entries if there are too many, because otherwise they stay until they are due."""
        if len(self._heap) > 2 * len(self._current) + _STALE_ENTRIES_MAX:
            self._heap = [entry for entry in self._heap if self._is_current(entry)]
            heapq.heapify(self._heap)

    def _set_timer(self) -> None:
        if not self._heap:
            return
        due = self._heap[0].due
        if self._cancel_timer is not None:
            if self._timer_due <= due:
                return
            self._cancel_timer()
        self._timer_due = due
        self._cancel_timer = self._clock.call_at(due, self._move_due)

    def _move_due(self) -> None:
        self._cancel_timer = None
        now, left = self._clock.now(), BATCH_MAX
        while self._heap and self._heap[0].due <= now and left:
            left -= 1
            entry = heapq.heappop(self._heap)
            if self._is_current(entry):
                del self._current[entry.queue, entry.key]
                entry.queue.add(entry.key)
        self._set_timer()
