"""A clock that a test sets."""

from __future__ import annotations

HOUR = 3600.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now
