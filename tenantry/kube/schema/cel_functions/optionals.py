"""CEL's optional values."""

from __future__ import annotations

from typing import Any

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import FunctionTable
from tenantry.kube.schema.cel_values import NONE, Cost, Optional, is_number, size

FUNCTIONS = FunctionTable()


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
    is_zero = value is None or (type(value) in (str, bytes, list, dict) and size(value) == 0) or (is_number(value) and value == 0)
    return NONE if is_zero or value is False else Optional((value,))


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
