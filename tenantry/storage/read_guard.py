"""Decides whether this shard may answer reads from memory: only while its session is provably alive."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class ReadGuard:
    """The deadline until which the session is provably alive. It is infinite without a session (one process on its own store).

    `clock`: seconds, monotonic.
    """

    __slots__ = ("_clock", "deadline")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.deadline = math.inf

    def renewed(self, sent_at: float, ttl_seconds: float, margin_seconds: float) -> None:
        """Called when a keepalive was acknowledged. `sent_at`: when it was sent, by `clock`. The time counts from there, because
        the answer may have been slow."""
        self.deadline = sent_at + ttl_seconds - margin_seconds

    @property
    def alive(self) -> bool:
        return self._clock() < self.deadline
