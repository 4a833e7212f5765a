"""Which cluster ids belong to which range: intervals over base36 ids that never overlap.

The first range holds every id that begins with r or s, so the clusters `root` and `system:*` are inside without a special case.
Each later one takes an unused prefix of three characters: 36¹³ ids, far more than a range will ever hold, so minted ids are as
good as random ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
ROOT_INTERVAL = ("r", "t")
AFTER_LAST = chr(ord(DIGITS[-1]) + 1)
PREFIX_LENGTH = 3


class Exhausted(Exception):
    """Every prefix is in use."""


def prefixes() -> Iterator[tuple[str, str]]:
    """All intervals that ranges may take, in order."""
    for first in DIGITS:
        if ROOT_INTERVAL[0] <= first < ROOT_INTERVAL[1]:
            continue
        for second in DIGITS:
            for third in DIGITS:
                start = first + second + third
                yield start, _after(start)


def unused(taken: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The first interval that overlaps none of `taken`, which do not overlap each other. Raises Exhausted."""
    intervals = sorted(taken)
    at = 0
    for start, end in prefixes():
        while at < len(intervals) and intervals[at][1] <= start:
            at += 1
        if at == len(intervals) or intervals[at][0] >= end:
            return start, end
    raise Exhausted(f"all {len(DIGITS) ** PREFIX_LENGTH} intervals of cluster ids are in use")


def _after(prefix: str) -> str:
    """The least text above every text with this prefix, that is itself made of digits (or of one character past them)."""
    kept = prefix.rstrip(DIGITS[-1])
    if not kept:
        return AFTER_LAST
    return kept[:-1] + DIGITS[DIGITS.index(kept[-1]) + 1]
