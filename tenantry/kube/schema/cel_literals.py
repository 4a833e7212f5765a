"""The literals of an expression that Kubernetes looks at when a rule is written: times, durations, patterns, and lists and maps,
whose items must all have one type (cel/validator.go of cel-go)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tenantry.kube.schema import cel_time
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_format_literals import format_issue
from tenantry.kube.schema.cel_syntax import CallNode, ListOf, Literal, MapOf, Node, children
from tenantry.kube.schema.cel_types import Type, equivalent
from tenantry.kube.schema.regex import syntax_error

_Issue = tuple[int, str]


def literal_issues(root: Node, types: dict[int, Type], *, may_mix: bool) -> Iterator[_Issue]:
    """What is wrong: (the id of a node, a text). `may_mix`: lists and maps may have items of several types."""
    for node, mixed in _nodes(root, may_mix):
        match node:
            case CallNode():
                yield from _call(node)
                issue = format_issue(node, types) if node.function == "format" else None
                if issue is not None:
                    yield issue
            case ListOf() if not mixed:
                yield from _list(node, types)
            case MapOf() if not mixed:
                yield from _map(node, types)


def _nodes(root: Node, mixed: bool) -> Iterator[tuple[Node, bool]]:
    """All nodes, and whether lists and maps there may mix types: what `format` is called with."""
    waiting = [(root, mixed)]
    while waiting:
        node, mixed = waiting.pop()
        yield node, mixed
        below = mixed or (isinstance(node, CallNode) and node.function == "format")
        waiting += [(each, below) for each in children(node)]


def require_patterns(function: str, arguments: tuple[Node, ...]) -> None:
    """Raises CelError for a pattern that is written out and cannot be read: cel-go reads those when it makes a program."""
    if function not in ("find", "findAll") or len(arguments) < 2:
        return
    pattern = arguments[1]
    if isinstance(pattern, Literal) and isinstance(pattern.value, str):
        wrong = syntax_error(pattern.value)
        if wrong:
            raise CelError(wrong)


def _reads(read: Callable[[Any], Any]) -> Callable[[Any], bool]:
    def can_be_read(value: Any) -> bool:
        try:
            read(value)
        except CelError:
            return False
        return True

    return can_be_read


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "duration": _reads(cel_time.duration),
    "timestamp": _reads(cel_time.timestamp),
    "matches": lambda value: not syntax_error(value),
}


def _call(node: CallNode) -> Iterator[_Issue]:
    is_right = _CHECKS.get(node.function)
    if is_right is None or not node.arguments:
        return
    argument = node.arguments[0]
    if isinstance(argument, Literal) and not is_right(argument.value):
        yield argument.id, f"invalid {node.function} argument"


def _list(node: ListOf, types: dict[int, Type]) -> Iterator[_Issue]:
    first: Type | None = None
    for place, item in enumerate(node.items):
        found = _unwrapped(types[item.id], place in node.optional)
        if first is None:
            first = found
        elif not equivalent(first, found):
            yield item.id, f"expected type '{first}' but found '{found}'"
            return


def _map(node: MapOf, types: dict[int, Type]) -> Iterator[_Issue]:
    firsts: tuple[Type, Type] | None = None
    for entry in node.entries:
        found = types[entry.key.id], _unwrapped(types[entry.value.id], entry.optional)
        if firsts is None:
            firsts = found
            continue
        for part, first, each in zip((entry.key, entry.value), firsts, found, strict=True):
            if not equivalent(first, each):
                yield part.id, f"expected type '{first}' but found '{each}'"


def _unwrapped(found: Type, optional: bool) -> Type:
    return found.parameters[0] if optional and found.parameters else found
