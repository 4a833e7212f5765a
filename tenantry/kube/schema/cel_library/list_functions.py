"""cel-go's extension of lists (ext/lists.go): `sort`, `distinct`, `flatten`, `slice`, `lists.range`, and what `sortBy` needs."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import FunctionTable, int_of, list_of
from tenantry.kube.schema.cel_values import NONE, PER_CHARACTER, Cost, Optional, equal, less, type_name

FUNCTIONS = FunctionTable()
_RANGE_MAX = 1_000_000
_NEW_LIST_COST = 11


def _new_list(cost: Cost, size: float) -> None:
    cost.charge(int(size) + _NEW_LIST_COST)


def _compared(cost: Cost, items: list[Any]) -> None:
    """The cost of comparing items with each other, of which each is compared with each other one."""
    factor = 2 + PER_CHARACTER if items and isinstance(items[0], (str, bytes)) else 2
    _new_list(cost, len(items) ** 2 * factor)


@FUNCTIONS.member("slice")
def _slice(cost: Cost, items: Any, start: Any, end: Any) -> list[Any]:
    if int_of(start) < 0 or int_of(end) < 0:
        raise CelError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise CelError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if len(list_of(items)) < end:
        raise CelError(f"cannot slice({start}, {end}), list is length {len(items)}")
    _new_list(cost, end - start)
    return [*items[start:end]]


@FUNCTIONS.function("lists.range")
def _range(cost: Cost, count: Any) -> list[int]:
    if int_of(count) < 0:
        raise CelError(f"lists.range: size must be non-negative, got {count}")
    if count > _RANGE_MAX:
        raise CelError(f"lists.range: size {count} exceeds maximum allowed ({_RANGE_MAX})")
    _new_list(cost, count)
    return list(range(count))


@FUNCTIONS.member("flatten")
def _flatten(cost: Cost, items: Any, depth: Any = 1) -> list[Any]:
    if int_of(depth) < 0:
        raise CelError("level must be non-negative")
    _new_list(cost, len(list_of(items)) * depth)
    out: list[Any] = []
    waiting: list[tuple[Any, int]] = [(item, depth) for item in reversed(items)]
    while waiting:
        item, left = waiting.pop()
        if isinstance(item, list) and left > 0:
            cost.work(1 + len(item) / 2)
            waiting.extend((each, left - 1) for each in reversed(item))
        else:
            out.append(item)
    return out


@FUNCTIONS.member("distinct")
def _distinct(cost: Cost, items: Any) -> list[Any]:
    _compared(cost, list_of(items))
    out: list[Any] = []
    for item in items:
        if not any(equal(cost, item, other) for other in out):
            out.append(item)
    return out


@FUNCTIONS.member("sort")
def _sort(cost: Cost, items: Any) -> list[Any]:
    return _by_keys(cost, items, items)


@FUNCTIONS.member("@sortByAssociatedKeys")
def _sorted_by(cost: Cost, items: Any, keys: Any) -> list[Any]:
    return _by_keys(cost, items, keys)


def _by_keys(cost: Cost, items: Any, keys: Any) -> list[Any]:
    _compared(cost, list_of(keys))
    if len(list_of(items)) != len(keys):
        raise NoOverload
    if len({type_name(key) for key in keys}) > 1:
        raise CelError("list elements must have the same type")

    def order(one: int, other: int) -> int:
        if less(cost, keys[one], keys[other]):
            return -1
        return 1 if less(cost, keys[other], keys[one]) else 0

    try:
        return [items[place] for place in sorted(range(len(items)), key=cmp_to_key(order))]
    except NoOverload:
        raise CelError("list elements must be comparable") from None


@FUNCTIONS.member("first")
def _first(cost: Cost, items: Any) -> Optional:
    cost.charge(1)
    return Optional((items[0],)) if list_of(items) else NONE


@FUNCTIONS.member("last")
def _last(cost: Cost, items: Any) -> Optional:
    cost.charge(1)
    return Optional((items[-1],)) if list_of(items) else NONE


@FUNCTIONS.function("optional.unwrap")
@FUNCTIONS.member("unwrapOpt")
def _unwrap(cost: Cost, items: Any) -> list[Any]:
    cost.charge(1)
    cost.work(len(list_of(items)) / 4)
    if any(type(item) is not Optional for item in items):
        raise NoOverload
    return [value for item in items for value in item.items]
