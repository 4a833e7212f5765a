"""The macros of Kubernetes' CEL environment: comprehensions with one and two variables, `has`, `optMap`, `sortBy`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_syntax import (
    ACCUMULATOR,
    CallNode,
    Comprehension,
    Ident,
    ListOf,
    Literal,
    MapEntry,
    MapOf,
    MessageLiteral,
    Node,
    Select,
)

_UNUSED = "#unused"
_SORTED = "@__sortBy_input__"
_FORBIDDEN = (ACCUMULATOR, "__result__")


class MacroError(CelError):
    """A macro that is used wrongly. `at`: the node that is wrong."""

    def __init__(self, at: Node, text: str) -> None:
        super().__init__(text)
        self.at = at


class NodeIds(Protocol):
    """Gives new nodes their ids."""

    def new(self, offset: int) -> int: ...

    def offset(self, identity: int) -> int: ...


class Expansion:
    """The place of a macro: makes the nodes that it expands to."""

    def __init__(self, ids: NodeIds, offset: int) -> None:
        self._ids = ids
        self._offset = offset

    def _id(self) -> int:
        return self._ids.new(self._offset)

    def ident(self, name: str) -> Ident:
        return Ident(self._id(), name)

    def literal(self, value: bool | int) -> Literal:
        return Literal(self._id(), value)

    def call(self, function: str, *arguments: Node, target: Node | None = None) -> CallNode:
        return CallNode(self._id(), function, target, arguments)

    def list_of(self, *items: Node) -> ListOf:
        return ListOf(self._id(), items, frozenset())

    def map_of(self) -> MapOf:
        return MapOf(self._id(), ())

    def loop(
        self, items: Node, variables: tuple[str, str], start: Node, condition: Node, step: Node, result: Node
    ) -> Comprehension:
        return Comprehension(self._id(), *variables, items, ACCUMULATOR, start, condition, step, result)

    def bind(self, name: str, value: Node, result: Node) -> Comprehension:
        """`result`, with `name` for a value."""
        never, same = self.literal(False), self.ident(name)
        return Comprehension(self._id(), _UNUSED, "", self.list_of(), name, value, never, same, result)

    def presence(self, operand: Node, field: str) -> Select:
        return Select(self._id(), operand, field, True)

    def copy(self, node: Node) -> Node:
        """The same expression again, with ids of its own."""
        identity = self._ids.new(self._ids.offset(node.id))
        match node:
            case Literal() | Ident():
                return node._replace(id=identity)
            case Select():
                return Select(identity, self.copy(node.operand), node.field, node.test)
            case CallNode():
                target = None if node.target is None else self.copy(node.target)
                return CallNode(identity, node.function, target, tuple(map(self.copy, node.arguments)))
            case ListOf():
                return ListOf(identity, tuple(map(self.copy, node.items)), node.optional)
            case MapOf():
                entries = (MapEntry(self.copy(key), self.copy(value), optional) for key, value, optional in node.entries)
                return MapOf(identity, tuple(entries))
            case MessageLiteral():
                fields = (
                    each._replace(id=self._ids.new(self._ids.offset(each.id)), value=self.copy(each.value))
                    for each in node.fields
                )
                return MessageLiteral(identity, node.name, tuple(fields))
            case Comprehension():
                parts = (node.start, node.condition, node.step, node.result)
                start, condition, step, result = map(self.copy, parts)
                items = self.copy(node.items)
                return node._replace(id=identity, items=items, start=start, condition=condition, step=step, result=result)


Arguments = tuple[Node, ...]
_Expand = Callable[[Expansion, Node, Arguments], Node]


def _variable(node: Node, otherwise: str) -> str:
    if not isinstance(node, Ident):
        raise MacroError(node, otherwise)
    if node.name in _FORBIDDEN:
        raise MacroError(node, "iteration variable overwrites accumulator variable")
    return node.name


def _variables(arguments: Arguments, count: int, otherwise: str) -> tuple[str, str]:
    if count == 1:
        return _variable(arguments[0], otherwise), ""
    for argument in arguments[:2]:
        if not isinstance(argument, Ident):
            raise MacroError(argument, otherwise)
    first, second = arguments[0], arguments[1]
    assert isinstance(first, Ident) and isinstance(second, Ident)
    if first.name == second.name:
        raise MacroError(second, f"duplicate variable name: {first.name}")
    return _variable(first, otherwise), _variable(second, otherwise)


def _all(count: int) -> _Expand:
    def expand(make: Expansion, target: Node, arguments: Arguments) -> Node:
        variables = _variables(arguments, count, "argument must be a simple name")
        condition = make.call("@not_strictly_false", make.ident(ACCUMULATOR))
        step = make.call("_&&_", make.ident(ACCUMULATOR), arguments[count])
        return make.loop(target, variables, make.literal(True), condition, step, make.ident(ACCUMULATOR))

    return expand


def _exists(count: int) -> _Expand:
    def expand(make: Expansion, target: Node, arguments: Arguments) -> Node:
        variables = _variables(arguments, count, "argument must be a simple name")
        condition = make.call("@not_strictly_false", make.call("!_", make.ident(ACCUMULATOR)))
        step = make.call("_||_", make.ident(ACCUMULATOR), arguments[count])
        return make.loop(target, variables, make.literal(False), condition, step, make.ident(ACCUMULATOR))

    return expand


def _exists_one(count: int) -> _Expand:
    def expand(make: Expansion, target: Node, arguments: Arguments) -> Node:
        variables = _variables(arguments, count, "argument must be a simple name")
        one_more = make.call("_+_", make.ident(ACCUMULATOR), make.literal(1))
        step = make.call("_?_:_", arguments[count], one_more, make.ident(ACCUMULATOR))
        result = make.call("_==_", make.ident(ACCUMULATOR), make.literal(1))
        return make.loop(target, variables, make.literal(0), make.literal(True), step, result)

    return expand


def _grow(
    make: Expansion, target: Node, variables: tuple[str, str], start: Node, wanted: Node | None, grown: Node
) -> Comprehension:
    """A loop whose result grows with each item, or with those that are wanted."""
    step = grown if wanted is None else make.call("_?_:_", wanted, grown, make.ident(ACCUMULATOR))
    return make.loop(target, variables, start, make.literal(True), step, make.ident(ACCUMULATOR))


def _map(make: Expansion, target: Node, arguments: Arguments) -> Node:
    variables = _variables(arguments, 1, "argument is not an identifier")
    grown = make.call("_+_", make.ident(ACCUMULATOR), make.list_of(arguments[-1]))
    return _grow(make, target, variables, make.list_of(), arguments[1] if len(arguments) == 3 else None, grown)


def _filter(make: Expansion, target: Node, arguments: Arguments) -> Node:
    variables = _variables(arguments, 1, "argument is not an identifier")
    grown = make.call("_+_", make.ident(ACCUMULATOR), make.list_of(arguments[0]))
    return _grow(make, target, variables, make.list_of(), arguments[1], grown)


def _wanted(arguments: Arguments) -> Node | None:
    return arguments[2] if len(arguments) == 4 else None


def _transform_list(make: Expansion, target: Node, arguments: Arguments) -> Node:
    variables = _variables(arguments, 2, "argument must be a simple name")
    grown = make.call("_+_", make.ident(ACCUMULATOR), make.list_of(arguments[-1]))
    return _grow(make, target, variables, make.list_of(), _wanted(arguments), grown)


def _transform_map(make: Expansion, target: Node, arguments: Arguments) -> Node:
    variables = _variables(arguments, 2, "argument must be a simple name")
    grown = make.call("cel.@mapInsert", make.ident(ACCUMULATOR), make.ident(variables[0]), arguments[-1])
    return _grow(make, target, variables, make.map_of(), _wanted(arguments), grown)


def _transform_map_entry(make: Expansion, target: Node, arguments: Arguments) -> Node:
    variables = _variables(arguments, 2, "argument must be a simple name")
    grown = make.call("cel.@mapInsert", make.ident(ACCUMULATOR), arguments[-1])
    return _grow(make, target, variables, make.map_of(), _wanted(arguments), grown)


def _optional_map(name: str, wraps: bool) -> _Expand:
    def expand(make: Expansion, target: Node, arguments: Arguments) -> Node:
        variable = arguments[0]
        if not isinstance(variable, Ident):
            raise MacroError(variable, f"{name}() variable name must be a simple identifier")
        has_value = make.call("hasValue", target=target)
        bound = make.bind(variable.name, make.call("value", target=make.copy(target)), arguments[1])
        # `optional.of` and `optional.none` are functions whose names have a dot.
        yes = make.call("optional.of", bound) if wraps else bound
        return make.call("_?_:_", has_value, yes, make.call("optional.none"))

    return expand


def _sort_by(make: Expansion, target: Node, arguments: Arguments) -> Node:
    if isinstance(target, (Literal, MapOf, MessageLiteral)):
        text = "sortBy can only be applied to a list, identifier, comprehension, call or select expression"
        raise MacroError(target, text)
    keys = _map(make, make.ident(_SORTED), arguments)
    return make.bind(_SORTED, target, make.call("@sortByAssociatedKeys", keys, target=make.ident(_SORTED)))


def has(make: Expansion, arguments: Arguments) -> Node:
    """`has(operand.field)`."""
    argument = arguments[0]
    if not isinstance(argument, Select):
        raise MacroError(argument, "invalid argument to has() macro")
    return make.presence(argument.operand, argument.field)


MACROS: dict[tuple[str, int], _Expand] = {
    ("all", 2): _all(1),
    ("all", 3): _all(2),
    ("exists", 2): _exists(1),
    ("exists", 3): _exists(2),
    ("exists_one", 2): _exists_one(1),
    ("exists_one", 3): _exists_one(2),
    ("existsOne", 3): _exists_one(2),
    ("map", 2): _map,
    ("map", 3): _map,
    ("filter", 2): _filter,
    ("transformList", 3): _transform_list,
    ("transformList", 4): _transform_list,
    ("transformMap", 3): _transform_map,
    ("transformMap", 4): _transform_map,
    ("transformMapEntry", 3): _transform_map_entry,
    ("transformMapEntry", 4): _transform_map_entry,
    ("optMap", 2): _optional_map("optMap", True),
    ("optFlatMap", 2): _optional_map("optFlatMap", False),
    ("sortBy", 2): _sort_by,
}
"""(name, number of arguments) → the expansion of `target.name(arguments)`."""
