"""Tables, the format that `kubectl get` prints (meta.k8s.io Table)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tenantry.kube.codec.partial import partial
from tenantry.kube.columns import CREATED_AT, NAME
from tenantry.kube.decode import NOT_OF_ITS_TYPE, is_of_its_type
from tenantry.kube.definition import Column, ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.status import bad_request

INCLUDE = ("None", "Metadata", "Object")
_LONG_TEXT = 64
_TEXTS_MAX = 8 * 1024
"""How long all texts above _LONG_TEXT of a row may be, beside twice the longest one."""


def table(
    definition: ResourceDefinition,
    version: str,
    objects: Sequence[Object],
    *,
    include_object: str,
    list_metadata: Object | None,
    columns: bool,
    now: datetime,
    meta_version: str = "v1",
) -> Object:
    """The Table of some objects in the shape of `version`.

    `include_object` is the query parameter (empty means Metadata; any unknown value is a 400). `columns` is False for the later
    events of a watch, whose columnDefinitions are null. `now` is the time for ages. `meta_version` is the version of meta.k8s.io.
    """
    if include_object and include_object not in INCLUDE:
        raise bad_request(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{include_object}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )
    shown = definition.versions[version].columns or _fallback()
    rows: list[Object] = []
    for obj in objects:
        try:
            found = cells(shown, obj, now)
        except NOT_OF_ITS_TYPE:
            if is_of_its_type(obj, definition.versions[version]):
                raise
            found = [_cell(column, obj, now) for column in shown]
        row: Object = {"cells": found}
        if include_object == "Object":
            row["object"] = obj
        elif include_object != "None":
            row["object"] = partial(obj, version=meta_version)
        else:
            row["object"] = None
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{meta_version}",
        "metadata": list_metadata or {},
        "columnDefinitions": [column_definition(c) for c in shown] if columns else None,
        "rows": rows,
    }


def cells(shown: Sequence[Column], obj: Object, now: datetime) -> list[Any]:
    """The cells of a row. A long text is null where the texts before it are too long together: a hundred columns may show the
    same large field, and a row would be a hundred times as large as its object."""
    cells: list[Any] = []
    longest = total = 0
    for column in shown:
        cell = column.cell(obj, now)
        if type(cell) is str and len(cell) > _LONG_TEXT:
            size = len(cell)
            longest = max(longest, size)
            if total + size > _TEXTS_MAX + 2 * longest:
                cell = None
            else:
                total += size
        cells.append(cell)
    return cells


def _cell(column: Column, obj: Object, now: datetime) -> Any:
    """A cell of an object that is not of its type: null where there is none."""
    try:
        return column.cell(obj, now)
    except NOT_OF_ITS_TYPE:
        return None


def column_definition(column: Column) -> Object:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _fallback() -> tuple[Column, ...]:
    """The columns of types that declare none: those of upstream's default table convertor."""
    return (NAME, CREATED_AT)
