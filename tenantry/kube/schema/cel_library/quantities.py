"""Kubernetes' CEL functions of quantities, and the comparisons that versions share with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenantry.kube import quantity
from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import INT_MAX, INT_MIN, Function, FunctionTable, text_of
from tenantry.kube.schema.cel_library.shared import access_to, opaque, reads
from tenantry.kube.schema.cel_values import Cost, Opaque

FUNCTIONS = FunctionTable()


def _quantity(cost: Cost, text: Any) -> Opaque:
    cost.text(len(text_of(text)))
    try:
        return Opaque("Quantity", quantity.parse(text))
    except ValueError as error:
        raise CelError(str(error)) from None


def _compare(cost: Cost, left: Any, right: Any) -> int:
    cost.charge(1)
    first, second = opaque(left, "Quantity", "Semver"), opaque(right, "Quantity", "Semver")
    if left.kind != right.kind:
        raise NoOverload
    return int(first > second) - int(first < second)


def _amount(value: Any) -> Any:
    return value if type(value) is int else opaque(value, "Quantity")


def _as_integer(cost: Cost, value: Any) -> int:
    cost.charge(1)
    amount = opaque(value, "Quantity")
    if amount != amount.to_integral_value() or not INT_MIN <= amount <= INT_MAX:
        raise CelError("cannot convert value to integer")
    return int(amount)


def _is_integer(cost: Cost, value: Any) -> bool:
    try:
        _as_integer(cost, value)
    except NoOverload:
        raise
    except CelError:
        return False
    return True


def _arithmetic(run: Callable[[Any, Any], Any]) -> Function:
    def apply(cost: Cost, left: Any, right: Any) -> Opaque:
        cost.charge(1)
        return Opaque("Quantity", quantity.exactly(run, opaque(left, "Quantity"), _amount(right)))

    return apply


FUNCTIONS["quantity", False] = _quantity
FUNCTIONS["isQuantity", False] = reads(_quantity)
FUNCTIONS["sign", False] = access_to("Quantity", lambda amount: int(amount > 0) - int(amount < 0))
FUNCTIONS["isInteger", True] = _is_integer
FUNCTIONS["asInteger", True] = _as_integer
FUNCTIONS["asApproximateFloat", True] = access_to("Quantity", float)
FUNCTIONS["add", True] = _arithmetic(lambda a, b: a + b)
FUNCTIONS["sub", True] = _arithmetic(lambda a, b: a - b)
FUNCTIONS["isLessThan", True] = lambda cost, a, b: _compare(cost, a, b) < 0
FUNCTIONS["isGreaterThan", True] = lambda cost, a, b: _compare(cost, a, b) > 0
FUNCTIONS["compareTo", True] = _compare
