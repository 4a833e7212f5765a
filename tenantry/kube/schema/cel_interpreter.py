"""Evaluates CEL expressions, and stops them when their cost reaches the limit.

An expression is compiled to functions of a `Frame`, one for each node, which call each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions import FUNCTIONS
from tenantry.kube.schema.cel_functions.arguments import Function
from tenantry.kube.schema.cel_library import library
from tenantry.kube.schema.cel_operators import OPERATORS, Frame, Run, Scope, optional_select
from tenantry.kube.schema.cel_syntax import (
    CallNode,
    Comprehension,
    Ident,
    ListOf,
    Literal,
    MapOf,
    MessageLiteral,
    Node,
    Select,
    Unsigned,
    dotted,
    is_bind,
)
from tenantry.kube.schema.cel_values import TYPE_NAMES, Cost, CostExceeded, Optional, TypeValue, UInt, is_key
from tenantry.kube.schema.ratchet import ABSENT

_LIST_COST, _MAP_COST = 10, 30
_FUNCTIONS: dict[tuple[str, bool], Function] = {**FUNCTIONS, **library.running()}


class Compiled:
    """A compiled expression with named variables."""

    def __init__(self, root: Node, variables: tuple[str, ...]) -> None:
        """Raises CelError where the expression uses an unknown name."""
        self._compiler = _Compiler(len(variables))
        try:
            self._run = self._compiler.node(root, {name: place for place, name in enumerate(variables)})
        except RecursionError:
            raise CelError("expression is nested too deeply") from None

    def run(self, values: tuple[Any, ...], cost: Cost) -> Any:
        """Raises CelError, and CostExceeded."""
        frame = Frame([*values, *(None,) * self._compiler.places], cost)
        try:
            return self._run(frame)
        except RecursionError:
            raise CelError("expression is nested too deeply") from None
        finally:
            # A stored error that was raised again refers to the stack frames that it passed, and these refer to this frame.
            frame.values.clear()


class _Compiler:
    def __init__(self, given: int) -> None:
        self._given = given
        self.places = 0

    def node(self, node: Node, scope: Scope) -> Run:
        match node:
            case Literal():
                value = UInt(node.value) if isinstance(node.value, Unsigned) else node.value
                return lambda frame: value
            case Ident():
                return self._ident(node, scope)
            case Select():
                return self._select(node, scope)
            case CallNode():
                return self._call(node, scope)
            case ListOf():
                return self._list(node, scope)
            case MapOf():
                return self._map(node, scope)
            case MessageLiteral():
                raise CelError(f"undeclared reference to '{node.name}' (in container '')")
            case Comprehension():
                return self._loop(node, scope)

    def _ident(self, node: Ident, scope: Scope) -> Run:
        place = scope.get(node.name)
        if place is None:
            return self._constant(node.name)

        def ident(frame: Frame) -> Any:
            cost = frame.cost
            cost.left -= 1
            if cost.left < 0:
                raise CostExceeded
            value = frame.values[place]
            if isinstance(value, CelError):
                try:
                    raise value
                finally:
                    del value
            if value is ABSENT:
                raise CelError("no such attribute(s): oldSelf")
            return value

        return ident

    def _constant(self, name: str) -> Run:
        if name not in TYPE_NAMES:
            raise CelError(f"undeclared reference to '{name}' (in container '')")
        value = TypeValue(name)

        def constant(frame: Frame) -> Any:
            frame.cost.charge(1)
            return value

        return constant

    def _select(self, node: Select, scope: Scope) -> Run:
        name = dotted(node)
        if name is not None and name.partition(".")[0] not in scope:
            return self._constant(name)
        operand, field = self.node(node.operand, scope), node.field
        if node.test:

            def has(frame: Frame) -> Any:
                value = operand(frame)
                frame.cost.charge(1)
                if type(value) is Optional:
                    value = value.items[0] if value.items else {}
                if type(value) is not dict:
                    raise NoOverload
                return field in value

            return has

        def select(frame: Frame) -> Any:
            value = operand(frame)
            cost = frame.cost
            cost.left -= 1
            if cost.left < 0:
                raise CostExceeded
            if type(value) is dict:
                try:
                    return value[field]
                except KeyError:
                    raise CelError(f"no such key: {field}") from None
            if type(value) is Optional:
                return optional_select(value, field)
            raise NoOverload

        return select

    def _call(self, node: CallNode, scope: Scope) -> Run:
        name = node.function
        if node.target is None:
            special = OPERATORS.get(name)
            if special is not None:
                return special(self, node, scope)
            return self._function(name, False, node.arguments, scope)
        prefix = dotted(node.target)
        if prefix is not None and prefix.partition(".")[0] not in scope and (f"{prefix}.{name}", False) in _FUNCTIONS:
            return self._function(f"{prefix}.{name}", False, node.arguments, scope)
        return self._function(name, True, (node.target, *node.arguments), scope)

    def _function(self, name: str, member: bool, arguments: tuple[Node, ...], scope: Scope) -> Run:
        function: Function | None = _FUNCTIONS.get((name, member))
        if function is None:
            raise CelError(f"undeclared reference to '{name}' (in container '')")
        run = function
        parts = [self.node(argument, scope) for argument in arguments]
        if len(parts) == 1:
            [only] = parts
            return lambda frame: run(frame.cost, only(frame))
        if len(parts) == 2:
            first, second = parts
            return lambda frame: run(frame.cost, first(frame), second(frame))
        return lambda frame: run(frame.cost, *[part(frame) for part in parts])

    def _list(self, node: ListOf, scope: Scope) -> Run:
        parts = [self.node(item, scope) for item in node.items]
        optional = node.optional

        def make(frame: Frame) -> Any:
            frame.cost.charge(_LIST_COST)
            if not optional:
                return [part(frame) for part in parts]
            made: list[Any] = []
            for place, part in enumerate(parts):
                value = part(frame)
                if place not in optional:
                    made.append(value)
                elif type(value) is not Optional:
                    raise NoOverload
                else:
                    made.extend(value.items)
            return made

        return make

    def _map(self, node: MapOf, scope: Scope) -> Run:
        parts = [(self.node(e.key, scope), self.node(e.value, scope), e.optional) for e in node.entries]

        def make(frame: Frame) -> Any:
            frame.cost.charge(_MAP_COST)
            made: dict[Any, Any] = {}
            for get_key, get_value, optional in parts:
                key, value = get_key(frame), get_value(frame)
                if optional:
                    if type(value) is not Optional:
                        raise NoOverload
                    if not value.items:
                        continue
                    value = value.items[0]
                if not is_key(key):
                    raise CelError("unsupported key type")
                if key in made:
                    raise CelError(f"Failed with repeated key: {key}")
                made[key] = value
            return made

        return make

    def _place(self) -> int:
        self.places += 1
        return self._given + self.places - 1

    def _loop(self, node: Comprehension, scope: Scope) -> Run:
        start = self.node(node.start, scope)
        kept = self._place()
        inner = scope | {node.result_variable: kept}
        result = self.node(node.result, inner)
        if is_bind(node):
            return _bind(start, kept, result)
        items = self.node(node.items, scope)
        first = self._place()
        inside = inner | {node.variable: first}
        second = self._place() if node.second else None
        if second is not None:
            inside[node.second] = second
        goes_on = self._condition(node, inside)
        step = self._step(node, inside, kept)

        def loop(frame: Frame) -> Any:
            over = items(frame)
            values = frame.values
            pairs = _pairs(over) if second is not None else None
            if type(over) is not list and type(over) is not dict:
                raise NoOverload
            values[kept] = start(frame)
            if type(values[kept]) is list:
                values[kept] = [*values[kept]]
            for item in over if pairs is None else pairs:
                if second is not None:
                    values[first], values[second] = item
                else:
                    values[first] = item
                frame.cost.charge(1)
                if not goes_on(frame):
                    break
                step(frame)
            return result(frame)

        return loop

    def _condition(self, node: Comprehension, inside: Scope) -> Callable[[Frame], bool]:
        condition = node.condition
        if isinstance(condition, Literal) and condition.value is True:
            return lambda frame: True
        run = self.node(condition, inside)
        return lambda frame: run(frame) is True

    def _step(self, node: Comprehension, inside: Scope, kept: int) -> Callable[[Frame], None]:
        """The step of a comprehension for one item: it updates the result, which may be a stored error."""
        grown = _appended(node.step, node.result_variable)
        if grown is not None:
            return self._append(grown, inside, kept)
        run = self.node(node.step, inside)

        def step(frame: Frame) -> None:
            try:
                frame.values[kept] = run(frame)
            except CelError as error:
                frame.values[kept] = error.with_traceback(None)

        return step

    def _append(self, grown: _Appended, inside: Scope, kept: int) -> Callable[[Frame], None]:
        """`result + [item]` of map and filter, without copying the result for each item."""
        item = self.node(grown.item, inside)
        wanted = self.node(grown.condition, inside) if grown.condition is not None else None

        def step(frame: Frame) -> None:
            result = frame.values[kept]
            if isinstance(result, CelError):
                return
            try:
                if wanted is not None:
                    chosen = wanted(frame)
                    if chosen is not True:
                        if chosen is False:
                            frame.cost.charge(1)
                            return
                        raise NoOverload
                frame.cost.charge(_LIST_COST + 2)
                result.append(item(frame))
            except CelError as error:
                frame.values[kept] = error.with_traceback(None)

        return step


class _Appended:
    __slots__ = ("condition", "item")

    def __init__(self, item: Node, condition: Node | None) -> None:
        self.item = item
        self.condition = condition


def _appended(step: Node, result: str) -> _Appended | None:
    if not isinstance(step, CallNode) or step.target is not None:
        return None
    if step.function == "_?_:_" and step.arguments[2] == Ident(step.arguments[2].id, result):
        inner = _appended(step.arguments[1], result)
        return _Appended(inner.item, step.arguments[0]) if inner is not None and inner.condition is None else None
    if step.function == "_+_" and step.arguments[0] == Ident(step.arguments[0].id, result):
        added = step.arguments[1]
        if isinstance(added, ListOf) and len(added.items) == 1 and not added.optional:
            return _Appended(added.items[0], None)
    return None


def _bind(start: Run, kept: int, result: Run) -> Run:
    """`cel.bind`: a comprehension over an empty list. The value is needed only where it is used, so its error is stored."""

    def bind(frame: Frame) -> Any:
        frame.cost.charge(_LIST_COST)
        try:
            frame.values[kept] = start(frame)
        except CelError as error:
            frame.values[kept] = error.with_traceback(None)
        return result(frame)

    return bind


def _pairs(over: Any) -> Any:
    return over.items() if type(over) is dict else enumerate(over)
