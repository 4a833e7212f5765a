"""Values as Go's fmt prints them, for error texts that clients show or match on."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final, NamedTuple

MAP_OF_ANY: Final = "map[interface {}]interface {}"
"""The type of a map that was decoded from YAML."""
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", '"': '\\"', "\\": "\\\\"}


class GoValue(NamedTuple):
    """A value that Go has and JSON does not, as errors show it: the name of its type, `%v` and `%#v`. `value` is what it stands
    for, if that is needed."""

    type_name: str
    plain: str
    syntax: str
    value: Any


def quote(text: str) -> str:
    """`%q`: a double-quoted Go string."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    out = []
    for character in text:
        if character in _ESCAPES:
            out.append(_ESCAPES[character])
        elif character.isprintable():
            out.append(character)
        else:
            number = ord(character)
            if number < 0x80:
                out.append(f"\\x{number:02x}")
            else:
                out.append(f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}")
    return '"' + "".join(out) + '"'


def duration(nanoseconds: int) -> str:
    """A time.Duration: `1h0m0s`, `1.5s`, `20ms`."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if not rest:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if rest < size * 1000:
            return f"{sign}{Decimal(rest).scaleb(-len(str(size)) + 1).normalize():f}{unit}"
    minutes, seconds = divmod(rest, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    shown = f"{Decimal(seconds).scaleb(-9).normalize():f}s"
    return sign + (f"{hours}h{minutes}m{shown}" if hours else f"{minutes}m{shown}" if minutes else shown)


def plain(value: Any) -> str:
    """`%v` of a decoded JSON value: `map[a:1 b:[x y]]`."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case GoValue():
            return value.plain
        case dict():
            return "map[" + " ".join(f"{key}:{plain(value[key])}" for key in sorted(value)) + "]"
        case list():
            return "[" + " ".join(plain(item) for item in value) + "]"
        case float():
            return _number(value)
        case _:
            return str(value)


def syntax(value: Any, map_type: str = "map[string]interface {}") -> str:
    """`%#v` of a decoded JSON value: `map[string]interface {}{"a":1}`."""
    match value:
        case None:
            return "interface {}(nil)"
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case GoValue():
            return value.syntax
        case dict():
            return map_type + "{" + ", ".join(f"{quote(key)}:{syntax(value[key], map_type)}" for key in sorted(value)) + "}"
        case list():
            return "[]interface {}{" + ", ".join(syntax(item, map_type) for item in value) + "}"
        case float():
            return _number(value)
        case _:
            return str(value)


def type_name(value: Any) -> str:
    """`%T` of a decoded JSON value."""
    match value:
        case None:
            return "<nil>"
        case GoValue():
            return value.type_name
        case bool():
            return "bool"
        case str():
            return "string"
        case int():
            return "int64"
        case float():
            return "float64"
        case list():
            return "[]interface {}"
        case _:
            return "map[string]interface {}"


def _number(value: float) -> str:
    """Go's %v of a float64 (%g with the shortest digits): with an exponent below 1e-4 and from 1e6 on."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    shortest = Decimal(repr(value)).normalize()
    exponent = shortest.adjusted() if shortest else 0
    if -5 < exponent < 6:
        return f"{shortest:f}"
    digits = "".join(map(str, shortest.as_tuple().digits))
    fraction = f".{digits[1:]}" if digits[1:] else ""
    return f"{'-' if value < 0 else ''}{digits[0]}{fraction}e{exponent:+03d}"
