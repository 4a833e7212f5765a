"""Schedules of CronJobs: five fields, or a name such as `@daily` (the standard parser of robfig/cron)."""

from __future__ import annotations

import re
from typing import NamedTuple
from zoneinfo import available_timezones

_CHARACTERS_MAX = 4096
_DURATION = re.compile(r"([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+")
_NAMES = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


# Read once: this looks at files.
_ZONES = frozenset(available_timezones())


class _Bounds(NamedTuple):
    first: int
    last: int
    names: tuple[str, ...] = ()


_FIELDS = (_Bounds(0, 59), _Bounds(0, 23), _Bounds(1, 31), _Bounds(1, 12, _MONTHS), _Bounds(0, 6, _DAYS))


def schedule_problem(schedule: str) -> str:
    """What is wrong with a schedule, in the parser's words; empty if nothing is."""
    if len(schedule) > _CHARACTERS_MAX:
        return f"may not be more than {_CHARACTERS_MAX} characters"
    if schedule.startswith("@"):
        return _name_problem(schedule)
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        return f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: [{' '.join(fields)}]"
    for text, bounds in zip(fields, _FIELDS, strict=True):
        for part in filter(None, text.split(",")):
            problem = _part_problem(part, bounds)
            if problem:
                return problem
    return ""


def _name_problem(schedule: str) -> str:
    if schedule in _NAMES:
        return ""
    if schedule.startswith("@every "):
        duration = schedule.removeprefix("@every ")
        if _DURATION.fullmatch(duration):
            return ""
        return f'failed to parse duration {schedule}: time: invalid duration "{duration}"'
    return f"unrecognized descriptor: {schedule}"


def _part_problem(part: str, bounds: _Bounds) -> str:
    interval, slash, step = part.partition("/")
    if "/" in step:
        return f"too many slashes: {part}"
    low, dash, high = interval.partition("-")
    if low in ("*", "?"):
        first, last = bounds.first, bounds.last
        if dash:
            return f"too many hyphens: {part}" if "-" in high else ""
    else:
        try:
            first = _number(low, bounds)
            if "-" in high:
                return f"too many hyphens: {part}"
            last = _number(high, bounds) if dash else bounds.last if slash else first
        except ValueError as error:
            return str(error)
    width = 1
    if slash:
        if not step.isdecimal():
            return f'failed to parse int from {step}: strconv.Atoi: parsing "{step}": invalid syntax'
        width = int(step[:9])
    if first < bounds.first:
        return f"beginning of range ({first}) below minimum ({bounds.first}): {part}"
    if last > bounds.last:
        return f"end of range ({last}) above maximum ({bounds.last}): {part}"
    if first > last:
        return f"beginning of range ({first}) beyond end of range ({last}): {part}"
    return "" if width else f"step of range should be a positive number: {part}"


def _number(text: str, bounds: _Bounds) -> int:
    if text.lower() in bounds.names:
        return bounds.names.index(text.lower()) + bounds.first
    if not text.isdecimal() or not text.isascii() or len(text) > 9:
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def is_time_zone(name: str) -> bool:
    """Whether a name of a time zone is known: `Europe/Berlin`, `UTC`. Any name is on a machine without data of time zones."""
    return bool(name) and name.lower() != "local" and (not _ZONES or name in _ZONES)
