"""Printer columns of custom types, from additionalPrinterColumns (apiextensions-apiserver's tableconvertor)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson

from tenantry.kube.columns import AGE, NAME
from tenantry.kube.definition import Column
from tenantry.kube.durations import human_duration
from tenantry.kube.go_text import plain
from tenantry.kube.go_times import ZERO, parsed_time
from tenantry.kube.jsonpath import MISSING, PathTooLong, first_or_missing
from tenantry.kube.numbers import canonical, in_go_form
from tenantry.kube.objects import Object

COLUMNS_MAX = 100
"""The most columns of a Table. What is declared after them is not shown: one definition of 1 MiB has room for 20,000, and each
costs its part of every object. Upstream has no limit."""

_names = re.compile(r"(?:\.[A-Za-z_][A-Za-z0-9_]*+(?=[.\[]|\Z))*+")
_Cell = Callable[[Object, datetime], Any]
_INT64_MIN = -(1 << 63)
_ESCAPED = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
"""Characters that Go's encoder escapes in texts, and that stand nowhere else."""


def columns_of(declared: Sequence[Object]) -> tuple[Column, ...]:
    """The columns of a version: the name, and the columns that the definition declares (the age where it declares none).

    The first column with a path that cannot be parsed ends them, as upstream: the definition was accepted with it. There are
    COLUMNS_MAX at most.
    """
    columns = [NAME]
    for each in (declared or _DEFAULT)[: COLUMNS_MAX - 1]:
        try:
            columns.append(_column(each))
        except ValueError:
            break
    return tuple(columns)


_DEFAULT: Sequence[Object] = (
    {"name": "Age", "type": "date", "description": AGE.description, "jsonPath": ".metadata.creationTimestamp"},
)


def _column(declared: Object) -> Column:
    path = declared["jsonPath"]
    return Column(
        name=declared["name"],
        type=declared["type"],
        format=declared.get("format") or "",
        description=declared.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
        priority=declared.get("priority") or 0,
        cell=_cell(path, declared["type"]),
        reads=_reads(path),
    )


def _reads(path: str) -> tuple[str, ...]:
    """`Column.reads` of a path: the names that it begins with."""
    if "$" in path or "{" in path or "}" in path:
        return ()
    return tuple(_names.match(path)[0].split(".")[1:])  # type: ignore[index]


def _cell(path: str, kind: str) -> _Cell:
    """Raises ValueError for a path that upstream cannot parse."""
    try:
        get = first_or_missing(path)
    except PathTooLong:
        # Upstream reads it. Its column stays empty.
        return lambda obj, now: None
    convert = _CONVERT[kind]

    def cell(obj: Object, now: datetime) -> Any:
        value = get(obj)
        return None if value is MISSING else convert(value, now)

    return cell


def _string(value: Any, now: datetime) -> Any:
    if isinstance(value, str):
        return value
    if value is None:
        return "<no value>"
    if isinstance(value, dict | list):
        text = in_go_form(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
        for character, escaped in _ESCAPED:
            text = text.replace(character, escaped)
        return text.decode()
    # What int64 does not hold is a float64 for Go.
    return plain(float(value) if type(value) is int and not _is_int64(value) else value)


def _is_int64(value: float) -> bool:
    return _INT64_MIN <= value < -_INT64_MIN


def _integer(value: Any, now: datetime) -> Any:
    if type(value) not in (int, float):
        return None
    # Go's conversion of a float that int64 does not hold.
    return int(value) if _is_int64(value) else _INT64_MIN


def _number(value: Any, now: datetime) -> Any:
    return canonical(float(value)) if type(value) in (int, float) else None


def _boolean(value: Any, now: datetime) -> Any:
    return value if type(value) is bool else None


def _date(value: Any, now: datetime) -> Any:
    if not isinstance(value, str):
        return None
    if value in ("", "null"):
        return "<unknown>"
    try:
        moment = parsed_time(value)
    except ValueError:
        return "<invalid>"
    return "<unknown>" if moment == ZERO else human_duration((now - moment).total_seconds())


_CONVERT: dict[str, Callable[[Any, datetime], Any]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
}
