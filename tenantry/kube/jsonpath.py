r"""JSONPath as in CRDs and kubectl (k8s.io/client-go/util/jsonpath), as far as printer columns and field paths use it: `.spec.a`,
`.metadata.labels.x\.y/z`, `['a']`, `[0]`, `[-1]`, `[1:3]`, `[*]`, `.*`, `..name`, `[?(@.type=="Ready")]`.

A path is parsed in one pass over its characters. The number of visited nodes is limited: `..a..a..a` finds a value once for every
way to it. Where only the first value is wanted, no step visits a node twice. A path that visits more than `VISITED_MAX` nodes of
a value finds nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from tenantry.base.cache import cached
from tenantry.kube.jsonpath_steps import (
    Operand,
    Step,
    TooManyNodes,
    Visits,
    all_of,
    all_values,
    child,
    descend,
    filtered,
    first_of,
    item_at,
    items_at,
)

Find = Callable[[Any], list[Any]]

LENGTH_MAX = 4096
"""The most characters of a path; a longer one is refused."""
STEPS_MAX = 256
_BLANKS = " \t\r\n"
_NAME_ENDS = frozenset(".[ \t\r\n")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class _Path:
    """A parsed path."""

    __slots__ = ("_names", "_steps")

    def __init__(self, text: str) -> None:
        if len(text) > LENGTH_MAX:
            raise ValueError(f"invalid json path of {len(text)} characters: at most {LENGTH_MAX} are read")
        self._names = _plain_names(text)
        self._steps = _steps(text) if self._names is None else []

    def all(self, value: Any) -> list[Any]:
        if self._names is not None:
            return [*_named(value, self._names)]
        try:
            return all_of(self._steps, value, Visits())
        except TooManyNodes:
            return []

    def first(self, value: Any) -> Any:
        if self._names is not None:
            return next(_named(value, self._names), None)
        try:
            return next(iter(first_of(self._steps, 0, value, Visits(once=True))), None)
        except TooManyNodes:
            return None


@cached("json_paths", bytes_max=8 * 1024 * 1024)
def _path(text: str) -> _Path:
    return _Path(text)


def compile_path(text: str) -> Find:
    """A function that finds the values at a path in a value, in order. It finds nothing where too many nodes would be visited.

    Raises ValueError for an invalid path.
    """
    return _path(text).all


def first(text: str) -> Callable[[Any], Any]:
    """A function that finds the first value at a path. None where there is none or too many nodes would be visited.

    Raises ValueError for an invalid path.
    """
    return _path(text).first


def field_names(text: str) -> tuple[str, ...]:
    """The names in a simple path (`.spec.replicas`, `['a'].b`). Raises ValueError for any other path."""
    position, names = 0, []
    while position < len(text):
        if text[position] == ".":
            name, position = _name(text, position + 1)
            if name:
                names.append(name)
                continue
        elif text[position] == "[":
            end = _end_of_quoted(text, position + 1)
            if end is not None and text.startswith("]", end):
                names.append(text[position + 2 : end - 1])
                position = end + 1
                continue
        raise ValueError(f"{text!r} is not a simple json path at {position}")
    return tuple(names)


def _end_of_quoted(text: str, start: int) -> int | None:
    """The position after the quoted text that begins at `start`."""
    quote = text[start : start + 1]
    if quote not in ("'", '"'):
        return None
    end = text.find(quote, start + 1)
    return end + 1 if end > 0 else None


def _name(text: str, start: int) -> tuple[str, int]:
    """The name that begins at a position, without its backslashes, and the position after it. Empty where there is none."""
    characters: list[str] = []
    position = start
    while position < len(text) and text[position] not in _NAME_ENDS:
        if text[position] == "\\":
            position += 1
            if position == len(text):
                break
        characters.append(text[position])
        position += 1
    return "".join(characters), position


def _plain_names(text: str) -> tuple[str, ...] | None:
    """The names in a path that has only names."""
    if not text.startswith("."):
        return None
    names = text[1:].split(".")
    for name in names:
        if not name or not (name[0].isalpha() or name[0] == "_") or not name.isascii():
            return None
        if not name.replace("/", "").replace("-", "").replace("_", "a").isalnum():
            return None
    return tuple(names)


def _named(value: Any, names: tuple[str, ...]) -> Iterator[Any]:
    for name in names:
        if type(value) is not dict or name not in value:
            return
        value = value[name]
    yield value


def _steps(text: str) -> list[Step]:
    steps: list[Step] = []
    for step in _parse(text):
        steps.append(step)
        if len(steps) > STEPS_MAX:
            raise ValueError(f"invalid json path of more than {STEPS_MAX} steps")
    return steps


def _parse(text: str) -> Iterator[Step]:
    position = 0
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    if text.startswith(("$", "@")):
        position = 1
    while position < len(text):
        if text.startswith("..", position):
            name, position = _name(text, position + 2)
            if not name:
                raise ValueError(f"invalid json path {text!r}: a name must follow '..'")
            yield descend(name)
        elif text[position] == ".":
            begin = position + 1
            name, position = _name(text, begin)
            if name:
                yield all_values if text[begin:position] == "*" else child(name)
            elif not text.startswith("[", position):
                raise ValueError(f"invalid json path {text!r}: a name must follow '.'")
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
            if depth > 2:
                # A filter contains paths, but these contain no filter.
                break
        elif character == "]":
            depth -= 1
            if depth == 0:
                return index
    raise ValueError(f"invalid json path {text!r}: unterminated array")


def _subscript(inside: str, text: str) -> Step:
    if inside == "*":
        return all_values
    if _end_of_quoted(inside, 0) == len(inside):
        return child(inside[1:-1])
    if inside.startswith("?(") and inside.endswith(")"):
        left, comparison, right = _comparison(inside[2:-1])
        find_left = _operand(left)
        find_right = _operand(right) if comparison else None
        return filtered(find_left, _OPERATORS[comparison] if comparison else None, find_right)
    numbers = [_number(part) for part in inside.split(":", 3)]
    if len(numbers) > 3 or any(number is False for number in numbers) or (len(numbers) == 1 and numbers[0] is None):
        raise ValueError(f"invalid json path {text!r}: invalid array index {inside}")
    if len(numbers) == 1:
        return item_at(int(numbers[0] or 0))
    if len(numbers) == 3 and numbers[2] == 0:
        raise ValueError(f"invalid json path {text!r}: step must not be zero")
    return items_at(slice(*numbers))


def _number(text: str) -> int | bool | None:
    """An integer, None where the text is empty, False where it is not an integer."""
    if not text:
        return None
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 9 else False


def _comparison(inside: str) -> tuple[str, str, str]:
    """The two sides of a filter and the operator between them. The operator is empty where there is only one side."""
    quote = ""
    for place, character in enumerate(inside):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "=!<>":
            for found in _OPERATORS:
                if inside.startswith(found, place):
                    return inside[:place].strip(), found, inside[place + len(found) :].strip()
    return inside.strip(), "", ""


def _operand(text: str) -> Operand:
    if text.startswith(("@", "$")):
        steps = _steps(text)
        return lambda value, visits: all_of(steps, value, visits)
    literal = _literal(text)
    return lambda value, visits: [literal]


def _literal(text: str) -> Any:
    if _end_of_quoted(text, 0) == len(text):
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise ValueError(f"invalid json path filter operand {text!r}") from None
