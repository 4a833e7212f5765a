"""Durations as Go reads and writes them (`time.ParseDuration`, `Duration.String`), in nanoseconds."""

from __future__ import annotations

from tenantry.kube.schema import cel_time
from tenantry.kube.schema.cel_errors import CelError

SECOND = 10**9
_MINUTE, _HOUR = 60 * SECOND, 3600 * SECOND
_SMALL = (("ms", 10**6), ("µs", 10**3), ("ns", 1))


def parsed(text: str) -> int:
    """The nanoseconds of `1h30m`. Raises ValueError with Go's text."""
    try:
        return cel_time.duration(text).nanoseconds
    except CelError as error:
        raise ValueError(str(error)) from None


def written(nanoseconds: int) -> str:
    """`1h30m0s`, `1.5s`, `100ms`."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < SECOND:
        unit, size = next((unit, size) for unit, size in _SMALL if rest >= size)
        return f"{sign}{_decimal(rest, size)}{unit}"
    hours, rest = divmod(rest, _HOUR)
    minutes, rest = divmod(rest, _MINUTE)
    text = f"{_decimal(rest, SECOND)}s"
    if hours:
        text = f"{hours}h{minutes}m{text}"
    elif minutes:
        text = f"{minutes}m{text}"
    return sign + text


def _decimal(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    fraction = str(rest).rjust(len(str(size)) - 1, "0").rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)
