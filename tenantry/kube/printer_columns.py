"""Printer columns of custom types, from additionalPrinterColumns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson

from tenantry.kube.columns import AGE, NAME
from tenantry.kube.definition import Column
from tenantry.kube.durations import age, human_duration
from tenantry.kube.go_text import plain
from tenantry.kube.jsonpath import first
from tenantry.kube.objects import Object

_Cell = Callable[[Object, datetime], Any]
_AGE = Column(
    name="Age",
    type="date",
    description=AGE.description,
    cell=lambda obj, now: age(obj.get("metadata", {}).get("creationTimestamp"), now),
)


def columns_of(declared: Sequence[Object]) -> tuple[Column, ...]:
    """The columns of a version: the name, and the columns that the definition declares (the age where it declares none)."""
    if not declared:
        return (NAME, _AGE)
    return (NAME, *(_column(c) for c in declared))


def _column(declared: Object) -> Column:
    path = declared["jsonPath"]
    return Column(
        name=declared["name"],
        type=declared["type"],
        format=declared.get("format") or "",
        description=declared.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
        priority=declared.get("priority") or 0,
        cell=_cell(path, declared["type"]),
    )


def _cell(path: str, kind: str) -> _Cell:
    try:
        get = first(path)
    except ValueError:
        # kube-apiserver accepts a definition with an invalid path; the column stays empty.
        return lambda obj, now: None
    convert = _CONVERT[kind]

    def cell(obj: Object, now: datetime) -> Any:
        value = get(obj)
        return None if value is None else convert(value, now)

    return cell


def _string(value: Any, now: datetime) -> Any:
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, (dict, list)) else plain(value)


def _integer(value: Any, now: datetime) -> Any:
    return int(value) if type(value) in (int, float) else None


def _number(value: Any, now: datetime) -> Any:
    return value if type(value) in (int, float) else None


def _boolean(value: Any, now: datetime) -> Any:
    return value if type(value) is bool else None


def _date(value: Any, now: datetime) -> Any:
    if not isinstance(value, str):
        return None
    try:
        return human_duration((now - datetime.fromisoformat(value)).total_seconds())
    except (ValueError, TypeError):
        return "<invalid>"


_CONVERT: dict[str, Callable[[Any, datetime], Any]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
}
