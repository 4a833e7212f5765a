"""How much history the file keeps: revisions or bytes, whichever is less."""

from __future__ import annotations

from collections import deque

COMPACT_EVERY = 256
"""Revisions. Compaction runs this often, so that each one is a few milliseconds of the writer."""


class Retention:
    """`revisions` suffice for watches that resume; `value_bytes` bounds the file where every revision is a big object."""

    def __init__(self, revisions: int, value_bytes: int) -> None:
        self._revisions = revisions
        self._value_bytes = value_bytes
        self._recent: deque[tuple[int, int]] = deque()
        """(revision, bytes written up to it)"""
        self._written = 0
        self._full_before = 0
        self._full_bytes = 0

    def note(self, revision: int, value_bytes: int) -> None:
        """A revision was committed."""
        recent = self._recent
        if recent and recent[-1][0] == revision:
            # A commit that changed nothing.
            return
        self._written += value_bytes
        recent.append((revision, self._written))
        while recent and recent[0][0] <= revision - self._revisions:
            recent.popleft()
        while recent and self._written - recent[0][1] > self._value_bytes:
            self._full_before = recent.popleft()[0] + 1

    def due(self, revision: int, compacted: int) -> int | None:
        """The revision before which history should be forgotten now; None where that is not worth the while yet."""
        by_count = revision - self._revisions
        if by_count - compacted >= COMPACT_EVERY:
            return max(by_count, self._full_before)
        if self._full_before > compacted and self._written - self._full_bytes > self._value_bytes:
            self._full_bytes = self._written
            return max(by_count, self._full_before)
        return None
