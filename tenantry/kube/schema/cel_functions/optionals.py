"""CEL's optional values."""

from __future__ import annotations

from typing import Any

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import FunctionTable
from tenantry.kube.schema.cel_values import NONE, Cost, Duration, Optional, Timestamp, is_number, size

FUNCTIONS = FunctionTable()
_ZERO_TIME = -62135596800 * 10**9
"""Go's zero time, the first moment of year 1."""


def _optional(value: Any) -> Optional:
    if type(value) is not Optional:
        raise NoOverload
    return value


@FUNCTIONS.function("optional.of")
def _of(cost: Cost, value: Any) -> Optional:
    cost.charge(1)
    return Optional((value,))


@FUNCTIONS.function("optional.none")
def _none(cost: Cost) -> Optional:
    cost.charge(1)
    return NONE


@FUNCTIONS.function("optional.ofNonZeroValue")
def _of_non_zero(cost: Cost, value: Any) -> Optional:
    cost.charge(1)
    kind = type(value)
    if kind in (str, bytes, list, dict):
        is_zero = size(value) == 0
    elif kind in (Duration, Timestamp):
        is_zero = value.nanoseconds == (0 if kind is Duration else _ZERO_TIME)
    else:
        is_zero = value is None or value is False or (is_number(value) and value == 0)
    return NONE if is_zero else Optional((value,))


@FUNCTIONS.member("hasValue")
def _has_value(cost: Cost, value: Any) -> bool:
    cost.charge(1)
    return bool(_optional(value).items)


@FUNCTIONS.member("value")
def _value(cost: Cost, value: Any) -> Any:
    cost.charge(1)
    if not _optional(value).items:
        raise CelError("optional.none() dereference")
    return value.items[0]
