"""CEL values as text: `string(x)`, `strings.quote`."""

from __future__ import annotations

from typing import Any

from tenantry.kube import go_text
from tenantry.kube.schema import cel_time
from tenantry.kube.schema.cel_values import Duration, Opaque, Timestamp, TypeValue

_ESCAPES = {7: "\\a", 8: "\\b", 12: "\\f", 10: "\\n", 13: "\\r", 9: "\\t", 11: "\\v", 92: "\\\\", 34: '\\"'}


def quote(text: str) -> str:
    """`strings.quote`."""
    return f'"{text.translate(_ESCAPES)}"'


def scalar(value: Any) -> str:
    """`string(x)` of a value that is not a container."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return go_text.plain(value)
        case Timestamp():
            return cel_time.timestamp_text(value)
        case Duration():
            return cel_time.duration_text(value)
        case TypeValue():
            return value.name
        case None:
            return "null"
        case bytes():
            return value.decode(errors="replace")
        case Opaque():
            return str(value.value)
    return str(int(value)) if isinstance(value, int) else str(value)
