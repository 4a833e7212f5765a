"""Kubernetes' CEL functions of lists, sets and regular expressions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import Function, FunctionTable, int_of, list_of, search_cost, text_of
from tenantry.kube.schema.cel_functions.arithmetic import add
from tenantry.kube.schema.cel_values import Cost, contains, equal, less, traversal
from tenantry.kube.schema.regex import find_all

FUNCTIONS = FunctionTable()
_NO_COST = Cost(1 << 60)
"""For sums whose cost is charged already."""


def _is_sorted(cost: Cost, items: Any) -> bool:
    traversal(cost, list_of(items))
    return not any(less(cost, b, a) for a, b in pairwise(items))


def _sum(cost: Cost, items: Any) -> Any:
    traversal(cost, list_of(items))
    total = items[0] if items else 0
    try:
        for item in items[1:]:
            total = add(_NO_COST, total, item)
    except NoOverload as error:
        # It is the sum of two items that does not exist, and not that of the list.
        raise CelError(str(error)) from None
    return total


def _extreme(name: str, later_wins: Callable[[Cost, Any, Any], bool]) -> Function:
    def extreme(cost: Cost, items: Any) -> Any:
        traversal(cost, list_of(items))
        if not items:
            raise CelError(f"{name} called on empty list")
        best = items[0]
        for item in items[1:]:
            # As upstream, items that cannot be compared are passed over.
            with suppress(NoOverload):
                if later_wins(cost, best, item):
                    best = item
        return best

    return extreme


def _index_of(cost: Cost, value: Any, wanted: Any, start: Any = 0) -> int:
    if isinstance(value, list):
        traversal(cost, value)
        return next((place for place, item in enumerate(value) if equal(cost, item, wanted)), -1)
    text_of(wanted)
    traversal(cost, text_of(value))
    if int_of(start) < 0:
        raise CelError(f"index out of range: {start}")
    if not wanted:
        return min(int_of(start), len(value))
    return int(value.find(wanted, start))


def _last_index_of(cost: Cost, value: Any, wanted: Any, start: Any = None) -> int:
    if isinstance(value, list):
        traversal(cost, value)
        return next((place for place in range(len(value) - 1, -1, -1) if equal(cost, value[place], wanted)), -1)
    length = len(text_of(wanted))
    traversal(cost, text_of(value))
    if start is not None and int_of(start) < 0:
        raise CelError(f"index out of range: {start}")
    if not wanted:
        return len(value) if start is None else min(int_of(start), len(value))
    if start is not None and start >= len(value):
        return -1
    # Both texts are reversed, because str.find takes linear time and str.rfind does not.
    until = len(value) if start is None else min(len(value), start + length)
    found = value[:until][::-1].find(wanted[::-1])
    return -1 if found < 0 else until - found - length


def _product(cost: Cost, left: Any, right: Any, times: int) -> None:
    cost.charge(1 + len(list_of(left)) * len(list_of(right)) * times)


def _sets_contains(cost: Cost, left: Any, right: Any) -> bool:
    _product(cost, left, right, 1)
    return all(contains(cost, left, item) for item in right)


def _sets_intersects(cost: Cost, left: Any, right: Any) -> bool:
    _product(cost, left, right, 1)
    return any(contains(cost, left, item) for item in right)


def _sets_equivalent(cost: Cost, left: Any, right: Any) -> bool:
    _product(cost, left, right, 2)
    return all(contains(cost, left, item) for item in right) and all(contains(cost, right, item) for item in left)


def _find(cost: Cost, text: Any, pattern: Any) -> str:
    return next(iter(_find_all(cost, text, pattern, 1)), "")


def _find_all(cost: Cost, text: Any, pattern: Any, limit: Any = -1) -> list[str]:
    search_cost(cost, text_of(text), text_of(pattern))
    try:
        return find_all(pattern, text, int_of(limit), cost.work)
    except ValueError as error:
        raise CelError(str(error)) from None


FUNCTIONS["isSorted", True] = _is_sorted
FUNCTIONS["sum", True] = _sum
FUNCTIONS["min", True] = _extreme("min", lambda cost, best, item: less(cost, item, best))
FUNCTIONS["max", True] = _extreme("max", less)
FUNCTIONS["indexOf", True] = _index_of
FUNCTIONS["lastIndexOf", True] = _last_index_of
FUNCTIONS["sets.contains", False] = _sets_contains
FUNCTIONS["sets.intersects", False] = _sets_intersects
FUNCTIONS["sets.equivalent", False] = _sets_equivalent
FUNCTIONS["find", True] = _find
FUNCTIONS["findAll", True] = _find_all
