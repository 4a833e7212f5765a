"""Timestamps and durations of CEL."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from tenantry.kube.go_text import quote
from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_values import Cost, Duration, Timestamp

_SECOND = 10**9
_LONGEST = 64
"""The most characters of a timestamp, a duration or a time zone."""
_EARLIEST, _LATEST = -62135596800 * _SECOND, 253402300799 * _SECOND + _SECOND - 1
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)(?:[.,](\d{1,9})\d{0,40})?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_DURATION = re.compile(r"(\d{0,20})(?:\.(\d{0,20}))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND}
_FRACTION = re.compile(r"^[.,][0-9]+")
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86400
_CYCLE_YEARS, _CYCLE_SECONDS = 400, 146097 * 86400
"""After so much the calendar repeats. Go has years that Python does not have."""


def timestamp(value: Any) -> Timestamp:
    """`timestamp(x)`. Raises CelError."""
    if type(value) is Timestamp:
        return value
    if type(value) is int:
        return _moment(value * _SECOND)
    if type(value) is not str:
        raise NoOverload
    made = rfc3339(value)
    if made is None:
        raise CelError("type conversion error from 'string' to 'google.protobuf.Timestamp'")
    return _moment(made.nanoseconds, made.offset_seconds)


def rfc3339(text: str) -> Timestamp | None:
    """A moment as Go's time.Parse reads it, of the years 0 to 9999. None where it is none."""
    match = _RFC3339.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, sign, hours, minutes = match.groups()[6:]
    if sign and not (hours <= "24" and minutes <= "60"):
        return None
    offset = (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == "-" else 1) if sign else 0
    shift = 0 if year else 1
    try:
        whole = datetime(year + shift * _CYCLE_YEARS, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    seconds = (whole - _EPOCH) // timedelta(seconds=1) - shift * _CYCLE_SECONDS - offset
    return Timestamp(seconds * _SECOND + int((fraction or "0").ljust(9, "0")), offset)


def local_problem(text: str) -> str:
    """Why Go does not read a text of the format date-time: what it says of the last layout that it tries, which has no zone."""
    if len(text) > _LONGEST:
        text = text[:_LONGEST]
    rest = text[len("2006-01-02") :]
    if not rest.startswith("T"):
        return f'parsing time {quote(text)} as "2006-01-02T15:04:05": cannot parse {quote(rest)} as "T"'
    return f"parsing time {quote(text)}: extra text: {quote(_FRACTION.sub('', rest[len('T15:04:05') :], 1))}"


def _moment(nanoseconds: int, offset_seconds: int = 0) -> Timestamp:
    if not _EARLIEST <= nanoseconds <= _LATEST:
        raise CelError("timestamp overflow")
    return Timestamp(nanoseconds, offset_seconds)


def _length(nanoseconds: int) -> Duration:
    if not -(1 << 63) <= nanoseconds < 1 << 63:
        raise CelError("integer overflow")
    return Duration(nanoseconds)


def duration(value: Any) -> Duration:
    """`duration(x)`: Go's form, `1h30m`. Raises CelError."""
    if type(value) is Duration:
        return value
    if type(value) is int:
        return _length(value)
    if type(value) is not str:
        raise NoOverload
    text = value.lstrip("+-") if value[:1] in ("+", "-") else value
    total, position = 0, 0
    if len(value) > _LONGEST or not text or len(value) - len(text) > 1:
        raise _no_duration(value)
    if text == "0":
        return Duration(0)
    while position < len(text):
        match = _DURATION.match(text, position)
        if match is None or not (match.group(1) or match.group(2)):
            raise _no_duration(value)
        whole, fraction, unit = match.groups()
        total += int(whole or "0") * _UNITS[unit]
        if fraction:
            total += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
        position = match.end()
    return _length(-total if value.startswith("-") else total)


def _no_duration(text: str) -> CelError:
    return CelError(f'time: invalid duration "{text[:_LONGEST]}"')


def timestamp_text(value: Timestamp) -> str:
    """RFC 3339 in the zone of the timestamp, with as many digits of a second as it has."""
    seconds, rest = divmod(value.nanoseconds, _SECOND)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    moment, cycles = _calendar(seconds + value.offset_seconds)
    hours, minutes = divmod(abs(value.offset_seconds) // 60, 60)
    zone = f"{'-' if value.offset_seconds < 0 else '+'}{hours:02d}:{minutes:02d}" if value.offset_seconds else "Z"
    return f"{moment.year + cycles * _CYCLE_YEARS:04d}-{moment:%m-%dT%H:%M:%S}{fraction}{zone}"


def _calendar(seconds: int) -> tuple[datetime, int]:
    """A moment that Python has in every zone, and how many cycles of the calendar are to be added to it."""
    cycles = -1 if seconds < _EARLIEST // _SECOND + _DAY else 1 if seconds > _LATEST // _SECOND - _DAY else 0
    return _EPOCH + timedelta(seconds=seconds - cycles * _CYCLE_SECONDS), cycles


def duration_text(value: Duration) -> str:
    sign = "-" if value.nanoseconds < 0 else ""
    seconds, rest = divmod(abs(value.nanoseconds), _SECOND)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{sign}{seconds}{fraction}s"


def add(cost: Cost, left: Any, right: Any) -> Any:
    """The sum of timestamps and durations. Raises NoOverload for other values."""
    cost.charge(1)
    return sum_of(left, right)


def sum_of(left: Any, right: Any) -> Any:
    match left, right:
        case Timestamp(), Duration():
            return _moment(left.nanoseconds + right.nanoseconds, left.offset_seconds)
        case Duration(), Timestamp():
            return _moment(left.nanoseconds + right.nanoseconds, right.offset_seconds)
        case Duration(), Duration():
            return _length(left.nanoseconds + right.nanoseconds)
    raise NoOverload


def subtract(left: Any, right: Any) -> Any:
    match left, right:
        case Timestamp(), Duration():
            return _moment(left.nanoseconds - right.nanoseconds, left.offset_seconds)
        case Timestamp(), Timestamp():
            return _length(left.nanoseconds - right.nanoseconds)
        case Duration(), Duration():
            return _length(left.nanoseconds - right.nanoseconds)
    raise NoOverload


# The parts of a timestamp ----------------------------------------------------------------------------------------------


def _zone(name: Any) -> tzinfo:
    if type(name) is not str:
        raise NoOverload
    match = _OFFSET.fullmatch(name)
    if match is not None:
        minutes = int(match.group(2)) * 60 + int(match.group(3))
        return timezone(timedelta(minutes=-minutes if match.group(1) == "-" else minutes))
    if name == "":
        return UTC
    try:
        if len(name) > _LONGEST:
            raise ValueError
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise CelError(f"unknown time zone {name[:_LONGEST]}") from None


_OF_MOMENT: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda t: t.year,
    "getMonth": lambda t: t.month - 1,
    "getDayOfYear": lambda t: t.timetuple().tm_yday - 1,
    "getDayOfMonth": lambda t: t.day - 1,
    "getDate": lambda t: t.day,
    "getDayOfWeek": lambda t: t.isoweekday() % 7,
    "getHours": lambda t: t.hour,
    "getMinutes": lambda t: t.minute,
    "getSeconds": lambda t: t.second,
    "getMilliseconds": lambda t: t.microsecond // 1000,
}
_OF_DURATION = {"getHours": 3600 * _SECOND, "getMinutes": 60 * _SECOND, "getSeconds": _SECOND, "getMilliseconds": 10**6}


def _accessor(name: str) -> Callable[..., int]:
    part = _OF_MOMENT[name]

    def get(cost: Cost, value: Any, zone: Any = "") -> int:
        cost.charge(1)
        if type(value) is Duration and name in _OF_DURATION and zone == "":
            whole = abs(value.nanoseconds) // _OF_DURATION[name]
            return -whole if value.nanoseconds < 0 else whole
        if type(value) is not Timestamp:
            raise NoOverload
        seconds, rest = divmod(value.nanoseconds, _SECOND)
        moment, cycles = _calendar(seconds)
        try:
            found = part((moment + timedelta(microseconds=rest // 1000)).astimezone(_zone(zone)))
            return found + cycles * _CYCLE_YEARS if name == "getFullYear" else found
        except OverflowError:
            raise CelError("timestamp overflow") from None

    return get


ACCESSORS = {name: _accessor(name) for name in _OF_MOMENT}
