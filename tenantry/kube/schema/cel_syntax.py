"""The syntax tree of a CEL expression, read from the engine's protobuf form (cel/expr/syntax.proto, checked.proto)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

EXPANDED_MAX = 50_000
"""The most nodes of an expression with expanded macros. Macros on optionals double the expression in front of them."""


class Literal(NamedTuple):
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


class MessageLiteral(NamedTuple):
    """A message literal. Kubernetes has no type that can be made in this way."""

    id: int
    name: str
    values: tuple[Node, ...]


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


class Type(NamedTuple):
    """A type of the checker: a kind (dyn, null, bool, int, …, list, map, message, optional) and its parameters."""

    kind: str
    name: str = ""
    parameters: tuple[Type, ...] = ()


class CheckedTree(NamedTuple):
    """A checked expression: its types and overloads by the ids of nodes."""

    root: Node
    types: dict[int, Type]
    overloads: dict[int, tuple[str, ...]]


def parsed(serialized: bytes) -> Node:
    """The tree of an unchecked expression, from `cel.Expression.serialize()`."""
    return _node(_last(_last(serialized, 2), 2))


def checked(serialized: bytes) -> CheckedTree:
    """The tree, types and overloads of a checked expression, from `cel.Expression.serialize()`."""
    root: Node | None = None
    types: dict[int, Type] = {}
    overloads: dict[int, tuple[str, ...]] = {}
    for number, value in _fields(_last(serialized, 2)):
        if isinstance(value, int):
            continue
        if number == 2:
            key, reference = _entry(value)
            overloads[key] = tuple(each.decode() for n, each in _fields(reference) if n == 3 and isinstance(each, bytes))
        elif number == 3:
            key, kind = _entry(value)
            types[key] = _type(kind)
        elif number == 4:
            root = _node(value)
    if root is None:
        raise ValueError("no expression")
    return CheckedTree(root, types, overloads)


# How large an expression becomes ---------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"\s+|//[^\n]*|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<name>[A-Za-z_]\w*)|(?P<dot>\.\??)|"
    r"(?P<value>[0-9][0-9A-Za-z.]*|[`'\"])|(?P<other>.)",
    re.ASCII | re.DOTALL,
)
_TWICE = frozenset(("optMap", "optFlatMap"))


def expanded_size(text: str) -> int:
    """An upper bound for the number of nodes after macros are expanded, up to a constant factor for each word.

    It reads the words once: the part before `.optMap(` counts twice.
    """
    whole: list[int] = [0]
    chain: list[int] = [0]
    opened: list[bool] = []
    name, after_dot, doubles, position = "", False, False, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            break
        position = match.end()
        kind, word = match.lastgroup, match.group()
        if kind is None:
            continue
        if kind == "open":
            if not doubles and not after_dot and not name and word != "[":
                whole[-1] += chain[-1]
                chain[-1] = 0
            opened.append(doubles and word == "(")
            whole.append(0)
            chain.append(0)
        elif kind == "close" and opened:
            inner = whole.pop() + chain.pop()
            chain[-1] = min(chain[-1] * (2 if opened.pop() else 1) + inner + 1, 1 << 60)
        elif kind in ("name", "value"):
            if not after_dot:
                whole[-1] += chain[-1]
                chain[-1] = 0
            chain[-1] += 1
            if word in ("'", '"', "`"):
                position = _end_of_string(text, match.start())
        elif kind == "other":
            whole[-1] += chain[-1] + 1
            chain[-1] = 0
        doubles = kind == "name" and after_dot and word in _TWICE
        name = word if kind in ("name", "close") else ""
        after_dot = kind == "dot"
    return sum(whole) + sum(chain)


def _end_of_string(text: str, start: int) -> int:
    """The position after the string that begins at `start`; the end of the text where the string is not closed."""
    quote = text[start]
    raw = start > 0 and text[start - 1] in "rR"
    if text.startswith(quote * 3, start):
        quote *= 3
    position = start + len(quote)
    while position < len(text):
        if text[position] == "\\" and not raw:
            position += 2
        elif text.startswith(quote, position):
            return position + len(quote)
        else:
            position += 1
    return len(text)


def words(text: str) -> Iterator[str]:
    """The names in an expression, without field names, strings and comments."""
    after_dot, position = False, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return
        position = match.end()
        kind = match.lastgroup
        if kind == "name" and not after_dot:
            yield match.group()
        elif kind == "value" and match.group() in ("'", '"', "`"):
            position = _end_of_string(text, match.start())
        if kind is not None:
            after_dot = kind == "dot"


# The protobuf form -----------------------------------------------------------------------------------------------------


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == 0:
            number, position = _varint(data, position)
            yield tag >> 3, number
        else:
            if wire == 2:
                length, position = _varint(data, position)
            else:
                length = 8 if wire == 1 else 4
            yield tag >> 3, data[position : position + length]
            position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _last(data: bytes, number: int) -> bytes:
    found = b""
    for key, value in _fields(data):
        if key == number and isinstance(value, bytes):
            found = value
    return found


def _entry(data: bytes) -> tuple[int, bytes]:
    """The key and value of an entry in a map of ids."""
    key, found = 0, b""
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            key = value
        elif number == 2 and isinstance(value, bytes):
            found = value
    return key, found


def _node(data: bytes) -> Node:
    identity = 0
    node: Node = Literal(0, None)
    for number, value in _fields(data):
        if isinstance(value, int):
            identity = value
        elif number == 3:
            node = Literal(0, _constant(value))
        elif number == 4:
            node = Ident(0, _last(value, 1).decode())
        elif number == 5:
            test = any(n == 3 and each for n, each in _fields(value))
            node = Select(0, _node(_last(value, 1)), _last(value, 2).decode(), test)
        elif number == 6:
            node = _call(value)
        elif number == 7:
            node = _list(value)
        elif number == 8:
            node = _map(value)
        elif number == 9:
            node = _loop(value)
    return node._replace(id=identity)


def _constant(data: bytes) -> Any:
    for number, value in _fields(data):
        if isinstance(value, int):
            match number:
                case 2:
                    return bool(value)
                case 3:
                    return value - (1 << 64) if value >= 1 << 63 else value
                case 4:
                    return Unsigned(value)
        elif number == 5:
            return struct.unpack("<d", value)[0]
        elif number == 6:
            return value.decode()
        elif number == 7:
            return value
    return None


def _call(data: bytes) -> CallNode:
    function, target = "", None
    arguments: list[Node] = []
    for number, value in _fields(data):
        if isinstance(value, bytes):
            if number == 1:
                target = _node(value)
            elif number == 2:
                function = value.decode()
            elif number == 3:
                arguments.append(_node(value))
    return CallNode(0, function, target, tuple(arguments))


def _list(data: bytes) -> ListOf:
    items: list[Node] = []
    optional: set[int] = set()
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            items.append(_node(value))
        elif isinstance(value, int):
            optional.add(value)
        elif number == 2:
            position = 0
            while position < len(value):
                index, position = _varint(value, position)
                optional.add(index)
    return ListOf(0, tuple(items), frozenset(optional))


def _map(data: bytes) -> MapOf | MessageLiteral:
    name = ""
    entries: list[MapEntry] = []
    for number, value in _fields(data):
        if isinstance(value, int):
            continue
        if number == 1:
            name = value.decode()
        elif number == 2:
            optional = any(n == 5 and each for n, each in _fields(value))
            entries.append(MapEntry(_node(_last(value, 3)), _node(_last(value, 4)), optional))
    if name:
        return MessageLiteral(0, name, tuple(entry.value for entry in entries))
    return MapOf(0, tuple(entries))


def _loop(data: bytes) -> Comprehension:
    parts = {number: value for number, value in _fields(data) if isinstance(value, bytes)}

    def text(number: int) -> str:
        return parts.get(number, b"").decode()

    def node(number: int) -> Node:
        return _node(parts.get(number, b""))

    return Comprehension(0, text(1), text(8), node(2), text(3), node(4), node(5), node(6), node(7))


_PRIMITIVES = ("", "bool", "int", "uint", "double", "string", "bytes")
_WELL_KNOWN = ("", "any", "timestamp", "duration")


def _type(data: bytes) -> Type:
    for number, value in _fields(data):
        match number, value:
            case 1, _:
                return Type("dyn")
            case 2, _:
                return Type("null")
            case ((3 | 4), int(index)):
                return Type(_PRIMITIVES[index] if index < len(_PRIMITIVES) else "dyn")
            case 5, int(index):
                return Type(_WELL_KNOWN[index] if index < len(_WELL_KNOWN) else "any")
            case 6, bytes(inner):
                return Type("list", "", (_type(_last(inner, 1)),))
            case 7, bytes(inner):
                return Type("map", "", (_type(_last(inner, 1)), _type(_last(inner, 2))))
            case 9, bytes(name):
                return Type("message", name.decode())
            case 10, bytes(name):
                return Type("parameter", name.decode())
            case 11, _:
                return Type("type")
            case 14, bytes(inner):
                parameters = tuple(_type(each) for n, each in _fields(inner) if n == 2 and isinstance(each, bytes))
                return Type("opaque", _last(inner, 1).decode(), parameters)
    return Type("dyn")
