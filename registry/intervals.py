"""The intervals of cluster ids that ranges take. Ids are base36 texts, and intervals never overlap.

The first range has every id that begins with r or s, which includes `root` and `system:*`. Each later range takes an unused
prefix of three characters. That leaves 36¹³ ids, so many that random ids do not collide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
ROOT_INTERVAL = ("r", "t")
AFTER_LAST = chr(ord(DIGITS[-1]) + 1)
PREFIX_LENGTH = 3


class Exhausted(Exception):
    """All prefixes are in use."""


def prefixes() -> Iterator[tuple[str, str]]:
    """All intervals `(start, end)` that later ranges may take, in order."""
    for first in DIGITS:
        if ROOT_INTERVAL[0] <= first < ROOT_INTERVAL[1]:
            continue
        for second in DIGITS:
            for third in DIGITS:
                start = first + second + third
                yield start, _after(start)


def unused(taken: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The first interval that overlaps none of `taken`. The intervals of `taken` must not overlap. Raises Exhausted."""
    intervals = sorted(taken)
    at = 0
    for start, end in prefixes():
        while at < len(intervals) and intervals[at][1] <= start:
            at += 1
        if at == len(intervals) or intervals[at][0] >= end:
            return start, end
    raise Exhausted(f"all {len(DIGITS) ** PREFIX_LENGTH} intervals of cluster ids are in use")


def _after(prefix: str) -> str:
    """The smallest text of DIGITS above all texts with this prefix; AFTER_LAST if there is none."""
    kept = prefix.rstrip(DIGITS[-1])
    if not kept:
        return AFTER_LAST
    return kept[:-1] + DIGITS[DIGITS.index(kept[-1]) + 1]
