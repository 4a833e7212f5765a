"""How much history the file keeps: a number of revisions or of bytes, whichever is less."""

from __future__ import annotations

from collections import deque

COMPACT_EVERY = 256
"""How many revisions are between two compactions. It is small, so that a compaction blocks the writer for a few milliseconds
only."""


class Retention:
    """Decides when to compact. `revisions`: how many are kept, for watches that resume. `value_bytes`: how many bytes of values
    are kept; it bounds the file if every revision is a large object."""

    def __init__(self, revisions: int, value_bytes: int) -> None:
        self._revisions = revisions
        self._value_bytes = value_bytes
        self._recent: deque[tuple[int, int]] = deque()
        """Recent revisions: (revision, bytes written up to it)."""
        self._written = 0
        self._full_before = 0
        self._full_bytes = 0

    def note(self, revision: int, value_bytes: int) -> None:
        """Called when a revision was committed."""
        recent = self._recent
        if recent and recent[-1][0] == revision:
            # The commit changed nothing.
            return
        self._written += value_bytes
        recent.append((revision, self._written))
        while recent and recent[0][0] <= revision - self._revisions:
            recent.popleft()
        while recent and self._written - recent[0][1] > self._value_bytes:
            self._full_before = recent.popleft()[0] + 1

    def due(self, revision: int, compacted: int) -> int | None:
        """The revision before which history should be deleted now. None: too little would be deleted."""
        by_count = revision - self._revisions
        if by_count - compacted >= COMPACT_EVERY:
            return max(by_count, self._full_before)
        if self._full_before > compacted and self._written - self._full_bytes > self._value_bytes:
            self._full_bytes = self._written
            return max(by_count, self._full_before)
        return None
