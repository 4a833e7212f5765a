"""CEL values as text: `string(x)`, `strings.quote`."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from tenantry.kube.schema import cel_time
from tenantry.kube.schema.cel_values import Duration, Opaque, Timestamp, TypeValue

_ESCAPES = {7: "\\a", 8: "\\b", 12: "\\f", 10: "\\n", 13: "\\r", 9: "\\t", 11: "\\v", 92: "\\\\", 34: '\\"'}

_FIXED_MIN, _FIXED_MAX = -4, 6
"""The powers of ten between which a double has no exponent (Go's strconv, format `g`)."""


def quote(text: str) -> str:
    """`strings.quote`."""
    return f'"{text.translate(_ESCAPES)}"'


def scalar(value: Any) -> str:
    """`string(x)` of a value that is not a container."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return number(value)
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


def number(value: float) -> str:
    """A double with as few digits as tell it from others, as `strconv.FormatFloat(value, 'g', -1, 64)`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    shortest = Decimal(repr(value)).normalize()
    sign, digits, exponent = shortest.as_tuple()
    power = len(digits) + int(exponent) - 1
    if value and not _FIXED_MIN <= power < _FIXED_MAX:
        first, rest = str(digits[0]), "".join(map(str, digits[1:]))
        return f"{'-' if sign else ''}{first}{'.' if rest else ''}{rest}e{'-' if power < 0 else '+'}{abs(power):02d}"
    return f"{shortest:f}"
