"""Sizes and costs of the estimate: whole numbers of 64 bits, which stay at the largest one where they would be larger."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

MOST = (1 << 64) - 1
PER_CHARACTER = 0.1
PER_PATTERN_CHARACTER = 0.25
LIST_COST, MAP_COST, MESSAGE_COST = 10, 30, 40


def plus(one: int, other: int) -> int:
    return min(MOST, one + other)


def times(one: int, other: int) -> int:
    return min(MOST, one * other)


def scaled(size: int, factor: float) -> int:
    """`size * factor`, rounded up, with the precision of a double."""
    if factor <= 0 or size == 0:
        return 0
    return MOST if float(size) > MOST / factor else min(MOST, ceil(float(size) * factor))


class Size(NamedTuple):
    """The smallest and the largest size of a value: characters, bytes, items or entries."""

    smallest: int
    largest: int

    def __add__(self, other: Size) -> Size:  # type: ignore[override]
        return Size(plus(self.smallest, other.smallest), plus(self.largest, other.largest))

    def times(self, other: Size) -> Size:
        return Size(times(self.smallest, other.smallest), times(self.largest, other.largest))

    def union(self, other: Size) -> Size:
        return Size(min(self.smallest, other.smallest), max(self.largest, other.largest))

    def cost(self, factor: float) -> int:
        """The highest cost of so many units."""
        return scaled(self.largest, factor)


def fixed(size: int) -> Size:
    return Size(size, size)


UNKNOWN = Size(0, MOST)
