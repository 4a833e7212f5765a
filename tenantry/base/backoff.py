"""Exponential back-off with jitter: the pauses between attempts at something that failed."""

from __future__ import annotations

import asyncio
import random


class Backoff:
    """Pauses that double from `first_seconds` up to `last_seconds`.

    `jitter`: the part of each pause that is left to chance, so that many who failed together do not come back together; 0 for
    exact pauses.
    """

    __slots__ = ("_first_seconds", "_jitter", "_last_seconds", "seconds")

    def __init__(self, first_seconds: float, last_seconds: float, *, jitter: float = 0.5) -> None:
        self._first_seconds = first_seconds
        self._last_seconds = last_seconds
        self._jitter = jitter
        self.seconds = first_seconds
        """The longest that the next pause may be."""

    def next_seconds(self) -> float:
        """The length of the next pause; the one after it may be twice as long."""
        seconds = self.seconds * random.uniform(1.0 - self._jitter, 1.0)
        self.seconds = min(2 * self.seconds, self._last_seconds)
        return seconds

    async def pause(self) -> None:
        """Sleeps for the next pause."""
        await asyncio.sleep(self.next_seconds())

    def reset(self) -> None:
        """Something went well: the next pause is the first one again."""
        self.seconds = self._first_seconds
