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
_UNITS = (
    (1, ("ns", "nano")),
    (10**3, ("us", "µs", "micro")),
    (10**6, ("ms", "milli")),
    (10**9, ("s", "sec")),
    (60 * 10**9, ("m", "min")),
    (3600 * 10**9, ("h", "hr", "hour")),
    (24 * 3600 * 10**9, ("d", "day")),
    (7 * 24 * 3600 * 10**9, ("w", "wk", "week")),
)
"""Nanoseconds, and the words for them. A word may go on after the last one: `seconds`."""


def is_duration(text: str) -> bool:
    """Whether a text has a duration. What stands around the words is not looked at."""
    return nanoseconds(text) is not None


def nanoseconds(text: str) -> int | None:
    """The length of a duration: in Go's form, or the sum of all numbers with a unit, which are whole (`1.5 days` are five). A sum
    past 64 bits goes on from below, as Go's does. None where there is no duration."""
    if len(text) > LENGTH_MAX:
        return None
    found = _GO.fullmatch(text)
    if found is not None:
        length = _in_go_form(found.group(1), found.group(2))
        if length is not None:
            return length
    words = _WORD.findall(text)
    if any(int(number) > _INT64_MAX for number, _ in words):
        return None
    parts = [int(number) * unit for number, word in words if (unit := _unit(word.lower()))]
    return (sum(parts) + _INT64_MAX + 1) % (1 << 64) - _INT64_MAX - 1 if parts else None


def _unit(word: str) -> int:
    """The nanoseconds of a unit, 0 for a word that is none."""
    return next((unit for unit, words in _UNITS if word in words or word.startswith(words[-1])), 0)


def _in_go_form(sign: str, text: str) -> int | None:
    """None where it does not fit into 64 bits of nanoseconds."""
    total = 0
    for whole, fraction, unit in _GO_PART.findall(text):
        total += int(whole or 0) * _GO_UNITS[unit]
        if fraction:
            total += int(fraction) * _GO_UNITS[unit] // 10 ** len(fraction)
    if total > _INT64_MAX + (sign == "-"):
        return None
    return -total if sign == "-" else total
