"""Finds the syntax error in a JSON text and describes it in the words of Go's encoding/json. Used for texts that orjson
refuses."""

from __future__ import annotations

import re

MAX_DEPTH = 1024
"""Levels of nesting that orjson reads. Deeper bodies are refused; Go's limit is 10,000."""
MAX_STORED_DEPTH = 240
"""Levels of nesting that a body may have: orjson writes 254, and an answer may add some levels around the object."""

_MAX_TOKENS = 50_000
"""How much of a text is searched, so that a large invalid body cannot block the event loop."""

_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_HEX = b"0123456789abcdefABCDEF"
_END = "unexpected end of JSON input"


class _Problem(Exception):
    """Carries the error text out of the scan."""


def syntax_error(text: bytes) -> str:
    """Go's error text. Empty where the text is valid JSON with an allowed depth."""
    try:
        _scan(text)
    except _Problem as problem:
        return str(problem)
    return ""


def _scan(text: bytes) -> None:
    stack: list[int] = []
    position = _skip(text, 0)
    for _ in range(_MAX_TOKENS):
        position = _value(text, position, stack)
        position = _skip(text, position)
        while stack:
            position = _skip(text, position)
            if position >= len(text):
                raise _Problem(_END)
            closing, byte = stack[-1], text[position]
            if byte == closing:
                stack.pop()
                position += 1
            elif byte == 0x2C:
                position = _skip(text, position + 1)
                if closing == 0x7D:
                    position = _key(text, position)
                break
            else:
                raise _bad(byte, "after object key:value pair" if closing == 0x7D else "after array element")
        else:
            position = _skip(text, position)
            if position < len(text):
                raise _bad(text[position], "after top-level value")
            return
    raise _Problem("invalid JSON")


def _value(text: bytes, position: int, stack: list[int]) -> int:
    """Skips a scalar or an empty container, or the beginning of another container."""
    while True:
        if position >= len(text):
            raise _Problem(_END)
        byte = text[position]
        if byte == 0x7B or byte == 0x5B:
            if len(stack) >= MAX_DEPTH:
                raise _Problem(f"invalid character {_quote(byte)} exceeded max depth")
            closing = 0x7D if byte == 0x7B else 0x5D
            position = _skip(text, position + 1)
            if position < len(text) and text[position] == closing:
                return position + 1
            stack.append(closing)
            if closing == 0x7D:
                position = _key(text, position)
            continue
        if byte == 0x22:
            return _string(text, position)
        if byte == 0x2D or 0x30 <= byte <= 0x39:
            return _number(text, position)
        for word in (b"true", b"false", b"null"):
            if byte == word[0]:
                return _literal(text, position, word)
        raise _bad(byte, "looking for beginning of value")


def _key(text: bytes, position: int) -> int:
    """Skips a key and its colon."""
    if position >= len(text):
        raise _Problem(_END)
    if text[position] != 0x22:
        raise _bad(text[position], "looking for beginning of object key string")
    position = _skip(text, _string(text, position))
    if position >= len(text):
        raise _Problem(_END)
    if text[position] != 0x3A:
        raise _bad(text[position], "after object key")
    return _skip(text, position + 1)


def _string(text: bytes, position: int) -> int:
    match = _STRING.match(text, position)
    end = match.end() if match else position + 1
    if end >= len(text):
        raise _Problem(_END)
    byte = text[end]
    if byte == 0x22:
        return end + 1
    if byte != 0x5C:
        raise _bad(byte, "in string literal")
    if end + 1 >= len(text):
        raise _Problem(_END)
    if text[end + 1] != 0x75:
        raise _bad(text[end + 1], "in string escape code")
    for digit in text[end + 2 : end + 6]:
        if digit not in _HEX:
            raise _bad(digit, "in \\u hexadecimal character escape")
    raise _Problem(_END)


def _number(text: bytes, position: int) -> int:
    match = _NUMBER.match(text, position)
    if match is None:
        if position + 1 >= len(text):
            raise _Problem(_END)
        raise _bad(text[position + 1], "in numeric literal")
    end = match.end()
    following = text[end : end + 1]
    matched = match.group()
    if following == b"." and b"." not in matched and b"e" not in matched.lower():
        raise _bad(text[end + 1], "after decimal point in numeric literal") if end + 1 < len(text) else _Problem(_END)
    if following in (b"e", b"E") and b"e" not in matched.lower():
        after = end + 2 if text[end + 1 : end + 2] in (b"+", b"-") else end + 1
        raise _bad(text[after], "in exponent of numeric literal") if after < len(text) else _Problem(_END)
    return end


def _literal(text: bytes, position: int, word: bytes) -> int:
    for offset, expected in enumerate(word):
        if position + offset >= len(text):
            raise _Problem(_END)
        if text[position + offset] != expected:
            raise _bad(text[position + offset], f"in literal {word.decode()} (expecting {_quote(expected)})")
    return position + len(word)


def _skip(text: bytes, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _bad(byte: int, where: str) -> _Problem:
    return _Problem(f"invalid character {_quote(byte)} {where}")


def _quote(byte: int) -> str:
    """A byte as Go quotes a character: each byte is a Latin-1 character of its own."""
    character = chr(byte)
    if character == "'":
        return "'\\''"
    if character == "\\":
        return "'\\\\'"
    named = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}.get(byte)
    if named:
        return f"'{named}'"
    if byte < 0x20 or byte == 0x7F:
        return f"'\\x{byte:02x}'"
    return f"'{character}'" if character.isprintable() else f"'\\u{byte:04x}'"
