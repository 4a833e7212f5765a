"""Timestamps as Go's time.Parse accepts and refuses them: metav1.Time (whole seconds) and metav1.MicroTime."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tenantry.base.cache import cached

ZERO_TIMES = frozenset(("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"))
"""Go's zero time, in canonical form. Go writes it as null."""
ZERO = datetime(1, 1, 1, tzinfo=UTC)
_TIME_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_PARTS = (
    (re.compile(r"\d{4}"), "2006"),
    (re.compile("-"), "-"),
    (re.compile(r"\d\d"), "01"),
    (re.compile("-"), "-"),
    (re.compile(r"\d\d"), "02"),
    (re.compile("T"), "T"),
    (re.compile(r"\d\d?"), "15"),
    (re.compile(":"), ":"),
    (re.compile(r"\d\d"), "04"),
    (re.compile(":"), ":"),
    (re.compile(r"\d\d"), "05"),
)
_FRACTION = re.compile(r"[.,]\d+")
_MICROS = re.compile(r"\.\d{6}")
_ZONE = re.compile(r"Z|[+-]\d\d:\d\d")


def parsed_time(text: str) -> datetime:
    """The moment of an RFC 3339 text, in UTC, with microseconds. Raises ValueError with Go's text."""
    if len(text) == 20 and text[4::3] == "--T::Z":
        # The form of the times that the server writes: a Table reads one for each row.
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    return _parse(text, _TIME_LAYOUT)


@cached("times", bytes_max=512 << 10)
def canonical_time(text: str) -> str:
    """RFC 3339 in UTC, whole seconds. Raises ValueError with Go's text."""
    return _written(_parse(text, _TIME_LAYOUT), "seconds")


@cached("micro_times", bytes_max=512 << 10)
def canonical_micro_time(text: str) -> str:
    """RFC 3339 in UTC with exactly six digits of a second. Raises ValueError with Go's text."""
    return _written(_parse(text, _MICRO_LAYOUT), "microseconds")


def _written(moment: datetime, precision: str) -> str:
    # Not strftime, which does not pad years before 1000 on every platform.
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def _parse(text: str, layout: str) -> datetime:
    rest = text
    for pattern, element in _PARTS:
        rest = _take(text, layout, rest, pattern, element)
    if layout is _MICRO_LAYOUT:
        rest = _take(text, layout, rest, _MICROS, ".000000")
    else:
        match = _FRACTION.match(rest)
        rest = rest[match.end() :] if match else rest
    rest = _take(text, layout, rest, _ZONE, "Z07:00")
    if rest:
        raise ValueError(f'parsing time "{text}": extra text: "{rest}"')
    try:
        return datetime.fromisoformat(text.replace(",", ".")).astimezone(UTC)
    except ValueError as error:
        raise ValueError(f'parsing time "{text}": {_out_of_range(str(error))} out of range') from None
    except OverflowError:
        raise ValueError(f'parsing time "{text}": year out of range') from None


def _take(text: str, layout: str, rest: str, pattern: re.Pattern[str], element: str) -> str:
    match = pattern.match(rest)
    if match is None:
        raise ValueError(f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{element}"')
    return rest[match.end() :]


def _out_of_range(problem: str) -> str:
    return next((part for part in ("month", "day", "hour", "minute", "second") if problem.startswith(part)), "day")
