"""Output of the commands: a table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

Row = Mapping[str, Any]
Columns = Sequence[tuple[str, Callable[[Row], Any]]]


FORMS = ("table", "wide", "json", "yaml")


def data(value: Any, form: str) -> str:
    """A value as JSON or YAML. `form`: `json` or `yaml`."""
    return json.dumps(value, indent=2) if form == "json" else str(yaml.safe_dump(value, sort_keys=False)).rstrip()


def render(rows: Sequence[Row], columns: Columns, form: str, more: Columns = ()) -> str:
    """The rows as text. `form`: one of FORMS. A table has a header line, as in kubectl; `wide` adds the columns of `more`."""
    if form in ("json", "yaml"):
        return data([dict(row) for row in rows], form)
    if form == "wide":
        columns = [*columns, *more]
    lines = [[title.upper() for title, _ in columns]]
    lines += [[_text(cell(row)) for _, cell in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join("   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def state_of(row: Row) -> str:
    """The state of a shard's row: `draining` or `serving`."""
    return "draining" if row["draining"] else "serving"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{k}={v}" for k, v in sorted(value.items())) or "<none>"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "<none>"
    return "<none>" if value in ("", None) else str(value)
