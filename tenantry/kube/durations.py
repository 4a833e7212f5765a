"""Ages in Tables, in kubectl's format (k8s.io/apimachinery/pkg/util/duration HumanDuration)."""

from __future__ import annotations

from datetime import datetime

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


def human_duration(seconds: float) -> str:
    """A duration in at most two units: `5s`, `3m20s`, `47m`, `5h12m`, `30h`, `7d3h`, `45d`, `2y30d`."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    if total < 2 * MINUTE:
        return f"{total}s"
    if total < 10 * MINUTE:
        return _two(total, MINUTE, "m", 1, "s")
    if total < 3 * HOUR:
        return f"{total // MINUTE}m"
    if total < 8 * HOUR:
        return _two(total, HOUR, "h", MINUTE, "m")
    if total < 2 * DAY:
        return f"{total // HOUR}h"
    if total < 8 * DAY:
        return _two(total, DAY, "d", HOUR, "h")
    if total < 2 * YEAR:
        return f"{total // DAY}d"
    if total < 8 * YEAR:
        return _two(total, YEAR, "y", DAY, "d")
    return f"{total // YEAR}y"


def _two(total: int, big: int, big_unit: str, small: int, small_unit: str) -> str:
    rest = total % big // small
    return f"{total // big}{big_unit}{rest}{small_unit}" if rest else f"{total // big}{big_unit}"


def age(since: object, now: datetime) -> str:
    """The time since an RFC 3339 timestamp, `<unknown>` where there is none."""
    if not isinstance(since, str) or not since:
        return "<unknown>"
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        return "<unknown>"
    return human_duration((now - moment).total_seconds())
