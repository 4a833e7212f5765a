"""Runs the controllers of a shard over every range that it owns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tenantry.base.tasks import call_each
from tenantry.controllers.clock import Clock, LoopClock
from tenantry.controllers.controller import Controller
from tenantry.controllers.delay_queue import DelayQueue
from tenantry.controllers.ranges import FollowRanges, OwnedRanges
from tenantry.controllers.workers import Workers
from tenantry.storage.range import Range


class ControllerRunner:
    """All controllers of a shard, with one delay queue. Each has a fixed number of workers for all logical clusters."""

    def __init__(
        self,
        ranges: OwnedRanges,
        follow_ranges: FollowRanges,
        controllers: Iterable[Controller[Any]] = (),
        *,
        expected_errors: tuple[type[Exception], ...] = (),
        clock: Clock | None = None,
    ) -> None:
        """`expected_errors`: errors of `reconcile` whose cause is data, not a bug. They are logged without a traceback."""
        self._ranges = ranges
        self._follow_ranges = follow_ranges
        self._expected_errors = expected_errors
        self._clock = clock or LoopClock()
        self._delayed = DelayQueue(self._clock)
        self._workers: list[Workers[Any]] = []
        self._stop_following: Callable[[], None] | None = None
        self._running = False
        self.add(*controllers)

    @property
    def controllers(self) -> Sequence[Controller[Any]]:
        return [workers.controller for workers in self._workers]

    def add(self, *controllers: Controller[Any]) -> None:
        """Adds controllers. Raises RuntimeError after `start`, ValueError for a controller without a name."""
        if self._running:
            raise RuntimeError("controllers have to be added before the runner starts; add them where the shard is wired")
        for controller in controllers:
            if not controller.name:
                raise ValueError(f"{type(controller).__name__} has no name; set `name` on the class")
            self._workers.append(Workers(controller, self._ranges, self._delayed, self._clock, self._expected_errors))

    async def start(self) -> None:
        self._running = True
        self._stop_following = self._follow_ranges(self._acquire)
        for workers in self._workers:
            workers.start()

    async def stop(self) -> None:
        """Stops the workers. Returns when all of them have ended."""
        self._running = False
        if self._stop_following is not None:
            self._stop_following()
        tasks = {task for workers in self._workers for task in workers.stop()}
        self._delayed.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def idle(self) -> bool:
        """Whether nothing waits or runs. Retries that are not due do not count."""
        return all(workers.idle for workers in self._workers)

    @property
    def broken(self) -> str:
        """The name of a worker that ended unexpectedly; empty if all workers run."""
        if not self._running:
            return "all: not started"
        return next((ended for workers in self._workers if (ended := workers.ended)), "")

    def _acquire(self, range_: Range) -> Callable[[], None]:
        releases = [workers.acquire(range_) for workers in self._workers]
        return lambda: call_each(releases, "a controller, on the release of a range,")
