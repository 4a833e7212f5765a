"""Measures how long each turn of the event loop takes, without a timer.

Code that works on the loop reports how long it took (`turns_of_loop.worked`): requests, background tasks, reads from a socket.
When the reports of a turn reach a millisecond, a callback is scheduled. The turn is over when the loop calls it; everything else
on the loop waited for that long. Short turns need no callback, and an idle process is not woken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from threading import get_ident
from types import coroutine
from typing import Any, TypeVar

What = tuple[str, ...]
"""What took the time, in words for the log."""
Ended = Callable[[float, float, What], None]
"""Called after a measured turn, with its length in seconds, the processor time of the loop's thread in seconds (0 for a short
turn), and what took longest in it."""
SHORTEST_SECONDS = 0.005
"""The processor time of shorter turns is not measured, and they are not stalls."""
LOOK_SECONDS = 0.001
"""How much work makes a turn measured, and how old a reading of the thread's processor time may be (each reading is a system
call).
The values of a turn may be too high by this much."""

Result = TypeVar("Result")


class LoopTurns:
    """Measures the turns of one loop at a time. It measures nothing while no loop is attached."""

    def __init__(self) -> None:
        self.looked = 0.0
        """When `look` last read the processor time, by `time.perf_counter`."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._ended: Ended | None = None
        self._watched = False
        self._began = 0.0
        self._unwatched_seconds = 0.0
        self._cpu = 0.0
        self._longest = 0.0
        self._what: What = ()

    def attach(self, ended: Ended) -> None:
        """Measures the running loop from now on."""
        self._loop, self._thread, self._ended = asyncio.get_running_loop(), get_ident(), ended
        self._end_turn()

    def detach(self) -> None:
        """Stops measuring."""
        self._loop = self._ended = None
        self._thread = 0

    def look(self) -> None:
        """Reads the processor time. Call it before work, if `looked` is older than `LOOK_SECONDS`."""
        if self._thread == get_ident() and not self._watched:
            self.looked = time.perf_counter()
            self._cpu = time.thread_time()

    def worked(self, seconds: float, what: What) -> None:
        """Reports work that has just ended and took `seconds`. Reports from other threads are ignored."""
        if self._thread != get_ident():
            return
        if seconds > self._longest:
            self._longest, self._what = seconds, what
        if self._watched:
            return
        self._unwatched_seconds += seconds
        if self._unwatched_seconds >= LOOK_SECONDS and self._loop is not None:
            self._watched = True
            self._began = time.perf_counter() - self._unwatched_seconds
            self._loop.call_soon(self._end, self._loop)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop or self._ended is None:
            return
        seconds, what = time.perf_counter() - self._began, self._what
        self._end_turn()
        self._ended(seconds, time.thread_time() - self._cpu if seconds > SHORTEST_SECONDS else 0.0, what)

    def _end_turn(self) -> None:
        self._watched = False
        self._unwatched_seconds = self._longest = 0.0
        self._what = ()


turns_of_loop = LoopTurns()
"""The turns of the process's event loop."""


@coroutine
def in_steps(
    work: Coroutine[Any, Any, Result],
    what: What,
    stepped: Callable[[float, float], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[Any, Any, Result]:
    """Awaits `work`, and reports to `turns_of_loop` how long each of its steps took. `stepped(seconds, now)` is called after each
    step too; `now` is by `clock`."""
    turns = turns_of_loop
    step: Callable[[Any], Any] = work.send
    value: Any = None
    while True:
        began = clock()
        if began - turns.looked >= LOOK_SECONDS:
            turns.look()
        awaited = None
        try:
            awaited = step(value)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        finally:
            # An error refers to this frame, and the awaited future refers to the error. This avoids a cycle.
            value = None
            now = clock()
            turns.worked(now - began, what)
            if stepped is not None:
                stepped(now - began, now)
        try:
            value = yield awaited
            step = work.send
        except GeneratorExit:
            work.close()
            raise
        except BaseException as error:
            value = error
            step = work.throw
