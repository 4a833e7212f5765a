"""Work that is counted, not timed; and a second net, of time, for what Python does not see.

`lines` counts the lines that run, and for a search by a method of a list (`count`, `index`, `remove`) the items of the list.
`x in list` is one line however long the list is: `Seen` is text whose comparisons are lines too. What else is done in C shows in
`assert_time_is_linear`: sixteen times the input may take as many times as long, times a generous factor.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

GROWTH = 4
SLACK = 1.25
"""Counted work may grow by a quarter more than the input: logarithms of sorting, first rounds of a budget."""
TIME_GROWTH, TIME_FACTOR, NOISE_SECONDS = 16, 6, 0.1
_SEARCHES = frozenset({"count", "index", "remove"})


class Seen(str):
    """Text that runs a line for each comparison."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return str.__ne__(self, other)

    __hash__ = str.__hash__


def lines(work: Callable[[], object]) -> int:
    """How many lines run, and items of lists are searched."""
    count = 0

    def line(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return line

    def call(frame: Any, event: str, called: Any) -> None:
        nonlocal count
        if event == "c_call" and called.__name__ in _SEARCHES and type(called.__self__) is list:
            count += len(called.__self__)

    previous = sys.gettrace(), sys.getprofile()
    sys.setprofile(call)
    sys.settrace(line)
    try:
        work()
    finally:
        sys.settrace(previous[0])
        sys.setprofile(previous[1])
    return count


def assert_linear(make: Callable[[int], Callable[[], object]], small: int = 48) -> None:
    """`make(n)` prepares input of size n and returns the work on it. Four times the input is at most four times the work, and a
    constant."""
    for size in (small, GROWTH * small):
        make(size)()
    first, second = lines(make(small)), lines(make(GROWTH * small))
    assert second <= GROWTH * SLACK * first, f"{small} → {GROWTH * small} of input, {first} → {second} lines"


def _seconds(work: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    try:
        started = time.process_time()
        work()
        return time.process_time() - started
    finally:
        gc.enable()


def assert_time_is_linear(make: Callable[[int], Callable[[], object]], small: int = 256, attempts: int = 15) -> None:
    """The same by the processor's time, over a wide growth. Asked again before it fails: a busy machine is no fault."""
    times = ""
    first = second = float("inf")
    for _ in range(attempts):
        # The shorter one is what a pause would make longer by many times, and with it what the other one may take.
        first = min(first, *(_seconds(make(small)) for _ in range(3)))
        second = min(second, _seconds(make(TIME_GROWTH * small)))
        if second <= max(NOISE_SECONDS, TIME_GROWTH * TIME_FACTOR * first):
            return
        times = f"{small} → {TIME_GROWTH * small} of input, {first:.4f} → {second:.4f} s"
    raise AssertionError(times)
