"""`format` of CEL as Kubernetes has it: version 2 of cel-go's strings, which writes numbers for readers of English.

So `%f` has a comma between thousands, `%e` an exponent in superscript and always six digits, whatever precision it names, and
infinity is `∞`. What is in a list or map is written as a literal of CEL.
"""

from __future__ import annotations

import math
from typing import Any

from tenantry.kube import go_text
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_text import scalar
from tenantry.kube.schema.cel_values import (
    PER_CHARACTER,
    Cost,
    Duration,
    Opaque,
    Optional,
    Timestamp,
    UInt,
    type_name,
)

_PRECISION_MAX = 1000
"""cel-go has no limit, and Go's own printing of a number has a lower one."""
_DIGITS = 6
_ATOI_DIGITS = 18
"""Longer ones are past 64 bits, or begin with zeros."""
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_INFINITY = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_TEXTS = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
_BASES = {
    "b": "only integers and bools can be formatted as binary",
    "o": "octal clause can only be used on integers",
    "x": "only integers, byte buffers, and strings can be formatted as hex",
}


def formatted(cost: Cost, template: str, arguments: list[Any]) -> str:
    """`template.format(arguments)`. Charges for what it writes. Raises CelError."""
    out: list[str] = []
    position = place = 0
    while (percent := template.find("%", position)) >= 0:
        out.append(template[position:percent])
        position = percent + 1
        if template.startswith("%", position):
            out.append("%")
            position += 1
            continue
        if place >= len(arguments):
            raise CelError(f"index {place} out of range")
        if position == len(template):
            raise CelError("unexpected end of string")
        digits, position = _precision(template, position)
        _clause(cost, template[position], digits, arguments[place], out)
        position += 1
        place += 1
    out.append(template[position:])
    return "".join(out)


def _precision(template: str, position: int) -> tuple[int, int]:
    """The precision of the clause at `position`, and where its verb is."""
    if template[position] != ".":
        return _DIGITS, position
    begin = position = position + 1
    while position < len(template) and template[position] in "0123456789":
        position += 1
    wrong = "could not parse formatting clause: error while parsing precision: "
    if position == len(template):
        raise CelError(f"{wrong}could not find end of precision specifier")
    digits = template[begin:position]
    if not digits or len(digits) > _ATOI_DIGITS:
        why = "value out of range" if digits else "invalid syntax"
        raise CelError(f'{wrong}error while converting precision to integer: strconv.Atoi: parsing "{digits[:100]}": {why}')
    if int(digits) > _PRECISION_MAX:
        raise CelError(f"precision {digits} is greater than the maximum of {_PRECISION_MAX}")
    return int(digits), position


def _clause(cost: Cost, verb: str, digits: int, value: Any, out: list[str]) -> None:
    if verb == "s":
        _write(cost, value, out)
        return
    if verb == "d":
        if type(value) not in (int, UInt):
            raise _wrong("decimal clause can only be used on integers", value)
        text = str(int(value))
    elif verb in ("f", "e"):
        text = _double(verb, digits, value)
    elif verb in ("b", "o", "x", "X"):
        text = _in_base(cost, verb, value)
    else:
        raise CelError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
    cost.work(len(text) * PER_CHARACTER)
    out.append(text)


def _double(verb: str, digits: int, value: Any) -> str:
    number = _INFINITY.get(value) if type(value) is str else value
    if type(number) is not float:
        raise _wrong(f"{'fixed-point' if verb == 'f' else 'scientific'} clause can only be used on doubles", value)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "∞" if number > 0 else "-∞"
    number = number or 0.0
    if verb == "f":
        return f"{number:,.{digits}f}"
    mantissa, _, exponent = f"{number:.{_DIGITS}e}".partition("e")
    return f"{mantissa}\u00d710{exponent.removeprefix('+').translate(_SUPERSCRIPT)}"


def _in_base(cost: Cost, verb: str, value: Any) -> str:
    whole = type(value) in (int, UInt)
    if verb == "b" and type(value) is bool:
        return "1" if value else "0"
    if whole:
        return f"{int(value):{verb}}"
    if verb in ("x", "X") and type(value) in (str, bytes):
        cost.work(len(value) * 2 * PER_CHARACTER)
        text: str = (value.encode() if type(value) is str else value).hex()
        return text if verb == "x" else text.upper()
    raise _wrong(_BASES[verb.lower()], value)


def _wrong(text: str, value: Any) -> CelError:
    return CelError(f"error during formatting: {text}, was given {type_name(value)}")


class _Text:
    """What is written between values."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _write(cost: Cost, value: Any, out: list[str]) -> None:
    """`%s` of any value, without recursion. Each step charges for what it adds."""
    if not isinstance(value, list | dict):
        if type(value) in (Opaque, Optional):
            raise _wrong(_TEXTS, value)
        text = _utf8(value) if type(value) is bytes else scalar(value)
        cost.work(2)
        cost.work(len(text) * PER_CHARACTER)
        out.append(text)
        return
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if type(each) is _Text:
            out.append(each.text)
        elif isinstance(each, list):
            cost.work(10 + 10 * len(each))
            out.append("[")
            waiting.append(_Text("]"))
            for number in range(len(each) - 1, -1, -1):
                waiting.append(each[number])
                if number:
                    waiting.append(_Text(", "))
        elif type(each) is dict:
            cost.work(10 + 10 * len(each))
            out.append("{")
            waiting.append(_Text("}"))
            keys = sorted(((_key(cost, key), key) for key in each), key=_text_of)
            for number in range(len(keys) - 1, -1, -1):
                text, key = keys[number]
                waiting.append(each[key])
                waiting.append(_Text(f"{', ' if number else ''}{text}:"))
        else:
            text = _literal(each)
            cost.work(2)
            cost.work(len(text) * PER_CHARACTER)
            out.append(text)


def _text_of(pair: tuple[str, Any]) -> str:
    return pair[0]


def _key(cost: Cost, key: Any) -> str:
    if type(key) not in (str, bool, int, UInt):
        raise CelError(f"error during formatting: no formatting function for map key of type {type_name(key)}")
    text = _literal(key)
    cost.work(len(text) * PER_CHARACTER)
    return text


def _literal(value: Any) -> str:
    """A value in a list or map, as a literal."""
    match value:
        case str():
            return go_text.quote(value)
        case bytes():
            return f"b{go_text.quote(_utf8(value))}"
        case float() if math.isfinite(value):
            return f"{value:.{_DIGITS}f}"
        case float():
            return f'"{scalar(value)}"'
        case Timestamp():
            return f'timestamp("{scalar(value)}")'
        case Duration():
            return f'duration("{scalar(value)}")'
        case Opaque() | Optional():
            raise CelError(f"error during formatting: no formatting function for {type_name(value)}")
    return scalar(value)


def _utf8(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        why = "invalid UTF-8 in bytes, cannot convert to string"
        raise CelError(f'error during formatting: could not convert argument "{why}" to string') from None
