"""The JSONPath of CRDs and kubectl (k8s.io/client-go/util/jsonpath), as far as printer columns and field paths use it:
`.spec.a`, `.metadata.labels.x\\.y/z`, `['a']`, `[0]`, `[-1]`, `[1:3]`, `[*]`, `.*`, `..name`, `[?(@.type=="Ready")]`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

Find = Callable[[Any], list[Any]]
_Step = Callable[[Any], Iterator[Any]]

_NAME = re.compile(r"(?:\\.|[^.\[\\\s])+")
_SLICE = re.compile(r"(-?\d*):(-?\d*)(?::(-?\d+))?")
_FILTER = re.compile(r"\?\(\s*(.+?)\s*(?:(==|!=|>=|<=|>|<)\s*(.+?)\s*)?\)")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


@lru_cache(maxsize=4096)
def compile_path(text: str) -> Find:
    """A function that finds the values at a path in a value, in order; empty where there are none.

    Raises ValueError for a path that cannot be read.
    """
    names = re.fullmatch(r"(?:\.[A-Za-z_][\w/-]*)+", text)
    if names:
        return _plain(tuple(text[1:].split(".")))
    steps = tuple(_parse(text))

    def find(value: Any) -> list[Any]:
        found = [value]
        for step in steps:
            found = [inner for outer in found for inner in step(outer)]
            if not found:
                break
        return found

    return find


def first(text: str) -> Callable[[Any], Any]:
    """A function that finds the first value at a path, None where there is none."""
    find = compile_path(text)

    def get(value: Any) -> Any:
        found = find(value)
        return found[0] if found else None

    return get


def field_names(text: str) -> tuple[str, ...]:
    """The names in a simple path (`.spec.replicas`, `['a'].b`). Raises ValueError where it holds anything else."""
    position, names = 0, []
    while position < len(text):
        if text[position] == "." and (match := _NAME.match(text, position + 1)):
            names.append(_unescape(match.group()))
            position = match.end()
        elif match := re.compile(r"\[(['\"])(.*?)\1\]").match(text, position):
            names.append(match.group(2))
            position = match.end()
        else:
            raise ValueError(f"{text!r} is not a simple json path at {position}")
    return tuple(names)


def _plain(names: tuple[str, ...]) -> Find:
    def find(value: Any) -> list[Any]:
        for name in names:
            if type(value) is not dict or name not in value:
                return []
            value = value[name]
        return [value]

    return find


def _parse(text: str) -> Iterator[_Step]:
    position = 0
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    if text.startswith(("$", "@")):
        position = 1
    while position < len(text):
        if text.startswith("..", position):
            match = _NAME.match(text, position + 2)
            if match is None:
                raise ValueError(f"invalid json path {text!r}: a name must follow '..'")
            yield _descend(_unescape(match.group()))
            position = match.end()
        elif text[position] == ".":
            match = _NAME.match(text, position + 1)
            if match is None:
                if text.startswith("[", position + 1):
                    position += 1
                    continue
                raise ValueError(f"invalid json path {text!r}: a name must follow '.'")
            yield _all if match.group() == "*" else _child(_unescape(match.group()))
            position = match.end()
        elif text[position] == "[":
            end = _closing(text, position)
            yield _subscript(text[position + 1 : end].strip(), text)
            position = end + 1
        else:
            raise ValueError(f"invalid json path {text!r}: unexpected {text[position]!r}")


def _closing(text: str, start: int) -> int:
    quote, depth = "", 0
    for index in range(start, len(text)):
        character = text[index]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
            if depth == 0:
                return index
    raise ValueError(f"invalid json path {text!r}: unterminated array")


def _unescape(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _child(name: str) -> _Step:
    def step(value: Any) -> Iterator[Any]:
        if type(value) is dict and name in value:
            yield value[name]

    return step


def _all(value: Any) -> Iterator[Any]:
    if type(value) is list:
        yield from value
    elif type(value) is dict:
        yield from value.values()


def _descend(name: str) -> _Step:
    def step(value: Any) -> Iterator[Any]:
        if type(value) is dict:
            if name in value:
                yield value[name]
            for inner in value.values():
                yield from step(inner)
        elif type(value) is list:
            for inner in value:
                yield from step(inner)

    return step


def _subscript(inside: str, text: str) -> _Step:
    if inside == "*":
        return _all
    if inside[:1] in ("'", '"') and inside[-1:] == inside[0] and len(inside) > 1:
        return _child(inside[1:-1])
    match = _FILTER.fullmatch(inside)
    if match:
        return _filter(*match.groups())
    if re.fullmatch(r"-?\d+", inside):
        return _slice(int(inside), None)
    match = _SLICE.fullmatch(inside)
    if match:
        low, high, stride = match.groups()
        return _slice(0, slice(int(low) if low else None, int(high) if high else None, int(stride) if stride else None))
    raise ValueError(f"invalid json path {text!r}: invalid array index {inside}")


def _slice(index: int, part: slice | None) -> _Step:
    def step(value: Any) -> Iterator[Any]:
        if type(value) is not list:
            return
        if part is not None:
            yield from value[part]
        elif -len(value) <= index < len(value):
            yield value[index]

    return step


def _filter(left: str, comparison: str | None, right: str | None) -> _Step:
    find_left = _operand(left)
    find_right = _operand(right) if right is not None else None
    compare = _OPERATORS[comparison] if comparison else None

    def step(value: Any) -> Iterator[Any]:
        if type(value) is not list:
            return
        for item in value:
            found = find_left(item)
            if compare is None or find_right is None:
                if found:
                    yield item
                continue
            wanted = find_right(item)
            try:
                if found and wanted and compare(found[0], wanted[0]):
                    yield item
            except TypeError:
                # Values of different types do not compare; the item does not match.
                continue

    return step


def _operand(text: str) -> Find:
    if text.startswith(("@", "$")):
        return compile_path(text)
    if text[:1] in ("'", '"') and text[-1:] == text[0]:
        literal: Any = text[1:-1]
    elif text in ("true", "false"):
        literal = text == "true"
    else:
        try:
            literal = float(text) if "." in text else int(text)
        except ValueError:
            raise ValueError(f"invalid json path filter operand {text!r}") from None
    return lambda value: [literal]
