"""The words of a CEL expression (the grammar is CEL.g4 of cel-go)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isinf
from typing import NamedTuple

from tenantry.kube.schema.cel_errors import CelError, CompileErrors
from tenantry.kube.schema.cel_syntax import Unsigned

_ESCAPE = r"""\\(?:[abfnrtv"'\\?`]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})"""
_STRINGS = "|".join(
    [
        r'[rR]"""(?s:.*?)"""',
        r"[rR]'''(?s:.*?)'''",
        r'[rR]"[^"\n\r]*"',
        r"[rR]'[^'\n\r]*'",
        rf'"""(?:{_ESCAPE}|[^\\])*?"""',
        rf"'''(?:{_ESCAPE}|[^\\])*?'''",
        rf'"(?:{_ESCAPE}|[^\\"\n\r])*"',
        rf"'(?:{_ESCAPE}|[^\\'\n\r])*'",
    ]
)
_TOKEN = re.compile(
    rf"""(?P<space>[\t \r\n\f]+|//[^\n]*)
    |(?P<float>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
    |(?P<uint>0x[0-9a-fA-F]+[uU]|[0-9]+[uU])
    |(?P<int>0x[0-9a-fA-F]+|[0-9]+)
    |(?P<bytes>[bB](?:{_STRINGS}))
    |(?P<string>{_STRINGS})
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<quoted>`[A-Za-z0-9_.\-/ ]+`)
    |(?P<operator>==|!=|<=|>=|&&|\|\||[<>\[\]{{}}().,\-!?:+*/%])
    """,
    re.VERBOSE,
)
_UNFINISHED = r"\\(?:[xX][0-9a-fA-F]?|u[0-9a-fA-F]{0,3}|U[0-9a-fA-F]{0,7}|[0-3][0-7]?)?"
_HEAD = re.compile(
    rf"""(?:'(?:{_ESCAPE}|[^\\'\n\r])*(?:{_UNFINISHED})?|"(?:{_ESCAPE}|[^\\"\n\r])*(?:{_UNFINISHED})?"""
    r"""|`[A-Za-z0-9_.\-/\ ]*|[=&|])?.?""",
    re.DOTALL,
)
"""What is no word: the longest beginning of one, and the character that does not fit."""
_WORDS = frozenset(("in", "true", "false", "null"))
_NEWLINES = re.compile("\r\n?")
_ESCAPED = re.compile(r"\\(?:([xXuU])([0-9a-fA-F]+)|([0-3][0-7]{2})|(.))", re.DOTALL)
_CONTROL = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_DIGITS_MAX = 1000
_LENGTHS = {"x": 2, "X": 2, "u": 4, "U": 8}


class Token(NamedTuple):
    """A word. `kind` is `name`, `quoted`, `int`, `uint`, `float`, `string`, `bytes` or `end`; of an operator and of the words
    `in`, `true`, `false` and `null` it is the text itself."""

    kind: str
    text: str
    offset: int


def tokens(source: str, errors: CompileErrors) -> list[Token]:
    """The words of an expression, with one of kind `end` at its end. What is no word is an error, and left out."""
    found: list[Token] = []
    position, length = 0, len(source)
    while position < length:
        match = _TOKEN.match(source, position)
        if match is None:
            position = _no_token(source, position, errors)
            continue
        kind, text = match.lastgroup or "", match.group()
        if kind != "space":
            found.append(Token(text if kind == "operator" or text in _WORDS else kind, text, position))
        position = match.end()
    found.append(Token("end", "<EOF>", length))
    return found


def _no_token(source: str, position: int, errors: CompileErrors) -> int:
    """Adds the error for a text that is no word. Returns where the next word may begin."""
    end = _unread(source, position)
    errors.add(position, f"Syntax error: token recognition error at: '{source[position:end]}'")
    return end


def _unread(source: str, position: int) -> int:
    """Where a text ends that is no word."""
    head = _HEAD.match(source, position)
    return max(position + 1, head.end() if head is not None else 0)


def readable(source: str, start: int, end: int) -> str:
    """A part of an expression, without what is no word."""
    found = []
    while start < end:
        match = _TOKEN.match(source, start)
        if match is not None:
            found.append(match.group())
        start = _unread(source, start) if match is None else match.end()
    return "".join(found)


def string_value(text: str) -> str:
    """The value of a string literal. Raises CelError for a character that does not exist."""
    inner, is_raw = _inside(text)
    return inner if is_raw or "\\" not in inner else _ESCAPED.sub(_character, inner)


def bytes_value(text: str) -> bytes:
    """The value of a bytes literal, given without its `b`. Raises CelError."""
    inner, is_raw = _inside(text)
    if is_raw or "\\" not in inner:
        return inner.encode()
    out = bytearray()
    position = 0
    for match in _ESCAPED.finditer(inner):
        out += inner[position : match.start()].encode()
        position = match.end()
        kind, digits, octal, plain = match.groups()
        if kind in ("u", "U"):
            raise CelError("unable to unescape string")
        if kind:
            out += bytes([int(digits[:2], 16)]) + digits[2:].encode()
        elif octal:
            out.append(int(octal, 8))
        else:
            out += _CONTROL.get(plain, plain).encode()
    return bytes(out + inner[position:].encode())


def _inside(text: str) -> tuple[str, bool]:
    text = _NEWLINES.sub("\n", text) if "\r" in text else text
    is_raw = text[0] in "rR"
    text = text[1:] if is_raw else text
    width = 3 if len(text) >= 6 and text[:3] in ("'''", '"""') else 1
    return text[width:-width], is_raw


def _character(match: re.Match[str]) -> str:
    kind, digits, octal, plain = match.groups()
    if kind:
        length = _LENGTHS[kind]
        code = int(digits[:length], 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise CelError("invalid unicode code point")
        return chr(code) + digits[length:]
    return chr(int(octal, 8)) if octal else _CONTROL.get(plain, plain)


def number_value(token: Token, sign: str) -> tuple[float, bool]:
    """The value of a number (int, `Unsigned` or float), and whether its type has it."""
    if token.kind == "float":
        value = float(sign + token.text)
        return value, not isinf(value)
    digits = token.text.rstrip("uU")
    if len(digits) > _DIGITS_MAX:
        return 0, False
    number = int(sign + digits, 16 if digits.startswith("0x") else 10)
    if token.kind == "uint":
        return Unsigned(number), number < 1 << 64
    return number, -(1 << 63) <= number < 1 << 63


def words(source: str) -> Iterator[str]:
    """The names in an expression, without field names, strings and comments."""
    after_dot, position = False, 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            position = _unread(source, position)
            continue
        kind = match.lastgroup
        if kind == "name" and not after_dot:
            yield match.group()
        if kind != "space":
            after_dot = match.group() == "." or (after_dot and match.group() == "?")
        position = match.end()
