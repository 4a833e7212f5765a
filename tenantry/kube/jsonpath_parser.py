"""Reads a JSONPath as client-go's parser does (k8s.io/client-go/util/jsonpath), in one pass over its characters."""

from __future__ import annotations

import re
import unicodedata

from tenantry.kube.jsonpath_steps import (
    Step,
    all_values,
    child,
    constant,
    descend,
    failing,
    filtered,
    filtered_by_field,
    items,
    union,
)

LENGTH_MAX = 4096
"""The most characters of a path; a longer one is refused."""
STEPS_MAX = 256
_TERMINATORS = frozenset(" \t\r\n.,[]$@{}")
_QUOTED_NAME = re.compile(r"'([^']*)'")
_SLICE = re.compile(r"(-?[0-9]*)(:-?[0-9]*)?(:-?[0-9]*)?")
_COMPARISON = re.compile(r"([^!<>=]+)([!<>=]+)(.+)")
_FIELD = re.compile(r"@?\.([A-Za-z_][A-Za-z0-9_-]*) *")
_LITERAL = re.compile(r" *(['\"])([^'\"\\]*)\1 *")
_NUMBER = re.compile(r"[+-]?[0-9.]*")
_INT64 = 1 << 63
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_ESCAPE = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})")


class PathTooLong(ValueError):
    """A path with more characters or steps than are read here. Upstream has no limit."""


