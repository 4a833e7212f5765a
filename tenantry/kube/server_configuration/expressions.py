"""CEL expressions of configuration files: over one variable whose type is declared, with kube-apiserver's environment.

A field whose name is no identifier is selected by its escaped name, as in `user.extra.example__dot__com`
(k8s.io/apiserver/pkg/cel/escaping.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tenantry.kube.schema.cel_check import check
from tenantry.kube.schema.cel_declared import Declared
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_interpreter import Compiled
from tenantry.kube.schema.cel_syntax import (
    CallNode,
    Comprehension,
    Ident,
    ListOf,
    Literal,
    MapEntry,
    MapOf,
    Node,
    Select,
    children,
)
from tenantry.kube.schema.cel_types import STRING, Type, list_of, map_of
from tenantry.kube.schema.cel_values import Cost, CostExceeded

RUN_LIMIT = 1_000_000
"""The most that one evaluation may cost, in cel-go's units. Upstream has no limit."""
AT_ONCE_LIMIT = 10_000
"""The same for an evaluation on the event loop: a few milliseconds."""
_NO_SUCH_KEY = "no such key: "
_ESCAPED = re.compile(r"__(underscores|dot|dash|slash)__")
_CHARACTERS = {"underscores": "__", "dot": ".", "dash": "-", "slash": "/"}
_KEYWORD = re.compile(r"__([a-z_]+)__")


class TooCostly(Exception):
    """An evaluation that was stopped at its limit."""


class Environment(NamedTuple):
    """The variable of an expression. `structs`: the object types below its type, by their names."""

    variable: str
    type: Type
    structs: Mapping[str, Declared]


def environment(variable: str, declared: Declared) -> Environment:
    """The environment for a variable of an object type."""
    return Environment(variable, declared.type, {each.type.name: each for each in _structs(declared)})


def struct(type_name: str, /, **fields: Declared) -> Declared:
    """An object type. `fields` by their names."""
    return Declared(Type("struct", f"kubernetes.{type_name}"), fields=fields)


def list_of_structs(item: Declared) -> Declared:
    return Declared(list_of(item.type), items=item)


TEXT = Declared(STRING)
TEXTS = Declared(list_of(STRING), items=TEXT)
TEXTS_BY_NAME = Declared(map_of(STRING, list_of(STRING)), items=TEXTS)


class Expression:
    """A checked expression."""

    def __init__(self, text: str, env: Environment, *, result: Type | None = None, names_found: bool = False) -> None:
        """`result`: the type that it must have; None: any. `names_found`: an error about the type names the one that it has.

        Raises CelError with kube-apiserver's text.
        """
        self.text = text
        try:
            checked = check(text, {env.variable: env.type}, env.structs)
        except CelError as error:
            raise CelError(f"compilation failed: {error}") from None
        if result is not None and checked.type != result:
            raise CelError(f"must evaluate to {result}" + (f" but got {checked.type}" if names_found else ""))
        self.root = checked.tree.root
        names = {found[1] for node in _all(self.root) if (found := _field(node)) is not None}
        self._escaped = {unescape(name): name for name in names if unescape(name) != name}
        try:
            self._compiled = Compiled(_unescaped(self.root), (env.variable,))
        except CelError as error:
            raise CelError(f"program instantiation failed: {error}") from None

    def run(self, value: Any, limit: int = RUN_LIMIT) -> Any:
        """The result for a value of the variable. Raises CelError, TooCostly."""
        try:
            return self._compiled.run((value,), Cost(limit))
        except CostExceeded:
            raise TooCostly from None
        except CelError as error:
            # An error names a field as the expression does.
            key = str(error).removeprefix(_NO_SUCH_KEY)
            if key in self._escaped:
                raise CelError(_NO_SUCH_KEY + self._escaped[key]) from None
            raise

    def selects(self, variable: str, field: str) -> bool:
        """Whether it selects a field of the variable itself: `claims.email`, `claims.?email`."""
        return any(_selected(node) == (variable, field) for node in _all(self.root))


def unescape(name: str) -> str:
    """The field that an escaped name stands for: `a__dot__b` → `a.b`, `__namespace__` → `namespace`."""
    if "__" not in name:
        return name
    if (word := _KEYWORD.fullmatch(name)) is not None and word.group(1) not in _CHARACTERS and not _ESCAPED.search(name):
        return word.group(1)
    return _ESCAPED.sub(lambda found: _CHARACTERS[found.group(1)], name)


def _structs(declared: Declared) -> Iterator[Declared]:
    if declared.fields is not None:
        yield declared
        for field in declared.fields.values():
            yield from _structs(field)
    elif declared.items is not None:
        yield from _structs(declared.items)


def _field(node: Node) -> tuple[Node, str] | None:
    match node:
        case Select():
            return node.operand, node.field
        case CallNode(function="_?._", arguments=(operand, Literal(value=str(field)))):
            return operand, field
    return None


def _selected(node: Node) -> tuple[str, str] | None:
    found = _field(node)
    return (found[0].name, found[1]) if found is not None and isinstance(found[0], Ident) else None


def _all(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += children(node)


def _unescaped(node: Node) -> Node:
    """The expression with unescaped names of fields. Its depth is bounded by the parser."""
    match node:
        case Select():
            return node._replace(operand=_unescaped(node.operand), field=unescape(node.field))
        case CallNode():
            arguments = tuple(map(_unescaped, node.arguments))
            if node.function == "_?._" and isinstance(field := arguments[1], Literal):
                arguments = (arguments[0], field._replace(value=unescape(field.value)))
            return node._replace(target=_unescaped(node.target) if node.target is not None else None, arguments=arguments)
        case ListOf():
            return node._replace(items=tuple(map(_unescaped, node.items)))
        case MapOf():
            return node._replace(
                entries=tuple(MapEntry(_unescaped(e.key), _unescaped(e.value), e.optional) for e in node.entries)
            )
        case Comprehension():
            return node._replace(
                items=_unescaped(node.items),
                start=_unescaped(node.start),
                condition=_unescaped(node.condition),
                step=_unescaped(node.step),
                result=_unescaped(node.result),
            )
    return node
