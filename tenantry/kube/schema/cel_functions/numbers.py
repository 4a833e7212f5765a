"""The `math` extension of CEL."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import INT_MAX, UINT_MAX, Function, FunctionTable, bounded, int_of
from tenantry.kube.schema.cel_values import Cost, UInt, is_number

FUNCTIONS = FunctionTable()


def _extreme(pick: Callable[[Any], Any]) -> Function:
    def extreme(cost: Cost, *values: Any) -> Any:
        items = values[0] if len(values) == 1 and type(values[0]) is list else list(values)
        cost.charge(max(1, len(items)))
        if not items or not all(map(is_number, items)):
            raise NoOverload
        return pick(items)

    return extreme


def _of_double(run: Callable[[float], Any]) -> Function:
    def apply(cost: Cost, value: Any) -> Any:
        cost.charge(1)
        if type(value) is not float:
            raise NoOverload
        return run(value)

    return apply


def _round(value: float) -> float:
    return float(math.floor(abs(value) + 0.5)) * math.copysign(1, value) if math.isfinite(value) else value


def _whole(run: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(run(value)) if math.isfinite(value) else value


def _bits(run: Callable[[int, int], int]) -> Function:
    def apply(cost: Cost, left: Any, right: Any) -> Any:
        cost.charge(1)
        if type(left) is not type(right) or type(left) not in (int, UInt):
            raise NoOverload
        return type(left)(run(int(left), int(right)))

    return apply


def _shift(left: bool) -> Function:
    def apply(cost: Cost, value: Any, by: Any) -> Any:
        cost.charge(1)
        if type(value) not in (int, UInt):
            raise NoOverload
        if int_of(by) < 0:
            raise CelError(f"math.bitShift{'Left' if left else 'Right'}() negative offset: {by}")
        bits = (int(value) & UINT_MAX) << min(by, 64) if left else (int(value) & UINT_MAX) >> min(by, 64)
        bits &= UINT_MAX
        return UInt(bits) if type(value) is UInt else (bits - (1 << 64) if bits > INT_MAX else bits)

    return apply


@FUNCTIONS.function("math.abs")
def _abs(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    if not is_number(value):
        raise NoOverload
    return value if type(value) is UInt else (abs(value) if type(value) is float else bounded(abs(value)))


@FUNCTIONS.function("math.sign")
def _sign(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    if not is_number(value):
        raise NoOverload
    return value if value != value else type(value)((value > 0) - (value < 0))


@FUNCTIONS.function("math.sqrt")
def _sqrt(cost: Cost, value: Any) -> float:
    cost.charge(1)
    if not is_number(value):
        raise NoOverload
    return math.sqrt(value) if value >= 0 else math.nan


@FUNCTIONS.function("math.bitNot")
def _bit_not(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    return UInt(UINT_MAX ^ value) if type(value) is UInt else ~int_of(value)


FUNCTIONS |= {
    ("math.@max", False): _extreme(max),
    ("math.@min", False): _extreme(min),
    ("math.ceil", False): _of_double(_whole(math.ceil)),
    ("math.floor", False): _of_double(_whole(math.floor)),
    ("math.trunc", False): _of_double(_whole(math.trunc)),
    ("math.round", False): _of_double(_round),
    ("math.isInf", False): _of_double(math.isinf),
    ("math.isNaN", False): _of_double(math.isnan),
    ("math.isFinite", False): _of_double(math.isfinite),
    ("math.bitAnd", False): _bits(lambda a, b: a & b),
    ("math.bitOr", False): _bits(lambda a, b: a | b),
    ("math.bitXor", False): _bits(lambda a, b: a ^ b),
    ("math.bitShiftLeft", False): _shift(True),
    ("math.bitShiftRight", False): _shift(False),
}
