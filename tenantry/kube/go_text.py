"""Values as Go's fmt prints them, for error texts that clients show or match on."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

MAP_OF_ANY: Final = "map[interface {}]interface {}"
"""The type of a map that was decoded from YAML."""
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", '"': '\\"', "\\": "\\\\"}


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


def plain(value: Any) -> str:
    """`%v` of a decoded JSON value: `map[a:1 b:[x y]]`."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
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
