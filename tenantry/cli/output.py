"""How commands print: a table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

Row = Mapping[str, Any]
Columns = Sequence[tuple[str, Callable[[Row], Any]]]


def render(rows: Sequence[Row], columns: Columns, form: str) -> str:
    """`form` is table, json or yaml. A table has a header line, as kubectl prints one."""
    if form == "json":
        return json.dumps(list(rows), indent=2)
    if form == "yaml":
        return yaml.safe_dump([dict(r) for r in rows], sort_keys=False).rstrip()
    lines = [[title.upper() for title, _ in columns]]
    lines += [[_text(cell(row)) for _, cell in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join("   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{k}={v}" for k, v in sorted(value.items())) or "<none>"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "<none>"
    return "<none>" if value in ("", None) else str(value)
