r"""JSONPath as in CRDs and kubectl (k8s.io/client-go/util/jsonpath), as far as printer columns and field paths use it: `.spec.a`,
`.metadata.labels.x\.y/z`, `['a']`, `[0]`, `[-1]`, `[1:3]`, `['a','b']`, `[*]`, `.*`, `..name`, `[?(@.type=="Ready")]`.

A path is parsed in one pass over its characters. The number of visited nodes is limited: `..a..a..a` finds a value once for every
way to it. Where only the first value is wanted, no step visits a node twice. A path that visits more than `VISITED_MAX` nodes of
a value finds nothing, and neither does one that fails in a value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tenantry.base.cache import cached
from tenantry.kube.jsonpath_parser import LENGTH_MAX, STEPS_MAX, PathTooLong, parse
from tenantry.kube.jsonpath_steps import PathFailed, Step, TooManyNodes, Visits, follow

__all__ = ["LENGTH_MAX", "MISSING", "STEPS_MAX", "PathTooLong", "compile_path", "field_names", "first", "first_or_missing"]

Find = Callable[[Any], list[Any]]

MISSING: Final = object()
"""What `first_or_missing` returns where there is no value. A null is a value."""
_NAME_ENDS = frozenset(".[ \t\r\n")


class _Path:
    """A parsed path. `names`: those of a path that has only names."""

    __slots__ = ("_steps", "names")

    def __init__(self, text: str) -> None:
        self.names = _plain_names(text) if len(text) <= LENGTH_MAX else None
        self._steps: list[Step] = parse(text) if self.names is None else []

    def all(self, value: Any) -> list[Any]:
        if self.names is not None:
            found = _named(self.names, value)
            return [] if found is MISSING else [found]
        try:
            return follow(self._steps, value, Visits())
        except (PathFailed, TooManyNodes):
            return []

    def first(self, value: Any) -> Any:
        if self.names is not None:
            return _named(self.names, value)
        try:
            found = follow(self._steps, value, Visits(once=True))
        except (PathFailed, TooManyNodes):
            return MISSING
        return found[0] if found else MISSING


@cached("json_paths", bytes_max=8 * 1024 * 1024)
def _path(text: str) -> _Path:
    return _Path(text)


def compile_path(text: str) -> Find:
    """A function that finds the values at a path in a value, in order. It finds nothing where the path fails or too many nodes
    would be visited.

    Raises ValueError for an invalid path.
    """
    return _path(text).all


def first(text: str) -> Callable[[Any], Any]:
    """A function that finds the first value at a path. None where there is none, the path fails or too many nodes would be
    visited.

    Raises ValueError for an invalid path.
    """
    find = first_or_missing(text)

    def found(value: Any) -> Any:
        result = find(value)
        return None if result is MISSING else result

    return found


def first_or_missing(text: str) -> Callable[[Any], Any]:
    """As `first`, but MISSING in place of None, which may be a value."""
    found = _path(text)
    return found.first if found.names is None else partial(_named, found.names)


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


def _named(names: tuple[str, ...], value: Any) -> Any:
    for name in names:
        if type(value) is not dict or name not in value:
            return MISSING
        value = value[name]
    return value
