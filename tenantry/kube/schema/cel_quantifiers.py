"""`all` and `exists`: loops that end with the first item that decides, whatever errors others make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_operators import Frame, Run
from tenantry.kube.schema.cel_syntax import CallNode, Comprehension, Ident, Literal, Node
from tenantry.kube.schema.cel_values import CostExceeded, UInt

_GO_TYPES = {
    str: "types.String",
    int: "types.Int",
    UInt: "types.Uint",
    float: "types.Double",
    bool: "types.Bool",
    bytes: "types.Bytes",
    type(None): "types.Null",
}


def items_of(over: Any, *, pairs: bool) -> Iterable[Any]:
    """What a comprehension goes through: items of lists and keys of maps, or `pairs` of an index or a key and its value. Raises
    CelError."""
    if type(over) is dict:
        return over.items() if pairs else over
    if isinstance(over, list):
        return enumerate(over) if pairs else over
    raise CelError(f"got '{_GO_TYPES.get(type(over), 'types.Unknown')}', expected iterable type")


class Quantifier(NamedTuple):
    """`decides`: the value of the predicate that ends the loop, False for `all` and True for `exists`."""

    decides: bool
    predicate: Node


def quantifier(node: Comprehension) -> Quantifier | None:
    """What a comprehension is that the macro `all` or `exists` expands to; None for others."""
    name, step, condition = node.result_variable, node.step, node.condition
    if not isinstance(step, CallNode) or step.function not in _DECIDES or not _is_named(step.arguments[0], name):
        return None
    if not isinstance(condition, CallNode) or condition.function != "@not_strictly_false" or not _is_named(node.result, name):
        return None
    decides = _DECIDES[step.function]
    goes_on = condition.arguments[0]
    if decides:
        if not isinstance(goes_on, CallNode) or goes_on.function != "!_":
            return None
        goes_on = goes_on.arguments[0]
    begins = isinstance(node.start, Literal) and node.start.value is (not decides)
    return Quantifier(decides, step.arguments[1]) if begins and _is_named(goes_on, name) else None


_DECIDES = {"_&&_": False, "_||_": True}


def _is_named(node: Node, name: str) -> bool:
    return isinstance(node, Ident) and node.name == name


def quantify(items: Run, first: int, second: int | None, predicate: Run, decides: bool) -> Run:
    """`first`, `second`: the places of the variables."""
    # Each item costs the steps of the loop that the macro expands to: `@not_strictly_false(result)`, and `result && predicate`.
    condition_units, step_units = (3, 1) if decides else (2, 1)

    def loop(frame: Frame) -> bool:
        over = items_of(items(frame), pairs=second is not None)
        values, cost = frame.values, frame.cost
        failure: CelError | None = None
        decided = False
        for item in over:
            if second is not None:
                values[first], values[second] = item
            else:
                values[first] = item
            cost.spare -= 1
            if cost.spare < 0:
                raise CostExceeded
            if decided:
                _spend(frame, condition_units)
                break
            # `!result` is not reached where the result is an error.
            _spend(frame, (condition_units if failure is None else 2) + step_units)
            try:
                value = predicate(frame)
            except CelError as error:
                failure = failure or error.with_traceback(None)
                continue
            if value is decides:
                decided = True
            elif type(value) is not bool:
                failure = failure or NoOverload()
        _spend(frame, 1)
        if decided or failure is None:
            return decided is decides
        try:
            raise failure
        finally:
            del failure

    return loop


def _spend(frame: Frame, units: int) -> None:
    cost = frame.cost
    cost.left -= units
    if cost.left < 0:
        # It ends with the step that is one too many.
        cost.left = -1
        raise CostExceeded
