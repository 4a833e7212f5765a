"""Garbage collection between turns of the event loop, never inside a call.

Reference counts free nearly everything; the collector is for cycles. The automatic collector runs inside any call that allocates.
A body of a million small lists makes it scan all of them dozens of times within one call of the JSON decoder, and for seconds
nothing else can use the interpreter. So the automatic collector is off in a serving process, and this module collects the same
generations.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 5_000
"""How many containers must be created since the last collection for the next one. It takes a fraction of a millisecond."""
YOUNG_IN_MIDDLE = 10
"""How many collections of the youngest generation there are for each of the middle one. CPython's own value."""
LARGE_BYTES = 8 << 20
"""How many bytes of bodies cause a collection. An error and its frames are a cycle of few containers, but it can refer to a body
and to everything that was made from it."""
OLD_PENDING = 50_000
"""By how many containers the oldest generation must grow before it is collected. The cost of that collection grows with the
objects of a shard."""


@contextmanager
def importing() -> Iterator[None]:
    """Turns the automatic collector off while modules are imported, and excludes what they created from later collections.

    Imports of a server create some 130,000 containers that stay. The collector would scan them several times, a tenth of the
    time of a start. About one in a hundred is garbage, which is not worth a collection.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


class AnsweredBytes:
    """Counts the bytes of the bodies of requests that were answered since the last collection."""

    def __init__(self) -> None:
        self.pending_bytes = 0
        self.moved = 0
        """How many containers `collect` moved to the oldest generation."""

    def collect(self) -> None:
        """Frees the bodies that cycles still refer to. Call it on the event loop, when it has little to do."""
        if self.pending_bytes:
            self.pending_bytes = 0
            young = gc.get_count()[0]
            self.moved += young - gc.collect(1)


bodies = AnsweredBytes()
"""The one object of the process."""


class GarbageCollection:
    """Collects garbage when `run` is called, by the rules of CPython's thresholds."""

    def __init__(self) -> None:
        self._young_runs = 0
        self._pending = 0
        self._old = 0

    def start(self) -> None:
        """Turns the automatic collector off, and excludes the present objects from later collections (`gc.freeze`)."""
        gc.collect()
        bodies.pending_bytes = 0
        gc.freeze()
        gc.disable()

    def stop(self) -> None:
        """Turns the automatic collector on again."""
        gc.enable()

    def due(self) -> bool:
        """Whether there is something to collect."""
        return gc.get_count()[0] >= YOUNG or bodies.pending_bytes >= LARGE_BYTES

    def run(self) -> None:
        """Collects if there is something to collect."""
        if bodies.pending_bytes >= LARGE_BYTES:
            bodies.collect()
            return
        young = gc.get_count()[0]
        if young < YOUNG:
            return
        self._pending += young + bodies.moved
        bodies.moved = 0
        self._young_runs += 1
        if self._young_runs < YOUNG_IN_MIDDLE:
            self._pending -= gc.collect(0)
            return
        self._young_runs = 0
        # CPython's rule with another number: a full collection when the heap has doubled (CPython: grown by a quarter), so that a
        # growing heap costs linear time. There are few cycles, and those of bodies are collected by their bytes.
        if self._pending < max(OLD_PENDING, self._old):
            self._pending -= gc.collect(1)
            return
        self._old += self._pending - gc.collect()
        self._pending = 0
