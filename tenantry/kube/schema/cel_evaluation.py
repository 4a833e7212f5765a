"""Nodes whose errors go another way than to the caller: names whose value may fail, and calls that end the evaluation."""

from __future__ import annotations

from typing import Any

from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_operators import Frame, Run

CRASHING = frozenset((("distinct", True), ("sort", True), ("@sortByAssociatedKeys", True)))
"""Functions (name, whether it is a member) whose cost cel-go cannot tell where an argument is an error: it panics."""
_NO_LIST = "internal error: interface conversion: *types.Err is not traits.Lister: missing method Add"


class Crash(Exception):
    """What ends a whole evaluation with an error. No operator catches it."""


def crashing(argument: Run) -> Run:
    """An argument of such a function. Raises Crash."""

    def crash(frame: Frame) -> Any:
        try:
            return argument(frame)
        except CelError:
            raise Crash(_NO_LIST) from None

    return crash


def bound(start: Run, kept: int, result: Run) -> Run:
    """A comprehension that gives a value a name. The value is needed only where it is used, so its error is stored."""

    def bind(frame: Frame) -> Any:
        try:
            frame.values[kept] = start(frame)
        except CelError as error:
            frame.values[kept] = error.with_traceback(None)
        return result(frame)

    return bind
