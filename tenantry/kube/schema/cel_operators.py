"""CEL's operators that do not evaluate all their arguments, and those with a faster implementation than a plain function."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Protocol

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arithmetic import add, index, subtract
from tenantry.kube.schema.cel_names import RESERVED_FIELDS
from tenantry.kube.schema.cel_syntax import CallNode, ListOf, Literal, Node, is_attribute
from tenantry.kube.schema.cel_values import (
    NONE,
    PER_CHARACTER,
    Cost,
    CostExceeded,
    LazyFields,
    Opaque,
    Optional,
    UInt,
    charge_equal,
    contains,
    equal,
    is_key,
    less,
    readable,
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

    def branch(self, node: Node, scope: Scope) -> Run: ...

    def holder(self, node: Node, scope: Scope) -> Run: ...


Operator = Callable[[NodeCompiler, CallNode, Scope], Run]


def _pair(compiler: NodeCompiler, node: CallNode, scope: Scope) -> tuple[Run, Run]:
    left, right = node.arguments
    return compiler.node(left, scope), compiler.node(right, scope)


def _logic(decides: bool) -> Operator:
    """`&&` (False decides) and `||` (True decides): the deciding value wins over an error on the other side."""

    def special(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
        left, right = _pair(compiler, node, scope)

        def logic(frame: Frame) -> Any:
            try:
                value = left(frame)
            except CelError as error:
                failure = error.with_traceback(None)
            else:
                if value is decides:
                    return decides
                if type(value) is bool:
                    value = right(frame)
                    if type(value) is not bool:
                        raise NoOverload
                    return value
                failure = NoOverload()
            try:
                if right(frame) is decides:
                    return decides
            except CelError:
                pass
            try:
                raise failure
            finally:
                del failure

        return logic

    return special


def _conditional(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
    condition = compiler.node(node.arguments[0], scope)
    yes, no = (compiler.branch(argument, scope) for argument in node.arguments[1:])

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
        cost = frame.cost
        cost.left -= 1
        if cost.left < 0:
            raise CostExceeded
        try:
            return operand(frame) is not False
        except CelError:
            return True

    return check


_SHORT = 100
"""Characters that are compared at the cost that cel-go charges for them."""


def _equality(wanted: bool) -> Operator:
    def special(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
        left, right = _pair(compiler, node, scope)

        def compare(frame: Frame) -> Any:
            one, other = left(frame), right(frame)
            cost = frame.cost
            if type(one) is str and type(other) is str and len(one) <= _SHORT:
                cost.charge(min(len(one), len(other)) * PER_CHARACTER)
                return (one == other) is wanted
            charge_equal(cost, one, other)
            if type(other) is Opaque and other.kind == "Quantity" and other.value.is_computed and type(one) is Opaque:
                raise NoOverload
            return equal(cost, one, other) is wanted

        return compare

    return special


def _order(swap: bool, or_equal: bool, of_integers: Callable[[int, int], bool]) -> Operator:
    def special(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
        left, right = _pair(compiler, node, scope)

        def compare(frame: Frame) -> Any:
            one, other = left(frame), right(frame)
            cost = frame.cost
            if type(one) is int and type(other) is int:
                cost.left -= 1
                if cost.left < 0:
                    raise CostExceeded
                return of_integers(one, other)
            if type(one) is str or type(one) is bytes:
                cost.charge(min(size(one), size(other)) * PER_CHARACTER)
            else:
                cost.left -= 1
                if cost.left < 0:
                    raise CostExceeded
            if less(cost, other, one) if swap else less(cost, one, other):
                return True
            # Not the negated opposite comparison: that would be true for NaN.
            return or_equal and equal(cost, one, other)

        return compare

    return special


def _in(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
    if isinstance(node.arguments[1], ListOf) and not node.arguments[1].items:
        # cel-go looks at nothing else then.
        return lambda frame: False
    left, right = _pair(compiler, node, scope)
    if _are_primitive(node.arguments[1]):
        # cel-go looks such values up, and charges nothing for it.
        return lambda frame: contains(frame.cost, right(frame), left(frame))

    def search(frame: Frame) -> Any:
        wanted, items = left(frame), right(frame)
        if isinstance(items, list):
            frame.cost.charge(len(items))
        elif type(items) is dict:
            frame.cost.charge(1)
        else:
            raise NoOverload
        return contains(frame.cost, items, wanted)

    return search


def _are_primitive(node: Node) -> bool:
    return isinstance(node, ListOf) and all(
        isinstance(item, Literal) and not isinstance(item.value, (bytes, type(None))) for item in node.items
    )


def _optional_field(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
    operand = compiler.holder(node.arguments[0], scope)
    field = str(node.arguments[1].value) if isinstance(node.arguments[1], Literal) else ""

    def select(frame: Frame) -> Any:
        value = operand(frame)
        return optional_select(frame.cost, value if type(value) is Optional else Optional((value,)), field)

    return select


def _indexed(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
    holder, key = compiler.holder(node.arguments[0], scope), compiler.node(node.arguments[1], scope)
    # A name or field as key costs what it is, and any other key one more.
    more = 0 if is_attribute(node.arguments[1]) else 1

    def at(frame: Frame) -> Any:
        value = holder(frame)
        if type(value) is Optional and not value.items:
            return NONE
        place = key(frame)
        if type(value) is Optional:
            return _optional_at(frame.cost, value, place, more)
        if more:
            frame.cost.charge(more)
        if type(value) is dict and type(place) is str and place in value:
            return readable(value[place])
        return readable(index(value, place))

    return at


def _optional_indexed(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
    holder, key = compiler.holder(node.arguments[0], scope), compiler.node(node.arguments[1], scope)
    more = 0 if is_attribute(node.arguments[1]) else 1

    def at(frame: Frame) -> Any:
        value = holder(frame)
        if type(value) is Optional and not value.items:
            return NONE
        place = key(frame)
        return _optional_at(frame.cost, value if type(value) is Optional else Optional((value,)), place, more)

    return at


def _optional_at(cost: Cost, value: Optional, place: Any, more: int) -> Optional:
    """What is there, if anything is. Only then it costs something: what a key that is a name or a field costs is given back."""
    found = _found_at(value, place)
    if found.items:
        cost.charge(more)
    else:
        cost.left += 1 - more
    return found


def _found_at(value: Optional, place: Any) -> Optional:
    if not value.items:
        return NONE
    [inner] = value.items
    if type(inner) is dict:
        return Optional((readable(inner[place]),)) if is_key(place) and place in inner else NONE
    if isinstance(inner, list) and type(place) in (int, UInt):
        return Optional((readable(inner[place]),)) if 0 <= place < len(inner) else NONE
    return NONE


def _operator(run: Callable[[Cost, Any, Any], Any]) -> Operator:
    def special(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
        left, right = _pair(compiler, node, scope)
        return lambda frame: run(frame.cost, left(frame), right(frame))

    return special


def optional_or(wraps: bool) -> Operator:
    """`value.or(other)` and `value.orValue(other)`: what is other is evaluated only where it is needed, and they cost nothing."""

    def special(compiler: NodeCompiler, node: CallNode, scope: Scope) -> Run:
        assert node.target is not None
        target, other = compiler.node(node.target, scope), compiler.node(node.arguments[0], scope)

        def choose(frame: Frame) -> Any:
            value = target(frame)
            if type(value) is not Optional:
                raise NoOverload
            if value.items:
                return value if wraps else value.items[0]
            rest = other(frame)
            if wraps and type(rest) is not Optional:
                raise NoOverload
            return rest

        return choose

    return special


MEMBERS: dict[str, Operator] = {"or": optional_or(True), "orValue": optional_or(False)}
"""Functions of values that do not evaluate all their arguments, with one argument."""
OPERATORS: dict[str, Operator] = {
    "_&&_": _logic(False),
    "_||_": _logic(True),
    "_?_:_": _conditional,
    "@not_strictly_false": _not_strictly_false,
    "__not_strictly_false__": _not_strictly_false,
    "_==_": _equality(True),
    "_!=_": _equality(False),
    "_<_": _order(False, False, operator.lt),
    "_<=_": _order(False, True, operator.le),
    "_>_": _order(True, False, operator.gt),
    "_>=_": _order(True, True, operator.ge),
    "@in": _in,
    "_[_]": _indexed,
    "_[?_]": _optional_indexed,
    "_?._": _optional_field,
    "_+_": _operator(add),
    "_-_": _operator(subtract),
}


def has_field(value: Any, field: str) -> bool:
    """`has()` of what is no object. Raises CelError for a list."""
    if isinstance(value, list):
        raise no_field(value, field)
    return isinstance(value, LazyFields) and value.has(field)


def no_field(value: Any, field: str) -> CelError:
    return CelError("unsupported index type 'string' in list" if isinstance(value, list) else f"no such key: {field}")


def optional_select(cost: Cost, value: Optional, field: str) -> Optional:
    """A field of an optional value. It costs one unit where it is there."""
    if not value.items:
        return NONE
    [inner] = value.items
    if isinstance(inner, LazyFields) and inner.has(field):
        cost.charge(1)
        return Optional((inner.field(field),))
    if type(inner) is not dict:
        return NONE
    field = field if field in inner else RESERVED_FIELDS.get(field, field)
    if field not in inner:
        return NONE
    cost.charge(1)
    return Optional((readable(inner[field]),))
