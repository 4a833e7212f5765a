"""A failure of validation before its texts are joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tenantry.kube.field_errors import show
from tenantry.kube.schema.ratchet import Path, path_text

NO_FIELD = "<nil>"
"""What Go prints for a missing path."""


class Problem(NamedTuple):
    """`kind` is that of FieldError. `node` is the value that breaks the rule (ratcheting looks at it), `field` the place
    that is named, NO_FIELD where none is."""

    kind: str
    node: Path
    field: Path | str
    text: str


Check = Callable[[Any, Path, list[Problem]], None]
"""Adds what is wrong with a value at a path."""


def invalid(path: Path, value: Any, rest: str) -> Problem:
    return Problem("Invalid", path, path, f"Invalid value: {show_value(value)}: {path_text(path)} in body {rest}")


def composite(path: Path, rest: str) -> Problem:
    return Problem("Invalid", path, NO_FIELD, f'Invalid value: "": {rest}')


def show_value(value: Any) -> str:
    """Numbers as Go prints float64, everything else as in field.Error."""
    if type(value) is float and value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return show(value)
