"""Durations as go-openapi reads them: Go's own form, or words such as `5 minutes` anywhere in a text."""

from __future__ import annotations

import re

LENGTH_MAX = 256
"""A longer text is refused. Upstream has no limit."""
_INT64_MAX = (1 << 63) - 1
_GO = re.compile(r"([+-]?)(0|(?:(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:ns|us|µs|μs|ms|s|m|h))+)")
_GO_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_GO_UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_WORD = re.compile(r"(?<![0-9])([0-9]++)[ \t\n\f\r]*+([A-Za-zµ]+)")
_EXACT = frozenset(("ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk"))
_PREFIXES = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")


def is_duration(text: str) -> bool:
    """Whether a text has a duration. What stands around the words is not looked at."""
    if len(text) > LENGTH_MAX:
        return False
    found = _GO.fullmatch(text)
    if found is not None and _fits(found.group(1), found.group(2)):
        return True
    words = _WORD.findall(text)
    if any(int(number) > _INT64_MAX for number, _ in words):
        return False
    return any(word.lower() in _EXACT or word.lower().startswith(_PREFIXES) for _, word in words)


def _fits(sign: str, text: str) -> bool:
    """Whether a duration in Go's form fits into 64 bits of nanoseconds."""
    total = 0
    for whole, fraction, unit in _GO_PART.findall(text):
        total += int(whole or 0) * _GO_UNITS[unit]
        if fraction:
            total += int(fraction) * _GO_UNITS[unit] // 10 ** len(fraction)
    return total <= _INT64_MAX + (sign == "-")
