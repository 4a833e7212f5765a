"""How commands print: a table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

Row = Mapping[str, Any]
Columns = Sequence[tuple[str, Callable[[Row], Any]]]


FORMS = ("table", "wide", "json", "yaml")


def data(value: Any, form: str) -> str:
    """As JSON or YAML, as `form` says."""
    return json.dumps(value, indent=2) if form == "json" else str(yaml.safe_dump(value, sort_keys=False)).rstrip()


def render(rows: Sequence[Row], columns: Columns, form: str, more: Columns = ()) -> str:
    """`form` is one of FORMS. A table has a header line, as kubectl prints one; a wide one has the columns of `more` too."""
    if form in ("json", "yaml"):
        return data([dict(row) for row in rows], form)
    if form == "wide":
        columns = [*columns, *more]
    lines = [[title.upper() for title, _ in columns]]
    lines += [[_text(cell(row)) for _, cell in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join("   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def state_of(row: Row) -> str:
    """Of a shard."""
    return "draining" if row["draining"] else "serving"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{k}={v}" for k, v in sorted(value.items())) or "<none>"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "<none>"
    return "<none>" if value in ("", None) else str(value)
