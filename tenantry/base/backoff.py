"""Exponential back-off with jitter: the pauses between retries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable
from math import inf
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_DOUBLINGS_MAX = 64


class Backoff:
    """Pauses that double from `first_seconds` up to `last_seconds`.

    `jitter`: the random part of each pause, from 0 to 1. It keeps many clients that failed together from retrying together. 0:
    exact pauses.
    """

    __slots__ = ("_first_seconds", "_jitter", "_last_seconds", "seconds")

    def __init__(self, first_seconds: float, last_seconds: float, *, jitter: float = 0.5) -> None:
        self._first_seconds = first_seconds
        self._last_seconds = last_seconds
        self._jitter = jitter
        self.seconds = first_seconds
        """The upper limit of the next pause."""

    @classmethod
    def steady(cls, mean_seconds: float) -> Backoff:
        """Pauses that do not grow, from two thirds to four thirds of `mean_seconds`: where others wait for the success, such as
        the takeover of a range, and a long outage must not make them wait longer."""
        return cls(mean_seconds * 4 / 3, mean_seconds * 4 / 3)

    def next_seconds(self) -> float:
        """Returns the length of the next pause, and doubles the limit of the one after it."""
        seconds = self.seconds * random.uniform(1.0 - self._jitter, 1.0)
        self.seconds = min(2 * self.seconds, self._last_seconds)
        return seconds

    async def pause(self, within_seconds: float = inf) -> bool:
        """Sleeps for the next pause. Returns False, at once, where that would not be over within so many seconds."""
        seconds = self.next_seconds()
        if seconds >= within_seconds:
            return False
        await asyncio.sleep(seconds)
        return True

    def reset(self) -> None:
        """Called after a success. The next pause is the first one again."""
        self.seconds = self._first_seconds


class KeyedBackoff(Generic[K]):
    """Pauses for each of many keys (client-go's ItemExponentialFailureRateLimiter).

    The pause of a key doubles with each of its failures, from `first_seconds` up to `last_seconds`, and is exact. Nothing is kept
    of keys that have no failures.
    """

    __slots__ = ("_failures", "_first_seconds", "_last_seconds")

    def __init__(self, first_seconds: float, last_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._last_seconds = last_seconds
        self._failures: dict[K, int] = {}

    def failures(self, key: K) -> int:
        """How often a key has failed since its last success."""
        return self._failures.get(key, 0)

    def next_seconds(self, key: K) -> float:
        """Counts a failure of a key. Returns the length of the pause before its next attempt."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # The exponent is bounded, because 2.0 to the power of 1024 is an OverflowError.
        return min(self._first_seconds * 2.0 ** min(failures, _DOUBLINGS_MAX), self._last_seconds)

    def reset(self, key: K) -> None:
        """Called when a key succeeded or was removed. Its next pause is the first one again."""
        self._failures.pop(key, None)

    def reset_where(self, concerned: Callable[[K], bool]) -> None:
        """`reset` for every key that is `concerned`."""
        for key in [key for key in self._failures if concerned(key)]:
            del self._failures[key]
