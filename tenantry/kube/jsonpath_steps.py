"""The steps of a JSONPath, as client-go evaluates them, and a limit for the nodes that they visit.

A step makes the next values of all values before it. A value that it cannot take (an index beyond a list, a filter on what is no
list, values that do not compare) makes the whole path fail, as upstream.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

Step = Callable[[list[Any], "Visits"], list[Any]]

VISITED_MAX = 20_000
"""The most nodes that one path may visit in one value."""
_INT64 = 1 << 63
_KINDS: dict[type, str] = {str: "string", int: "int", float: "float", bool: "bool"}
_ORDERS: dict[str, Callable[[Any, Any], Any]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class PathFailed(Exception):
    """A path that cannot be followed in a value. `values` are those before the step that failed: for upstream they exist."""

    def __init__(self, values: list[Any]) -> None:
        super().__init__()
        self.values = values


class TooManyNodes(Exception):
    """A path visits too many nodes of a value."""


class Visits:
    """How many nodes may still be visited. `once`: only the first value is wanted, so no step visits a node twice."""

    __slots__ = ("left", "once")

    def __init__(self, *, once: bool = False) -> None:
        self.left = VISITED_MAX
        self.once = once

    def count(self, nodes: int) -> None:
        """Counts visited nodes. Raises TooManyNodes."""
        self.left -= nodes
        if self.left < 0:
            raise TooManyNodes


def follow(steps: Sequence[Step], value: Any, visits: Visits) -> list[Any]:
    """What a path finds. Raises PathFailed and TooManyNodes."""
    found = [value]
    for step in steps:
        visits.count(1 + len(found))
        found = step(found, visits)
        if visits.once and len(found) > 1:
            found = _different(found)
    return found


def _different(values: list[Any]) -> list[Any]:
    """Without the second and later occurrences of the same list or object: nothing new is found below these."""
    seen: set[int] = set()
    out: list[Any] = []
    for value in values:
        if type(value) is dict or type(value) is list:
            if id(value) in seen:
                continue
            seen.add(id(value))
        out.append(value)
    return out


def child(name: str) -> Step:
    def step(values: list[Any], visits: Visits) -> list[Any]:
        return [value[name] for value in values if type(value) is dict and name in value]

    return step


def constant(result: Any, *, for_each: bool) -> Step:
    """A text, number or boolean in a path: a text once, others once for each value."""

    def step(values: list[Any], visits: Visits) -> list[Any]:
        return [result] * len(values) if for_each else [result]

    return step


def failing(values: list[Any], visits: Visits) -> list[Any]:
    """A word that is no step (`range` has no place in a column)."""
    raise PathFailed(values)


def all_values(values: list[Any], visits: Visits) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if type(value) is dict or type(value) is list:
            visits.count(len(value))
            found.extend(value.values() if type(value) is dict else value)
    return found


def descend(values: list[Any], visits: Visits) -> list[Any]:
    """Every value with something in it, at any depth, before what is in it."""
    found: list[Any] = []
    seen: set[int] = set()
    waiting = values[::-1]
    while waiting:
        value = waiting.pop()
        if type(value) is dict or type(value) is list:
            if not value or (visits.once and id(value) in seen):
                continue
            seen.add(id(value))
            visits.count(1 + len(value))
            found.append(value)
            waiting.extend(reversed(value.values()) if type(value) is dict else reversed(value))
        elif type(value) is str and value:
            found.append(value)
    return found


def items(first: int | None, end: int | None, step_size: int | None, *, end_is_next: bool) -> Step:
    """Items of a list by index or slice. `end_is_next`: `end` was not written and is `first + 1`."""

    def step(values: list[Any], visits: Visits) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if value is None:
                continue
            if type(value) is not list:
                raise PathFailed(values)
            length = len(value)
            start = first or 0
            if start < 0:
                start += length
            stop = length if end is None else end
            if stop < 0 or (stop == 0 and end_is_next):
                stop += length
            if start == stop:
                # Upstream forgets what it found in the lists before, too.
                return found
            if not 0 <= start < length or not 0 <= stop <= length or start > stop:
                raise PathFailed(values)
            if step_size is not None and step_size <= 0:
                raise PathFailed(values)
            visits.count(stop - start)
            found.extend(value[start : stop : step_size or 1])
        return found

    return step


def union(parts: Sequence[Sequence[Step]]) -> Step:
    def step(values: list[Any], visits: Visits) -> list[Any]:
        found: list[Any] = []
        for steps in parts:
            each = values
            for inner in steps:
                visits.count(1 + len(each))
                each = inner(each, visits)
            found += each
        return found

    return step


def filtered_by_field(name: str, compare: str, wanted: Any) -> Step:
    """`filtered` for the commonest filter, a field and a literal: `?(@.type=="Ready")`."""

    def step(values: list[Any], visits: Visits) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if type(value) is not list:
                raise PathFailed(values)
            visits.count(3 * len(value))
            for item in value:
                if type(item) is dict and name in item:
                    holds = _holds(item[name], compare, wanted)
                    if holds is None:
                        raise PathFailed(values)
                    if holds:
                        found.append(item)
        return found

    return step


def filtered(left: Sequence[Step], compare: str, right: Sequence[Step]) -> Step:
    """The items of lists for which a comparison holds. Without one: those where the left side finds something."""

    def step(values: list[Any], visits: Visits) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if type(value) is not list:
                raise PathFailed(values)
            for item in value:
                visits.count(1)
                if not compare:
                    if _exists(left, item, visits):
                        found.append(item)
                    continue
                lefts = _inner(left, item, visits)
                rights = _inner(right, item, visits) if lefts else lefts
                if not lefts or not rights:
                    continue
                if len(lefts) > 1 or len(rights) > 1:
                    raise PathFailed(values)
                holds = _holds(lefts[0], compare, rights[0])
                if holds is None:
                    raise PathFailed(values)
                if holds:
                    found.append(item)
        return found

    return step


def _inner(steps: Sequence[Step], item: Any, visits: Visits) -> list[Any]:
    found = [item]
    for step in steps:
        visits.count(1 + len(found))
        found = step(found, visits)
    return found


def _exists(steps: Sequence[Step], item: Any, visits: Visits) -> bool:
    try:
        return bool(_inner(steps, item, visits))
    except PathFailed as failed:
        return bool(failed.values)


def _kind(value: Any) -> str:
    kind = _KINDS.get(type(value), "")
    return "float" if kind == "int" and not -_INT64 <= value < _INT64 else kind


def _holds(left: Any, compare: str, right: Any) -> bool | None:
    """Whether a comparison holds. None where the values do not compare: only values of one kind do, and a float and an integer
    are of two."""
    kind = _kind(left)
    if not kind or kind != _kind(right):
        return None
    if compare == "==":
        return bool(left == right)
    if compare == "!=":
        return bool(left != right)
    ordered = _ORDERS.get(compare)
    return bool(ordered(left, right)) if ordered is not None and kind != "bool" else None
