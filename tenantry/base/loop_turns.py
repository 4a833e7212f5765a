"""How long each turn of the event loop takes, measured without a timer.

Whoever worked on the loop says for how long (`turns_of_loop.worked`): requests, background tasks, what reads from a socket. Once
that comes to a millisecond, the end of the turn is watched for: it is over when the loop comes round to a callback that was
scheduled then, and whoever wanted something meanwhile waited that long. Short turns need no callback, and a process that does
nothing is not woken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from threading import get_ident
from types import coroutine
from typing import Any, TypeVar

What = tuple[str, ...]
"""What worked, in words for the log."""
Ended = Callable[[float, float, What], None]
"""Called after a turn that was watched: its seconds, how many of them the loop's thread used a processor (0 of a short turn), and
what worked longest in it."""
SHORTEST_SECONDS = 0.005
"""Shorter turns are not looked at any further."""
LOOK_SECONDS = 0.001
"""So much work makes a turn watched, and so old may a reading of the thread's processor time be, which costs a system call. The
values of a turn may be too high by this."""

Result = TypeVar("Result")


class LoopTurns:
    """Of one loop at a time; nothing is measured while no loop is attached."""

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
        """Measures no more."""
        self._loop = self._ended = None
        self._thread = 0

    def look(self) -> None:
        """To be called before work, where `looked` is older than `LOOK_SECONDS`."""
        if self._thread == get_ident() and not self._watched:
            self.looked = time.perf_counter()
            self._cpu = time.thread_time()

    def worked(self, seconds: float, what: What) -> None:
        """Something kept the loop for so long, up to now; on this loop or on one that is not measured."""
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
"""Those of the process's loop."""


@coroutine
def in_steps(
    work: Coroutine[Any, Any, Result],
    what: What,
    stepped: Callable[[float, float], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[Any, Any, Result]:
    """Awaits the work, and reports to `turns_of_loop` how long each of its steps kept the loop. `stepped` is called with it too:
    the seconds, and the time after the step by `clock`."""
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
            # An error holds this frame, and the future that was awaited holds the error: none must hold itself.
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
