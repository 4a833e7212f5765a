"""Evaluates CEL expressions, and stops them when their cost reaches the limit.

An expression is compiled to functions of a `Frame`, one for each node, which call each other. The engine of cel-expr-python,
which checks expressions, is not used here: its evaluations cannot be stopped, and it charges nothing for the size of results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenantry.kube.schema import cel_library
from tenantry.kube.schema.cel_functions import FUNCTIONS, Function, add, index, subtract
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
)
from tenantry.kube.schema.cel_values import (
    NONE,
    PER_CHARACTER,
    TYPE_NAMES,
    CelError,
    Cost,
    CostExceeded,
    NoOverload,
    Optional,
    TypeValue,
    UInt,
    charge_equal,
    contains,
    equal,
    is_key,
    less,
    size,
)
from tenantry.kube.schema.ratchet import ABSENT

_LIST_COST, _MAP_COST = 10, 30
_FUNCTIONS: dict[tuple[str, bool], Function] = FUNCTIONS | cel_library.running()


class Frame:
    """The variables of an evaluation by their index, and the cost that is left."""

    __slots__ = ("cost", "values")

    def __init__(self, values: list[Any], cost: Cost) -> None:
        self.values = values
        self.cost = cost


Run = Callable[[Frame], Any]
_Scope = dict[str, int]


class Compiled:
    """A compiled expression with named variables."""

    def __init__(self, root: Node, variables: tuple[str, ...]) -> None:
        """Raises CelError where the expression uses an unknown name."""
        self._compiler = _Compiler(len(variables))
        self._run = self._compiler.node(root, {name: place for place, name in enumerate(variables)})

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

    def node(self, node: Node, scope: _Scope) -> Run:
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

    def _ident(self, node: Ident, scope: _Scope) -> Run:
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

    def _select(self, node: Select, scope: _Scope) -> Run:
        dotted = _dotted(node)
        if dotted is not None and dotted.partition(".")[0] not in scope:
            return self._constant(dotted)
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
                return _optional_select(value, field)
            raise NoOverload

        return select

    def _call(self, node: CallNode, scope: _Scope) -> Run:
        name = node.function
        if node.target is None:
            special = _SPECIAL.get(name)
            if special is not None:
                return special(self, node, scope)
            return self._function(name, False, node.arguments, scope)
        dotted = _dotted(node.target)
        if dotted is not None and dotted.partition(".")[0] not in scope and (f"{dotted}.{name}", False) in _FUNCTIONS:
            return self._function(f"{dotted}.{name}", False, node.arguments, scope)
        return self._function(name, True, (node.target, *node.arguments), scope)

    def _function(self, name: str, member: bool, arguments: tuple[Node, ...], scope: _Scope) -> Run:
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

    def _list(self, node: ListOf, scope: _Scope) -> Run:
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

    def _map(self, node: MapOf, scope: _Scope) -> Run:
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

    def _loop(self, node: Comprehension, scope: _Scope) -> Run:
        start = self.node(node.start, scope)
        kept = self._place()
        inner = scope | {node.result_variable: kept}
        result = self.node(node.result, inner)
        if isinstance(node.items, ListOf) and not node.items.items:
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

    def _condition(self, node: Comprehension, inside: _Scope) -> Callable[[Frame], bool]:
        condition = node.condition
        if isinstance(condition, Literal) and condition.value is True:
            return lambda frame: True
        run = self.node(condition, inside)
        return lambda frame: run(frame) is True

    def _step(self, node: Comprehension, inside: _Scope, kept: int) -> Callable[[Frame], None]:
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

    def _append(self, grown: _Appended, inside: _Scope, kept: int) -> Callable[[Frame], None]:
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


def _dotted(node: Node) -> str | None:
    """`a.b.c` where a node is a name followed by fields."""
    names: list[str] = []
    while isinstance(node, Select) and not node.test:
        names.append(node.field)
        node = node.operand
    if not isinstance(node, Ident):
        return None
    return ".".join([node.name, *reversed(names)])


def _optional_select(value: Optional, field: str) -> Optional:
    if not value.items:
        return NONE
    [inner] = value.items
    if type(inner) is not dict:
        raise NoOverload
    return Optional((inner[field],)) if field in inner else NONE


# Operators that do not evaluate all their arguments, and those with a faster implementation ---------------------------------

_Special = Callable[[_Compiler, CallNode, _Scope], Run]


def _pair(compiler: _Compiler, node: CallNode, scope: _Scope) -> tuple[Run, Run]:
    left, right = node.arguments
    return compiler.node(left, scope), compiler.node(right, scope)


def _logic(decides: bool) -> _Special:
    """`&&` (False decides) and `||` (True decides): the deciding value wins over an error on the other side."""

    def special(compiler: _Compiler, node: CallNode, scope: _Scope) -> Run:
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


def _conditional(compiler: _Compiler, node: CallNode, scope: _Scope) -> Run:
    condition, yes, no = (compiler.node(argument, scope) for argument in node.arguments)

    def choose(frame: Frame) -> Any:
        value = condition(frame)
        if value is True:
            return yes(frame)
        if value is False:
            return no(frame)
        raise NoOverload

    return choose


def _not_strictly_false(compiler: _Compiler, node: CallNode, scope: _Scope) -> Run:
    operand = compiler.node(node.arguments[0], scope)

    def check(frame: Frame) -> Any:
        frame.cost.charge(1)
        try:
            return operand(frame) is not False
        except CelError:
            return True

    return check


def _equality(wanted: bool) -> _Special:
    def special(compiler: _Compiler, node: CallNode, scope: _Scope) -> Run:
        left, right = _pair(compiler, node, scope)

        def compare(frame: Frame) -> Any:
            one, other = left(frame), right(frame)
            charge_equal(frame.cost, one, other)
            return equal(frame.cost, one, other) is wanted

        return compare

    return special


def _order(swap: bool, or_equal: bool) -> _Special:
    def special(compiler: _Compiler, node: CallNode, scope: _Scope) -> Run:
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


def _in(compiler: _Compiler, node: CallNode, scope: _Scope) -> Run:
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


def _optional_field(compiler: _Compiler, node: CallNode, scope: _Scope) -> Run:
    operand = compiler.node(node.arguments[0], scope)
    field = str(node.arguments[1].value) if isinstance(node.arguments[1], Literal) else ""

    def select(frame: Frame) -> Any:
        value = operand(frame)
        frame.cost.charge(1)
        return _optional_select(value if type(value) is Optional else Optional((value,)), field)

    return select


def _indexed(compiler: _Compiler, node: CallNode, scope: _Scope) -> Run:
    holder, key = _pair(compiler, node, scope)

    def at(frame: Frame) -> Any:
        value, place = holder(frame), key(frame)
        frame.cost.charge(1)
        if type(value) is Optional:
            return _optional_at(value, place)
        return index(value, place)

    return at


def _optional_indexed(compiler: _Compiler, node: CallNode, scope: _Scope) -> Run:
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


def _operator(run: Callable[[Cost, Any, Any], Any]) -> _Special:
    def special(compiler: _Compiler, node: CallNode, scope: _Scope) -> Run:
        left, right = _pair(compiler, node, scope)
        return lambda frame: run(frame.cost, left(frame), right(frame))

    return special


_SPECIAL: dict[str, _Special] = {
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
