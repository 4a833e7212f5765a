"""When garbage is collected: between turns of the loop, never inside of a call.

Reference counts free nearly everything; the collector is for cycles. Left to itself it runs inside of whatever allocates: a body
of a million small lists makes it look at all of them dozens of times within one call of the JSON decoder, seconds in which
nothing else can have the interpreter. So the automatic one is off in a serving process, and the same generations are collected
here.
"""

from __future__ import annotations

import gc

YOUNG = 5_000
"""Containers made since the last collection that make one worth while: a fraction of a millisecond."""
YOUNG_IN_MIDDLE = 10
"""Collections of the youngest generation for each of the middle one: CPython's own value."""
LARGE_BYTES = 8 << 20
"""So many bytes of bodies make a collection worth while, too: an error and the frames that it passed through are a cycle, of few
containers, which may hold a body and all that was made of it."""
OLD_PENDING = 50_000
"""The least growth of the oldest generation that makes it worth looking at: it is the pass that grows with what a shard holds."""


class Bodies:
    """How many bytes of bodies were answered since the last collection."""

    def __init__(self) -> None:
        self.pending_bytes = 0
        self.moved = 0
        """Containers that `collect` made old."""

    def collect(self) -> None:
        """Frees what cycles still hold of bodies that were answered. To be called on the loop, when it has little to do."""
        if self.pending_bytes:
            self.pending_bytes = 0
            young = gc.get_count()[0]
            self.moved += young - gc.collect(1)


bodies = Bodies()
"""Those of the process."""


class GarbageCollection:
    """Collects when `run` is called, as CPython's thresholds would have it."""

    def __init__(self) -> None:
        self._young_runs = 0
        self._pending = 0
        self._old = 0

    def start(self) -> None:
        """Takes over from the automatic collector, and keeps it from looking again at what is there now."""
        gc.collect()
        bodies.pending_bytes = 0
        gc.freeze()
        gc.disable()

    def stop(self) -> None:
        """Gives over to the automatic collector again."""
        gc.enable()

    def due(self) -> bool:
        """Whether there is something to collect."""
        return gc.get_count()[0] >= YOUNG or bodies.pending_bytes >= LARGE_BYTES

    def run(self) -> None:
        """A collection where there is something to collect."""
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
        # CPython's rule with another number: the whole is looked at when it has doubled (CPython: grew by a quarter), so that a
        # growing heap costs linear time. Cycles are few here, and those of bodies are collected by their bytes.
        if self._pending < max(OLD_PENDING, self._old):
            self._pending -= gc.collect(1)
            return
        self._old += self._pending - gc.collect()
        self._pending = 0
