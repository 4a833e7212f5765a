"""CEL's operators that do not evaluate all their arguments, and those with a faster implementation than a plain function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arithmetic import add, index, subtract
from tenantry.kube.schema.cel_syntax import CallNode, Literal, Node
from tenantry.kube.schema.cel_values import (
    NONE,
    PER_CHARACTER,
    Cost,
    Optional,
    UInt,
    charge_equal,
    contains,
    equal,
    is_key,
    less,
    size,
)


class Frame:
    """The variables of an evaluation by their index, and the cost that is left."""

    __slots__ = ("cost", "values")

    def __init__(self, values: list[Any], cost: Cost) -> None:
        self.values = values
        self.cost = cost


Run = Callable[[Frame], Any]
Scope = dict[str, int]


class NodeCompiler(Protocol):
    """Compiles the arguments of an operator."""

    def node(self, node: Node, scope: Scope) -> Run: ...


Operator = Callable[[NodeCompiler, CallNode, Scope], Run]


def _pair(compiler: NodeCompiler, node: CallNode, scope: Scope) -> tuple[Run, Run]:
    left, right = node.arguments
    return compiler.node(left, scope), compiler.node(right, scope)


def _logic(decides: bool) -> Operator:
    """`&&` (False decides) and `||` (True decides): the deciding value wins over an error on the other side."""

    def special(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
        left, right = _pair(compiler, node, scope)

        def logic(frame: Frame) -> Any:
            failure: CelError | None = None
            for side in (left, right):
                try:
                    value = side(frame)
                except CelError as error:
                    failure = failure or error.with_traceback(None)
                    continue
                if value is decides:
                    return decides
                if type(value) is not bool:
                    failure = failure or NoOverload()
            if failure is None:
                return not decides
            try:
                raise failure
            finally:
                del failure

        return logic

    return special


def _conditional(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
    condition, yes, no = (compiler.node(argument, scope) for argument in node.arguments)

    def choose(frame: Frame) -> Any:
        value = condition(frame)
        if value is True:
            return yes(frame)
        if value is False:
            return no(frame)
        raise NoOverload

    return choose


def _not_strictly_false(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
    operand = compiler.node(node.arguments[0], scope)

    def check(frame: Frame) -> Any:
        frame.cost.charge(1)
        try:
            return operand(frame) is not False
        except CelError:
            return True

    return check


def _equality(wanted: bool) -> Operator:
    def special(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
        left, right = _pair(compiler, node, scope)

        def compare(frame: Frame) -> Any:
            one, other = left(frame), right(frame)
            charge_equal(frame.cost, one, other)
            return equal(frame.cost, one, other) is wanted

        return compare

    return special


def _order(swap: bool, or_equal: bool) -> Operator:
    def special(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
        left, right = _pair(compiler, node, scope)

        def compare(frame: Frame) -> Any:
            one, other = left(frame), right(frame)
            cost = frame.cost
            cost.charge(min(size(one), size(other)) * PER_CHARACTER if type(one) in (str, bytes) else 1)
            if less(cost, other, one) if swap else less(cost, one, other):
                return True
            # Not the negated opposite comparison: that would be true for NaN.
            return or_equal and equal(cost, one, other)

        return compare

    return special


def _in(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
    left, right = _pair(compiler, node, scope)

    def search(frame: Frame) -> Any:
        wanted, items = left(frame), right(frame)
        if type(items) is list:
            frame.cost.charge(len(items))
        elif type(items) is dict:
            frame.cost.charge(1)
        else:
            raise NoOverload
        return contains(frame.cost, items, wanted)

    return search


def _optional_field(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
    operand = compiler.node(node.arguments[0], scope)
    field = str(node.arguments[1].value) if isinstance(node.arguments[1], Literal) else ""

    def select(frame: Frame) -> Any:
        value = operand(frame)
        frame.cost.charge(1)
        return optional_select(value if type(value) is Optional else Optional((value,)), field)

    return select


def _indexed(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
    holder, key = _pair(compiler, node, scope)

    def at(frame: Frame) -> Any:
        value, place = holder(frame), key(frame)
        frame.cost.charge(1)
        if type(value) is Optional:
            return _optional_at(value, place)
        return index(value, place)

    return at


def _optional_indexed(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
    holder, key = _pair(compiler, node, scope)

    def at(frame: Frame) -> Any:
        value, place = holder(frame), key(frame)
        frame.cost.charge(1)
        return _optional_at(value if type(value) is Optional else Optional((value,)), place)

    return at


def _optional_at(value: Optional, place: Any) -> Optional:
    if not value.items:
        return NONE
    [inner] = value.items
    if type(inner) is dict:
        return Optional((inner[place],)) if is_key(place) and place in inner else NONE
    if type(inner) is list and type(place) in (int, UInt):
        return Optional((inner[place],)) if 0 <= place < len(inner) else NONE
    raise NoOverload


def _operator(run: Callable[[Cost, Any, Any], Any]) -> Operator:
    def special(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
        left, right = _pair(compiler, node, scope)
        return lambda frame: run(frame.cost, left(frame), right(frame))

    return special


OPERATORS: dict[str, Operator] = {
    "_&&_": _logic(False),
    "_||_": _logic(True),
    "_?_:_": _conditional,
    "@not_strictly_false": _not_strictly_false,
    "__not_strictly_false__": _not_strictly_false,
    "_==_": _equality(True),
    "_!=_": _equality(False),
    "_<_": _order(False, False),
    "_<=_": _order(False, True),
    "_>_": _order(True, False),
    "_>=_": _order(True, True),
    "@in": _in,
    "_[_]": _indexed,
    "_[?_]": _optional_indexed,
    "_?._": _optional_field,
    "_+_": _operator(add),
    "_-_": _operator(subtract),
}


def optional_select(value: Optional, field: str) -> Optional:
    if not value.items:
        return NONE
    [inner] = value.items
    if type(inner) is not dict:
        raise NoOverload
    return Optional((inner[field],)) if field in inner else NONE
