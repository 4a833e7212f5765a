"""The steps of a JSONPath, and a limit for the nodes that they visit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Step = Callable[[Any, "Visits"], Iterator[Any]]
"""Yields what a step finds in one value."""
Operand = Callable[[Any, "Visits"], list[Any]]
"""The values of one side of a filter, for one item."""

VISITED_MAX = 20_000
"""The most nodes that one path may visit in one value."""


class TooManyNodes(Exception):
    """A path visits too many nodes of a value."""


class Visits:
    """How many nodes may still be visited. Where only the first value is wanted, also which nodes led to nothing."""

    __slots__ = ("_tried", "left")

    def __init__(self, *, once: bool = False) -> None:
        self.left = VISITED_MAX
        self._tried: set[tuple[int, int]] | None = set() if once else None

    def is_new(self, step: Step, node: Any) -> bool:
        """Whether a step has not visited a node before."""
        if self._tried is None:
            return True
        key = id(step), id(node)
        if key in self._tried:
            return False
        self._tried.add(key)
        return True

    def count(self, nodes: int) -> None:
        """Counts a visited node. Raises TooManyNodes."""
        self.left -= nodes
        if self.left < 0:
            raise TooManyNodes


def first_of(steps: list[Step], place: int, value: Any, visits: Visits) -> list[Any]:
    """The first value that the remaining steps find, in a list."""
    if place == len(steps):
        return [value]
    step = steps[place]
    visits.count(1)
    for inner in step(value, visits):
        if place + 1 < len(steps) and not visits.is_new(step, inner):
            continue
        found = first_of(steps, place + 1, inner, visits)
        if found:
            return found
    return []


def all_of(steps: list[Step], value: Any, visits: Visits) -> list[Any]:
    found = [value]
    for step in steps:
        visits.count(len(found))
        found = [inner for outer in found for inner in step(outer, visits)]
        if not found:
            break
    return found


def child(name: str) -> Step:
    def step(value: Any, visits: Visits) -> Iterator[Any]:
        if type(value) is dict and name in value:
            yield value[name]

    return step


def all_values(value: Any, visits: Visits) -> Iterator[Any]:
    if type(value) is list:
        visits.count(len(value))
        yield from value
    elif type(value) is dict:
        visits.count(len(value))
        yield from value.values()


def descend(name: str) -> Step:
    # Not the step's own key, which is used for the nodes where the path continues.
    def visited(value: Any, visits: Visits) -> Iterator[Any]:
        return step(value, visits)

    def step(value: Any, visits: Visits) -> Iterator[Any]:
        waiting = [value]
        while waiting:
            each = waiting.pop()
            if (type(each) is dict or type(each) is list) and not visits.is_new(visited, each):
                continue
            if type(each) is dict:
                visits.count(1 + len(each))
                if name in each:
                    yield each[name]
                waiting.extend(reversed(each.values()))
            elif type(each) is list:
                visits.count(1 + len(each))
                waiting.extend(reversed(each))

    return step


def item_at(index: int) -> Step:
    def step(value: Any, visits: Visits) -> Iterator[Any]:
        if type(value) is list and -len(value) <= index < len(value):
            yield value[index]

    return step


def items_at(part: slice) -> Step:
    def step(value: Any, visits: Visits) -> Iterator[Any]:
        if type(value) is list:
            visits.count(len(value))
            yield from value[part]

    return step


def filtered(find_left: Operand, compare: Callable[[Any, Any], Any] | None, find_right: Operand | None) -> Step:
    """The items of a list for which the comparison holds. Without `compare`, the items where `find_left` finds something."""

    def step(value: Any, visits: Visits) -> Iterator[Any]:
        if type(value) is not list:
            return
        for item in value:
            visits.count(1)
            found = find_left(item, visits)
            if compare is None or find_right is None:
                if found:
                    yield item
                continue
            wanted = find_right(item, visits)
            try:
                if found and wanted and compare(found[0], wanted[0]):
                    yield item
            except TypeError:
                # Values of different types do not compare; the item does not match.
                continue

    return step
