"""How long each turn of the event loop takes, measured without a timer.

Whoever begins to work on the loop says so (`turns_of_loop.begin()`): requests, background tasks, what reads from a socket. The
turn is over when the loop comes round to a callback that was scheduled then, and whoever wanted something meanwhile waited that
long. A process that does nothing is not woken for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

What = tuple[str, ...]
"""What worked, in words for the log."""
Ended = Callable[[float, float, What], None]
"""Called after a turn: its seconds, how many of them the loop's thread used a processor (0 of a short turn), and what worked
longest in it."""
SHORTEST_SECONDS = 0.005
"""Of a shorter turn nobody wants to know more. The processor's time costs a system call."""

Result = TypeVar("Result")


class LoopTurns:
    """Of one loop at a time, and of nobody's while nothing is attached."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: Ended | None = None
        self._under_way = False
        self._began = 0.0
        self._cpu = 0.0
        self._longest = 0.0
        self._what: What = ()

    def attach(self, ended: Ended) -> None:
        """Measures the running loop from now on."""
        self._loop, self._ended = asyncio.get_running_loop(), ended
        self._under_way = False

    def detach(self) -> None:
        self._loop = self._ended = None

    def begin(self) -> None:
        """Work begins, on this loop or on one that is not measured."""
        if self._under_way or self._loop is None or asyncio.get_running_loop() is not self._loop:
            return
        self._under_way = True
        self._longest, self._what = 0.0, ()
        self._cpu = time.thread_time()
        self._began = time.perf_counter()
        self._loop.call_soon(self._end, self._loop)

    def worked(self, seconds: float, what: What) -> None:
        """Something kept the loop for so long."""
        if seconds > self._longest and self._under_way and asyncio.get_running_loop() is self._loop:
            self._longest, self._what = seconds, what

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop or self._ended is None:
            return
        self._under_way = False
        seconds = time.perf_counter() - self._began
        self._ended(seconds, time.thread_time() - self._cpu if seconds > SHORTEST_SECONDS else 0.0, self._what)


turns_of_loop = LoopTurns()
"""Those of the process's loop."""


@coroutine
def in_steps(
    work: Coroutine[Any, Any, Result],
    what: What,
    stepped: Callable[[float, float], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[Any, Any, Result]:
    """Awaits the work, and tells `turns_of_loop`, and `stepped` (seconds, and now by the clock), how long each of its steps kept
    the loop."""
    step: Callable[[Any], Any] = work.send
    value: Any = None
    while True:
        turns_of_loop.begin()
        began = clock()
        try:
            awaited = step(value)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        finally:
            now = clock()
            turns_of_loop.worked(now - began, what)
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
