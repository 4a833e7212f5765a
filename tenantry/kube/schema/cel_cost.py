"""Estimates the highest possible cost of a rule, as Kubernetes does (checker/cost.go of cel-go 0.29.2, with the sizes of
k8s.io/apiserver v0.37.2). It depends on the size limits in the schema.

A rule that could block a server is refused when its definition is created. The unit is cel-go's: one for a field access or a
call, a tenth for each character of a text that is read. A value without a size limit can be as large as a request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tenantry.kube.schema.cel_check import CheckedExpression
from tenantry.kube.schema.cel_cost_calls import Operand, call_cost
from tenantry.kube.schema.cel_declarations import Overload
from tenantry.kube.schema.cel_declared import Declared
from tenantry.kube.schema.cel_sizes import LIST_COST, MAP_COST, MESSAGE_COST, MOST, UNKNOWN, Size, fixed, plus, times
from tenantry.kube.schema.cel_syntax import (
    ACCUMULATOR,
    CallNode,
    Comprehension,
    Ident,
    ListOf,
    Literal,
    MapOf,
    MessageLiteral,
    Node,
    Select,
    children,
    is_bind,
)
from tenantry.kube.schema.cel_types import Type, is_optional

RULE_LIMIT = 10_000_000
DEFINITION_LIMIT = 100_000_000

_Path = tuple[str, ...]
_SCALARS = frozenset(("bool", "double", "duration", "int", "timestamp", "uint"))


class _Entries(NamedTuple):
    """The sizes of the keys and values that an expression puts into a list or a map."""

    kind: str
    key: Size
    value: Size

    def union(self, other: _Entries | None) -> _Entries | None:
        return None if other is None else _Entries(self.kind, self.key.union(other.key), self.value.union(other.value))


class _Variable(NamedTuple):
    path: _Path
    size: Size | None
    entries: _Entries | None


def estimate(checked: CheckedExpression, declared: Declared) -> int:
    """The highest cost of a rule on values of a type: `self` and `oldSelf` have it."""
    return _Estimate(checked, _sizes_of(declared)).cost(checked.tree.root)


def estimate_untyped(checked: CheckedExpression, size: int) -> int:
    """The same for variables without types, where each text, list and map has a given size at most."""
    return _UntypedEstimate(checked, Size(0, size)).cost(checked.tree.root)


def _sizes_of(declared: Declared) -> Callable[[_Path], Size | None]:
    def size_of(path: _Path) -> Size | None:
        if not path:
            return None
        found = declared
        for step in path[1:]:
            below = found.at(step)
            if below is None:
                return None
            found = below
        return Size(0, found.largest)

    return size_of


class _Estimate:
    """The estimate for one expression. By the ids of nodes it keeps where in the schema their values come from, their sizes, and
    the sizes of their items."""

    _unknown = UNKNOWN

    def __init__(self, checked: CheckedExpression, size_of: Callable[[_Path], Size | None]) -> None:
        self._checked = checked
        self._size_of = size_of
        self._paths: dict[int, _Path] = {}
        self._sizes: dict[int, Size] = {}
        self._entries: dict[int, _Entries] = {}
        self._variables: dict[str, list[_Variable]] = {}

    def cost(self, node: Node) -> int:
        match node:
            case Literal():
                return 0
            case Ident():
                return self._ident(node)
            case Select():
                return self._select(node)
            case CallNode():
                return self._call(node)
            case ListOf():
                return self._list(node)
            case MapOf():
                return self._map(node)
            case MessageLiteral():
                return plus(MESSAGE_COST, self._sum(children(node)))
            case Comprehension():
                return self._bind(node) if is_bind(node) else self._loop(node)

    def _sum(self, nodes: tuple[Node, ...]) -> int:
        total = 0
        for node in nodes:
            total = plus(total, self.cost(node))
        return total

    # Where values come from, and their sizes

    def _variable(self, name: str) -> _Variable | None:
        found = self._variables.get(name)
        return found[-1] if found else None

    def _path(self, node: Node) -> _Path:
        variable = self._variable(node.name) if isinstance(node, Ident) else None
        return self._paths.get(node.id, ()) if variable is None else variable.path

    def _type(self, node: Node) -> Type:
        return self._checked.types[node.id]

    def _size(self, node: Node) -> Size | None:
        known = self._sizes.get(node.id)
        if known is None:
            known = _literal_size(node)
        if known is not None:
            return known
        found = self._size_of(self._path(node))
        if found is not None:
            self._sizes[node.id] = found
            return found
        if _is_scalar(self._type(node)):
            return fixed(1)
        variable = self._variable(node.name) if isinstance(node, Ident) else None
        return None if variable is None else variable.size

    def _known_size(self, node: Node) -> Size:
        found = self._size(node)
        return UNKNOWN if found is None else found

    def _entries_of(self, node: Node) -> _Entries | None:
        known = self._entries.get(node.id)
        if known is None and isinstance(node, Ident):
            variable = self._variable(node.name)
            return None if variable is None else variable.entries
        return known

    def _copy(self, to: Node, of: Node) -> None:
        size, entries = self._size(of), self._entries_of(of)
        if size is not None:
            self._sizes[to.id] = size
        if entries is not None:
            self._entries[to.id] = entries

    # Nodes

    def _ident(self, node: Ident) -> int:
        variable = self._variable(node.name)
        self._paths[node.id] = (node.name,) if variable is None else variable.path
        return 1

    def _select(self, node: Select) -> int:
        cost = self.cost(node.operand)
        if node.test:
            return cost
        if node.operand.id not in self._checked.types:
            # The name of a type, as net.IP.
            self._paths[node.id] = (node.field,)
            return 1
        if self._type(node.operand).kind in ("map", "struct", "param"):
            cost = plus(cost, 1)
        self._paths[node.id] = (*self._path(node.operand), node.field)
        return cost

    def _call(self, node: CallNode) -> int:
        if node.function == "dyn":
            cost = plus(1, self.cost(node.arguments[0]))
            self._copy(node, node.arguments[0])
            return cost
        costs: list[int] = []
        operands: list[Operand] = []
        for argument in node.arguments:
            costs.append(self.cost(argument))
            operands.append(self._operand(argument))
        if node.function == "_?._":
            size = self._size(node)
            if size is not None:
                self._sizes[node.id] = size
            return plus(1, costs[0])
        overloads = self._checked.overloads.get(node.id)
        if not overloads:
            return 0
        cost, target = 0, None
        function = self._checked.namespaced.get(node.id)
        if node.target is not None and function is None:
            cost = self.cost(node.target)
            target = self._operand(node.target)
        return plus(cost, self._overloads(node, function or node.function, overloads, target, operands, costs))

    def _operand(self, node: Node) -> Operand:
        found, path = self._type(node), self._path(node)
        path = () if path[:1] == (ACCUMULATOR,) else path

        def item_size() -> Size:
            size = self._size_of((*path, "@items")) if path else None
            return self._unknown if size is None else size

        return Operand(node, found, self._size(node), item_size)

    def _overloads(
        self,
        node: CallNode,
        function: str,
        overloads: tuple[Overload, ...],
        target: Operand | None,
        operands: list[Operand],
        costs: list[int],
    ) -> int:
        """The highest cost of a call with one of these overloads, with that of its arguments."""
        before = 0
        for each in costs:
            before = plus(before, each)
        highest, size = 0, None
        for overload in overloads:
            if function in ("_&&_", "_||_"):
                highest = before
            elif function == "_?_:_":
                highest = plus(costs[0], max(costs[1:]))
                size = operands[1].known_size.union(operands[2].known_size)
                self._join_entries(node, operands[1].node, operands[2].node)
            else:
                found = call_cost(function, overload, target, operands)
                highest = max(highest, plus(before, found.cost))
                if found.size is not None:
                    size = found.size if size is None else size.union(found.size)
            if function == "_+_" and overload.parameters[0].kind in ("string", "bytes", "list"):
                self._join_entries(node, operands[0].node, operands[1].node)
            holder = overload.parameters[0].kind if function == "_[_]" else ""
            if holder in ("list", "map"):
                entries = self._entries_of(operands[0].node)
                size = None if entries is None else entries.value
                self._paths[node.id] = (*self._path(operands[0].node), "@items" if holder == "list" else "@values")
            if size is None:
                size = self._size(node)
        if size is not None:
            self._sizes[node.id] = size
        return highest

    def _join_entries(self, node: Node, one: Node, other: Node) -> None:
        first = self._entries_of(one)
        joined = None if first is None else first.union(self._entries_of(other))
        if joined is not None:
            self._entries[node.id] = joined

    def _list(self, node: ListOf) -> int:
        cost = LIST_COST
        size = Size(MOST if node.items else 0, 0)
        for item in node.items:
            cost = plus(cost, self.cost(item))
            size = size.union(self._known_size(item))
        self._entries[node.id] = _Entries("list", fixed(1), size)
        return cost

    def _map(self, node: MapOf) -> int:
        cost = MAP_COST
        keys = values = Size(MOST if node.entries else 0, 0)
        for entry in node.entries:
            cost = plus(plus(cost, self.cost(entry.key)), self.cost(entry.value))
            keys, values = keys.union(self._known_size(entry.key)), values.union(self._known_size(entry.value))
        self._entries[node.id] = _Entries("map", keys, values)
        return cost

    def _push(self, name: str, variable: _Variable) -> None:
        self._variables.setdefault(name, []).append(variable)

    def _push_value(self, name: str, node: Node) -> None:
        self._push(name, _Variable(self._path(node), self._size(node), self._entries_of(node)))

    def _push_items(self, node: Comprehension) -> None:
        entries, path = self._entries_of(node.items), self._path(node.items)
        kind = self._type(node.items).kind if entries is None else entries.kind
        key, value = (None, None) if entries is None else (entries.key, entries.value)
        of_value = _Variable((*path, "@items" if kind == "list" else "@values"), value, None)
        if not node.second:
            self._push(node.variable, of_value if kind == "list" else _Variable((*path, "@keys"), key, None))
            return
        self._push(node.variable, _Variable((*path, "@indices" if kind == "list" else "@keys"), key, None))
        self._push(node.second, of_value)

    def _loop(self, node: Comprehension) -> int:
        cost = plus(self.cost(node.items), self.cost(node.start))
        self._push_value(node.result_variable, node.start)
        self._push_items(node)
        condition = self.cost(node.condition)
        each = plus(condition, self.cost(node.step))
        self._variables[node.variable].pop()
        if node.second:
            self._variables[node.second].pop()
        cost = plus(cost, self.cost(node.result))
        self._variables[node.result_variable].pop()
        count = self._known_size(node.items)
        cost = plus(cost, times(count.largest, each))
        if isinstance(node.start, Literal):
            self._sizes[node.id] = self._known_size(node.start)
        elif isinstance(node.start, (ListOf, MapOf)):
            self._sizes[node.id] = count
            entries = self._entries_of(node.step)
            if entries is not None:
                self._entries[node.id] = entries
        return cost

    def _bind(self, node: Comprehension) -> int:
        cost = plus(self.cost(node.items), self.cost(node.start))
        self._push_value(node.result_variable, node.start)
        cost = plus(cost, self.cost(node.result))
        self._variables[node.result_variable].pop()
        self._copy(node, node.result)
        return cost


def _literal_size(node: Node) -> Size | None:
    match node:
        case Literal():
            return fixed(len(node.value) if isinstance(node.value, (str, bytes)) else 1)
        case ListOf():
            return fixed(len(node.items))
        case MapOf():
            return fixed(len(node.entries))
    return None


def _is_scalar(found: Type) -> bool:
    if is_optional(found):
        return _is_scalar(found.parameters[0])
    return found.kind in _SCALARS


class _UntypedEstimate(_Estimate):
    """An estimate in which nothing is without bounds: what has no known size has the ordinary one."""

    def __init__(self, checked: CheckedExpression, ordinary: Size) -> None:
        super().__init__(checked, lambda path: ordinary if path else None)
        self._unknown = ordinary

    def _size(self, node: Node) -> Size:
        found = super()._size(node)
        return self._unknown if found is None or found.largest == UNKNOWN.largest else found
