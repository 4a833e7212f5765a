"""Whether this shard may answer reads from memory: only while its session is provably alive."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class ReadGuard:
    """A deadline on the monotonic clock. Without a session (one process on its own store) there is none.

    `clock`: seconds, monotonic.
    """

    __slots__ = ("_clock", "deadline")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.deadline = math.inf

    def renewed(self, sent_at: float, ttl_seconds: float, margin_seconds: float) -> None:
        """A keepalive sent at `sent_at` was acknowledged. The time counts from the sending, because the answer may have taken
        long."""
        self.deadline = sent_at + ttl_seconds - margin_seconds

    @property
    def alive(self) -> bool:
        return self._clock() < self.deadline
