"""Kubernetes' CEL functions of quantities, and the comparisons that versions share with them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tenantry.kube import quantity
from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import INT_MAX, INT_MIN, Function, FunctionTable, text_of
from tenantry.kube.schema.cel_library.shared import access_to, opaque, reads
from tenantry.kube.schema.cel_values import Cost, Opaque

FUNCTIONS = FunctionTable()


class Amount(Decimal):
    """The amount of a quantity. `power` is that of `quantity.power_of_ten`. `is_computed`: it is a sum or a difference. As
    upstream, no quantity can be compared with one (`q == a.add(b)`), but it can be compared with a quantity."""

    __slots__ = ("is_computed", "power")
    power: int | None
    is_computed: bool


def _amount(value: Decimal | int, power: int | None, *, is_computed: bool = False) -> Amount:
    made = Amount(value)
    made.power, made.is_computed = power, is_computed
    return made


def _quantity(cost: Cost, text: Any) -> Opaque:
    cost.text(len(text_of(text)))
    try:
        return Opaque("Quantity", _amount(quantity.parse(text), quantity.power_of_ten(text)))
    except ValueError as error:
        raise CelError(str(error)) from None


def _compare(cost: Cost, left: Any, right: Any) -> int:
    cost.charge(1)
    first, second = opaque(left, "Quantity", "Semver"), opaque(right, "Quantity", "Semver")
    if left.kind != right.kind:
        raise NoOverload
    return int(first > second) - int(first < second)


def _as_integer(cost: Cost, value: Any) -> int:
    cost.charge(1)
    amount: Amount = opaque(value, "Quantity")
    # As upstream, 1000m and 5.0 are no integers, and neither is what takes arbitrary precision.
    if amount.power is None or amount.power < 0 or not INT_MIN <= amount <= INT_MAX:
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
        one: Amount = opaque(left, "Quantity")
        other = _amount(right, 0) if type(right) is int else opaque(right, "Quantity")
        total = quantity.exactly(run, one, other)
        return Opaque("Quantity", _amount(total, _common_power(one, other, total), is_computed=True))

    return apply


def _common_power(one: Amount, other: Amount, total: Decimal) -> int | None:
    """The power of ten of a sum or difference: the smaller one of two, unless one of them is zero, or it does not fit."""
    if one.power is None or other.power is None:
        return None
    if not other:
        return one.power
    power = min(one.power, other.power) if one else other.power
    return power if all(abs(each.scaleb(-power)) <= INT_MAX for each in (one, other, total)) else None


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
