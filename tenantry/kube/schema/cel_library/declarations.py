"""Declarations of functions that Kubernetes adds to CEL, and what their implementations share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import Function, text_of
from tenantry.kube.schema.cel_values import Cost, Opaque

PACKAGE = "kubernetes"
OPAQUE = ("Quantity", "URL", "IP", "CIDR", "Semver")


class FunctionDeclaration(NamedTuple):
    """The declaration `name(parameters)`, or `first.name(others)` for a member. Types are words: those of `OPAQUE`, and
    those that `cel_engine` knows."""

    name: str
    member: bool
    parameters: tuple[str, ...]
    result: str
    run: Function


class Declarations(list[FunctionDeclaration]):
    """Functions in the order of their declaration. Filled when a module is loaded."""

    def function(self, name: str, parameters: str, result: str, run: Function, *, member: bool = False) -> None:
        """Declares `name(parameters)`. `parameters` are types, separated by spaces."""
        self.append(FunctionDeclaration(name, member, tuple(parameters.split()), result, run))

    def member(self, name: str, parameters: str, result: str, run: Function) -> None:
        """Declares `first.name(others)`."""
        self.function(name, parameters, result, run, member=True)


def opaque(value: Any, *kinds: str) -> Any:
    """The content of a value of one of our types. Raises NoOverload for another value."""
    if type(value) is not Opaque or value.kind not in kinds:
        raise NoOverload
    return value.value


def reads(run: Callable[[Cost, Any], Any]) -> Function:
    """Whether a text can be parsed, for functions that parse one."""

    def succeeds(cost: Cost, text: Any) -> bool:
        text_of(text)
        try:
            run(cost, text)
        except CelError:
            return False
        return True

    return succeeds


def access_to(kind: str, get: Callable[[Any], Any]) -> Function:
    """An attribute of a value of one of our types. It costs one unit."""

    def access(cost: Cost, value: Any) -> Any:
        cost.charge(1)
        return get(opaque(value, kind))

    return access
