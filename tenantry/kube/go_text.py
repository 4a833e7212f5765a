"""Values as Go's fmt prints them, for error texts that clients show or match on."""

from __future__ import annotations

from typing import Any

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


def syntax(value: Any) -> str:
    """`%#v` of a decoded JSON value: `map[string]interface {}{"a":1}`."""
    match value:
        case None:
            return "interface {}(nil)"
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case dict():
            return "map[string]interface {}{" + ", ".join(f"{quote(key)}:{syntax(value[key])}" for key in sorted(value)) + "}"
        case list():
            return "[]interface {}{" + ", ".join(syntax(item) for item in value) + "}"
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
    """Go's %v of a float64 (%g with the shortest digits): an exponent below -4 and from 21 on."""
    text = repr(value)
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return text