def parse(text: str) -> list[Step]:
    """The steps of a path. Raises ValueError for an invalid one."""
    if len(text) > LENGTH_MAX:
        raise PathTooLong(f"invalid json path of {len(text)} characters: at most {LENGTH_MAX} are read")
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    return _Parser(text).steps()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._steps: list[Step] = []

    def steps(self) -> list[Step]:
        text = self._text
        count = 0
        while self._at < len(text):
            count += 1
            if count > STEPS_MAX:
                raise PathTooLong(f"invalid json path of more than {STEPS_MAX} steps")
            character = text[self._at]
            if text.startswith("[?(", self._at):
                self._filter()
            elif text.startswith("..", self._at):
                self._descent()
            elif character in " @$":
                self._at += 1
            elif character == "[":
                self._subscript()
            elif character in "'\"":
                self._quoted(character)
            elif character == ".":
                self._at += 1
                self._field()
            elif character in "+-" or character.isdigit():
                self._number()
            elif character == "_" or unicodedata.category(character)[0] == "L":
                self._word()
            else:
                raise self._invalid(f"unexpected {character!r}")
        return self._steps

    def _invalid(self, why: str) -> ValueError:
        return ValueError(f"invalid json path {self._text!r}: {why}")

    def _field(self) -> None:
        begin, text = self._at, self._text
        while self._at < len(text) and text[self._at] not in _TERMINATORS:
            self._at += 2 if text[self._at] == "\\" else 1
        name = text[begin : self._at]
        self._steps.append(all_values if name == "*" else child(name.replace("\\", "")))

    def _descent(self) -> None:
        if self._steps and self._steps[-1] is descend:
            raise self._invalid("multiple recursive descent")
        self._at += 2
        self._steps.append(descend)
        following = self._text[self._at : self._at + 1]
        if following and (following == "_" or unicodedata.category(following)[0] == "L" or following.isdigit()):
            self._field()

    def _word(self) -> None:
        begin, text = self._at, self._text
        while self._at < len(text) and text[self._at] not in _TERMINATORS:
            self._at += 1
        word = text[begin : self._at]
        self._steps.append(constant(word == "true", for_each=True) if word in ("true", "false") else failing)

    def _number(self) -> None:
        found = _NUMBER.match(self._text, self._at)
        text = found.group() if found is not None else ""
        try:
            number: float = float(text) if "." in text or not -_INT64 <= int(text) < _INT64 else int(text)
        except ValueError:
            raise self._invalid(f"cannot parse number {text}") from None
        self._at += len(text)
        self._steps.append(constant(number, for_each=True))

    def _quoted(self, quote: str) -> None:
        begin = self._at
        end = begin + 1
        while True:
            end = self._text.find(quote, end)
            if end < 0 or "\n" in self._text[begin:end]:
                raise self._invalid("unterminated quoted string")
            if self._text[end - 1] != "\\":
                break
            end += 1
        self._at = end + 1
        self._steps.append(constant(self._unquoted(self._text[begin + 1 : end], quote), for_each=False))

    def _unquoted(self, text: str, quote: str) -> str:
        out: list[str] = []
        position = 0
        while position < len(text):
            character = text[position]
            position += 1
            if character == "\\":
                escaped = text[position : position + 1]
                found = _ESCAPE.match(text, position)
                if escaped == quote or escaped in _ESCAPES:
                    character, position = _ESCAPES.get(escaped, quote), position + 1
                elif found is not None:
                    digits, base = (found[4], 8) if found[4] else (found[1] or found[2] or found[3], 16)
                    number, position = int(digits, base), found.end()
                    if number > 0x10FFFF or 0xD800 <= number < 0xE000 or (found[4] and number > 255):
                        raise self._invalid("invalid escape")
                    character = chr(number)
                else:
                    raise self._invalid("invalid escape")
            out.append(character)
        return "".join(out)

    def _subscript(self) -> None:
        end = self._text.find("]", self._at)
        inside = self._text[self._at + 1 : end]
        if end < 0 or "\n" in inside:
            raise self._invalid("unterminated array")
        self._at = end + 1
        parts = inside.split(",")
        if len(parts) > 1:
            steps = [_Parser(f"[{part.strip(' ')}]").steps() for part in parts]
            self._steps.append(union(steps))
            return
        name = _QUOTED_NAME.fullmatch(inside)
        if name is not None:
            # Dots in it part names, if they are not escaped.
            self._steps += _Parser(f".{name[1]}").steps()
            return
        found = _SLICE.fullmatch(":" if inside == "*" else inside)
        if found is None:
            raise self._invalid(f"invalid array index {inside}")
        first = self._index(found[1]) if found[1] else None
        last = self._index(found[2][1:]) if found[2] and found[2] != ":" else None
        size = self._index(found[3][1:]) if found[3] and found[3] != ":" else None
        if not found[2]:
            self._steps.append(items(first, (first or 0) + 1, size, end_is_next=True))
        else:
            self._steps.append(items(first, last, size, end_is_next=False))

    def _index(self, text: str) -> int:
        # Atoi's limit is 64 bits; no list is as long.
        if text == "-" or len(text) > 20 or not -_INT64 <= int(text) < _INT64:
            raise self._invalid(f"array index {text} is not a number")
        return int(text)

    def _filter(self) -> None:
        begin = self._at + 3
        end = self._end_of_filter(begin)
        inside = self._text[begin:end]
        if self._text[end + 1 : end + 2] != "]":
            raise self._invalid("unclosed array expect ]")
        self._at = end + 2
        compared = _COMPARISON.fullmatch(inside)
        if compared is None:
            self._steps.append(filtered(_Parser(inside).steps(), "", ()))
            return
        left, operator, right = compared.groups()
        field, literal = _FIELD.fullmatch(left), _LITERAL.fullmatch(right)
        if field is not None and literal is not None:
            self._steps.append(filtered_by_field(field[1], operator, literal[2]))
        else:
            self._steps.append(filtered(_Parser(left).steps(), operator, _Parser(right).steps()))

    def _end_of_filter(self, begin: int) -> int:
        """The place of the bracket that closes a filter. Only the first quoted text in it hides brackets."""
        pair, closed = "", False
        for place in range(begin, len(self._text)):
            character = self._text[place]
            if character == "\n":
                break
            if character in "'\"":
                if not pair:
                    pair = character
                elif self._text[place - 1] != "\\" and character == pair:
                    closed = True
            elif character == ")" and bool(pair) == closed:
                return place
        raise self._invalid("unterminated filter")
