"""CEL's arithmetic operators, `!` and the index operator."""

from __future__ import annotations

import math
from typing import Any

from tenantry.kube.schema import cel_time
from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import PER_POINTER, FunctionTable, bounded, int_of, unsigned
from tenantry.kube.schema.cel_keyed_lists import MapList, SetList
from tenantry.kube.schema.cel_values import Cost, LazyFields, UInt, is_key, type_name

FUNCTIONS = FunctionTable()


def add(cost: Cost, left: Any, right: Any) -> Any:
    kind = type(left)
    if isinstance(left, list) and isinstance(right, list):
        cost.charge(1)
        cost.work(PER_POINTER * (len(left) + len(right)))
        return left.union(right) if isinstance(left, (SetList, MapList)) else [*left, *right]
    if kind is not type(right):
        return cel_time.add(cost, left, right)
    if kind is str or kind is bytes:
        cost.text(len(left) + len(right))
        return left + right
    cost.charge(1)
    if kind is int:
        return bounded(left + right)
    if kind is float:
        return left + right
    if kind is UInt:
        return unsigned(int(left) + int(right))
    return cel_time.sum_of(left, right)


def subtract(cost: Cost, left: Any, right: Any) -> Any:
    cost.charge(1)
    if type(left) is type(right):
        if type(left) is int:
            return bounded(left - right)
        if type(left) is float:
            return left - right
        if type(left) is UInt:
            return unsigned(int(left) - int(right))
    return cel_time.subtract(left, right)


@FUNCTIONS.function("_*_")
def _multiply(cost: Cost, left: Any, right: Any) -> Any:
    cost.charge(1)
    match left, right:
        case float(), float():
            return left * right
        case UInt(), UInt():
            return unsigned(int(left) * int(right))
    return bounded(int_of(left) * int_of(right))


@FUNCTIONS.function("_/_")
def _divide(cost: Cost, left: Any, right: Any) -> Any:
    cost.charge(1)
    match left, right:
        case float(), float():
            if right == 0:
                return math.nan if left == 0 or left != left else math.copysign(math.inf, left) * math.copysign(1, right)
            return left / right
    if type(left) is not type(right) or type(left) not in (int, UInt):
        raise NoOverload
    if right == 0:
        raise CelError("division by zero")
    quotient = abs(int(left)) // abs(int(right))
    if type(left) is UInt:
        return UInt(quotient)
    return bounded(quotient if (left < 0) == (right < 0) else -quotient)


@FUNCTIONS.function("_%_")
def _modulo(cost: Cost, left: Any, right: Any) -> Any:
    cost.charge(1)
    if type(left) is not type(right) or type(left) not in (int, UInt):
        raise NoOverload
    if right == 0:
        raise CelError("modulus by zero")
    rest = abs(int(left)) % abs(int(right))
    return UInt(rest) if type(left) is UInt else (-rest if left < 0 else rest)


@FUNCTIONS.function("-_")
def _negate(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    if type(value) is float:
        return -value
    return bounded(-int_of(value))


@FUNCTIONS.function("!_")
def _not(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    if type(value) is not bool:
        raise NoOverload
    return not value


def index(holder: Any, key: Any) -> Any:
    """`holder[key]`."""
    if isinstance(holder, list):
        if type(key) is float and key.is_integer():
            key = int(key)
        if type(key) not in (int, UInt):
            raise CelError(f"unsupported index type '{type_name(key)}' in list")
        if not 0 <= key < len(holder):
            raise CelError(f"index out of bounds: {int(key)}")
        return holder[key]
    if isinstance(holder, LazyFields) and type(key) is str:
        return holder.field(key)
    if type(holder) is not dict or not is_key(key) or key not in holder:
        raise CelError(f"no such key: {key}")
    return holder[key]
