"""The syntax tree of a CEL expression. `cel_parser.parse` makes it."""

from __future__ import annotations

from typing import Any, NamedTuple

ACCUMULATOR = "@result"
"""The variable that holds the result of a macro while it runs. No expression can name it."""


class Literal(NamedTuple):
    """A constant: None, bool, int, `Unsigned`, float, str or bytes."""

    id: int
    value: Any


class Unsigned(int):
    """A literal of type uint."""


class Ident(NamedTuple):
    id: int
    name: str


class Select(NamedTuple):
    """`operand.field`, or `has(operand.field)` where `test` is set."""

    id: int
    operand: Node
    field: str
    test: bool


class CallNode(NamedTuple):
    """`function(arguments)`, or `target.function(arguments)`. Operators are functions: `_+_`, `_[_]`, `@in`."""

    id: int
    function: str
    target: Node | None
    arguments: tuple[Node, ...]


class ListOf(NamedTuple):
    """A list literal. `optional` are the indexes of items that are included only if they have a value."""

    id: int
    items: tuple[Node, ...]
    optional: frozenset[int]


class MapEntry(NamedTuple):
    key: Node
    value: Node
    optional: bool


class MapOf(NamedTuple):
    id: int
    entries: tuple[MapEntry, ...]


class MessageField(NamedTuple):
    """A field of a message literal. `id` has the place of the colon, as cel-go's errors about the field do."""

    id: int
    name: str
    value: Node
    optional: bool


class MessageLiteral(NamedTuple):
    """A message literal: `Object.spec{replicas: 1}`. Only mutations of admission policies have types that are made so."""

    id: int
    name: str
    fields: tuple[MessageField, ...]


class Comprehension(NamedTuple):
    """A comprehension, the expanded form of macros. `second` is empty where it has one variable."""

    id: int
    variable: str
    second: str
    items: Node
    result_variable: str
    start: Node
    condition: Node
    step: Node
    result: Node


Node = Literal | Ident | Select | CallNode | ListOf | MapOf | MessageLiteral | Comprehension


class Tree(NamedTuple):
    """A parsed expression: its root, and the place in the text (in characters) of each node by its id."""

    root: Node
    offsets: list[int]


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below one."""
    match node:
        case Select():
            return (node.operand,)
        case CallNode():
            return node.arguments if node.target is None else (node.target, *node.arguments)
        case ListOf():
            return node.items
        case MapOf():
            return tuple(part for entry in node.entries for part in (entry.key, entry.value))
        case MessageLiteral():
            return tuple(field.value for field in node.fields)
        case Comprehension():
            return (node.items, node.start, node.condition, node.step, node.result)
    return ()


def is_bind(node: Comprehension) -> bool:
    """Whether a comprehension only gives a value a name, as `optMap` and `sortBy` do."""
    empty = isinstance(node.items, ListOf) and not node.items.items
    return empty and isinstance(node.condition, Literal) and node.condition.value is False


CONVERSIONS = frozenset(("bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"))
"""Functions that are evaluated when a rule is compiled, where their argument is a constant."""


def constants(root: Node) -> frozenset[int]:
    """The ids of nodes below and with `root` that have the same value always: literals, lists and maps of such, and conversions
    of them. cel-go evaluates them when a rule is compiled."""
    found: set[int] = set()

    def visit(node: Node) -> bool:
        below = [visit(child) for child in children(node)]
        match node:
            case Literal() | ListOf() | MapOf():
                constant = all(below)
            case CallNode():
                constant = node.target is None and node.function in CONVERSIONS and below == [True]
            case _:
                constant = False
        if constant:
            found.add(node.id)
        return constant

    visit(root)
    return frozenset(found)


def is_attribute(node: Node) -> bool:
    """Whether an expression is a name, or a field or an item of something."""
    if isinstance(node, Ident):
        return True
    if isinstance(node, Select):
        return not node.test
    return isinstance(node, CallNode) and node.target is None and node.function in ("_[_]", "_[?_]", "_?._")


DOTS_MAX = 2
"""The most dots in a name of a type or a function: google.protobuf.Duration."""


def dotted(node: Node) -> str | None:
    """The text `a.b.c` of a node that is a name followed by fields; None for any other node, and where there are more dots than
    names of types and functions have."""
    names: list[str] = []
    while isinstance(node, Select) and not node.test and len(names) < DOTS_MAX:
        names.append(node.field)
        node = node.operand
    if not isinstance(node, Ident):
        return None
    return ".".join([node.name, *reversed(names)])


def attribute_root(node: Node) -> Node:
    """The node at which a chain of fields and items begins."""
    while True:
        if isinstance(node, Select) and not node.test:
            node = node.operand
        elif isinstance(node, CallNode) and node.target is None and node.function in ("_[_]", "_[?_]", "_?._"):
            node = node.arguments[0]
        else:
            return node


def is_conditional(node: Node) -> bool:
    return isinstance(node, CallNode) and node.function == "_?_:_"
