"""Kubernetes' CEL functions of quantities and semantic versions, which share their comparisons."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from tenantry.kube import quantity
from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import INT_MAX, INT_MIN, Function, text_of
from tenantry.kube.schema.cel_library.declarations import Declarations, access_to, opaque, reads
from tenantry.kube.schema.cel_values import Cost, Opaque

FUNCTIONS = Declarations()


_LONGEST_SEMVER = 256
_SEMVER = re.compile(
    r"(0|[1-9]\d{0,19})\.(0|[1-9]\d{0,19})\.(0|[1-9]\d{0,19})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-.]+)?",
    re.ASCII,
)


def _quantity(cost: Cost, text: Any) -> Opaque:
    cost.text(len(text_of(text)))
    try:
        return Opaque("Quantity", quantity.parse(text))
    except ValueError as error:
        raise CelError(str(error)) from None


def _semver(cost: Cost, text: Any) -> Opaque:
    cost.text(len(text_of(text)))
    match = _SEMVER.fullmatch(text) if len(text) <= _LONGEST_SEMVER else None
    if match is None:
        raise CelError(f"invalid semantic version {text[:_LONGEST_SEMVER]!r}")
    major, minor, patch, before = match.groups()
    marks = tuple((0, int(m), "") if m.isdecimal() else (1, 0, m) for m in (before or "").split(".")) if before else ()
    return Opaque("Semver", (int(major), int(minor), int(patch), before is None, marks))


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


FUNCTIONS.function("quantity", "string", "Quantity", _quantity)
FUNCTIONS.function("isQuantity", "string", "bool", reads(_quantity))
FUNCTIONS.function("sign", "Quantity", "int", access_to("Quantity", lambda amount: int(amount > 0) - int(amount < 0)))
FUNCTIONS.member("isInteger", "Quantity", "bool", _is_integer)
FUNCTIONS.member("asInteger", "Quantity", "int", _as_integer)
FUNCTIONS.member("asApproximateFloat", "Quantity", "double", access_to("Quantity", float))
for _other in ("Quantity", "int"):
    FUNCTIONS.member("add", f"Quantity {_other}", "Quantity", _arithmetic(lambda a, b: a + b))
    FUNCTIONS.member("sub", f"Quantity {_other}", "Quantity", _arithmetic(lambda a, b: a - b))
FUNCTIONS.function("semver", "string", "Semver", _semver)
FUNCTIONS.function("isSemver", "string", "bool", reads(_semver))
for _index, _name in enumerate(("major", "minor", "patch")):
    FUNCTIONS.member(_name, "Semver", "int", access_to("Semver", itemgetter(_index)))
for _type in ("Quantity", "Semver"):
    FUNCTIONS.member("isLessThan", f"{_type} {_type}", "bool", lambda cost, a, b: _compare(cost, a, b) < 0)
    FUNCTIONS.member("isGreaterThan", f"{_type} {_type}", "bool", lambda cost, a, b: _compare(cost, a, b) > 0)
    FUNCTIONS.member("compareTo", f"{_type} {_type}", "int", _compare)
