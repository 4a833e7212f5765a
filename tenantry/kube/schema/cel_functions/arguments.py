"""The table of CEL functions that a module implements, and checks of their arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Any

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_values import Cost, UInt

Function = Callable[..., Any]

INT_MIN, INT_MAX, UINT_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
_ARGUMENTS_MAX = 8
"""No function takes more."""
PER_POINTER = 0.25
"""Cost of a list item: a list of four items needs as much memory as one unit of cost may use."""


def fitting(function: Function, count: int) -> Function:
    """The function for so many arguments, beside the cost that all take; where it takes others, one that has no overload."""
    return _fitting(function, min(count, _ARGUMENTS_MAX + 1))


@cache
def _fitting(function: Function, count: int) -> Function:
    try:
        signature(function).bind(*range(count + 1))
    except TypeError:
        return _no_overload
    return function


def _no_overload(*_: Any) -> Any:
    raise NoOverload


class FunctionTable(dict[tuple[str, bool], Function]):
    """(name, is member) → function. Of a member, the value before the dot is the first argument. It is filled when a module is
    loaded."""

    def function(self, name: str) -> Callable[[Function], Function]:
        """Decorates the implementation of `name(…)`."""

        def register(function: Function) -> Function:
            self[name, False] = function
            return function

        return register

    def member(self, name: str) -> Callable[[Function], Function]:
        """Decorates the implementation of `value.name(…)`."""

        def register(function: Function) -> Function:
            self[name, True] = function
            return function

        return register


def text_of(value: Any) -> str:
    """The value, if it is a string. Raises NoOverload for others."""
    if type(value) is not str:
        raise NoOverload
    return value


def list_of(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise NoOverload
    return value


def int_of(value: Any) -> int:
    if type(value) is not int:
        raise NoOverload
    return value


def search_cost(cost: Cost, text: str, pattern: str) -> None:
    """cel-go's cost of a regular expression on a text."""
    cost.charge(math.ceil((1 + len(text)) * 0.1) * math.ceil(len(pattern) * 0.25))


def bounded(value: int) -> int:
    if type(value) is UInt:
        return value
    if not INT_MIN <= value <= INT_MAX:
        raise CelError("integer overflow")
    return value


def unsigned(value: int) -> UInt:
    if not 0 <= value <= UINT_MAX:
        raise CelError("unsigned integer overflow")
    return UInt(value)
