"""CEL values as text: `string(x)`, `format`, `strings.quote`."""

from __future__ import annotations

import math
import re
from typing import Any

from tenantry.kube.schema import cel_time
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_values import (
    PER_CHARACTER,
    Cost,
    Duration,
    Opaque,
    Timestamp,
    TypeValue,
    UInt,
    is_number,
    type_name,
)

_PRECISION_MAX = 1000
_CLAUSE = re.compile(r"%(?:\.([0-9]{1,9}))?(.?)", re.DOTALL)
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
    """A double in its shortest form, as Go's `%g`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if text.endswith(".0"):
        text = text[:-2]
    mantissa, e, exponent = text.partition("e")
    power = int(exponent) if e else None
    if power is None and abs(value) >= 1e21:
        return f"{value:e}"
    return text if power is None else f"{mantissa.removesuffix('.0')}e{'-' if power < 0 else '+'}{abs(power):02d}"


def formatted(cost: Cost, template: str, arguments: list[Any]) -> str:
    """`template.format(arguments)`. Charges for what it writes. Raises CelError."""
    out: list[str] = []
    position = place = 0
    for match in _CLAUSE.finditer(template):
        out.append(template[position : match.start()])
        position = match.end()
        precision, verb = match.group(1), match.group(2)
        if verb == "%" and precision is None:
            out.append("%")
            continue
        if place >= len(arguments):
            raise CelError(f"index {place} out of range")
        out.extend(_clause(cost, verb, precision, arguments[place]))
        place += 1
    out.append(template[position:])
    return "".join(out)


def _clause(cost: Cost, verb: str, precision: str | None, value: Any) -> list[str]:
    digits = 6 if precision is None else int(precision)
    if digits > _PRECISION_MAX:
        raise CelError(f"precision {digits} is greater than the maximum of {_PRECISION_MAX}")
    out: list[str] = []
    if verb == "s":
        _write(cost, value, out)
        return out
    text = _number_clause(verb, digits, value)
    if text is None:
        text = _base_clause(cost, verb, value)
    cost.work(len(text) * PER_CHARACTER)
    return [text]


def _number_clause(verb: str, digits: int, value: Any) -> str | None:
    if verb == "d":
        if type(value) not in (int, UInt):
            raise _wrong(verb, value, "decimal clause can only be used on integers")
        return str(int(value))
    if verb in ("f", "e"):
        if not is_number(value):
            raise _wrong(verb, value, "clause can only be used on doubles")
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
        return f"{float(value):.{digits}{verb}}"
    return None


def _base_clause(cost: Cost, verb: str, value: Any) -> str:
    whole = type(value) in (int, UInt)
    if verb == "b" and type(value) is bool:
        return "1" if value else "0"
    if verb in ("b", "o") and whole:
        return f"{int(value):{verb}}"
    if verb in ("x", "X"):
        if whole:
            return f"{int(value):{verb}}"
        if type(value) in (str, bytes):
            cost.work(len(value) * 2 * PER_CHARACTER)
            text = (value.encode() if type(value) is str else value).hex()
            return str(text) if verb == "x" else str(text).upper()
    if verb not in ("b", "o", "x", "X"):
        raise CelError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
    raise _wrong(verb, value, "clause can only be used on integers")


def _wrong(verb: str, value: Any, text: str) -> CelError:
    return CelError(f"error during formatting: {text}, was given {type_name(value)}")


def _write(cost: Cost, value: Any, out: list[str]) -> None:
    """`%s` of any value, without recursion. Each step charges for what it adds."""
    waiting: list[Any] = [(value,)]
    while waiting:
        each = waiting.pop()
        if type(each) is str:
            out.append(each)
            continue
        [each] = each
        if isinstance(each, list) or type(each) is dict:
            cost.work(10 + 10 * len(each))
            waiting.append("]" if isinstance(each, list) else "}")
            waiting.extend(reversed(_between(each)))
            waiting.append("[" if isinstance(each, list) else "{")
        else:
            text = scalar(each)
            cost.work(2)
            cost.work(len(text) * PER_CHARACTER)
            out.append(text)


def _between(value: Any) -> list[Any]:
    parts: list[Any] = []
    if isinstance(value, list):
        for item in value:
            parts += [", ", (item,)] if parts else [(item,)]
        return parts
    for key in sorted(value, key=scalar):
        parts += [", "] if parts else []
        parts += [(key,), ": ", (value[key],)]
    return parts
