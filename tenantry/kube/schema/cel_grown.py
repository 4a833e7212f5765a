"""The steps of macros whose result grows with each item: they add to it, and do not copy it."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.kube.schema.cel_syntax import CallNode, Ident, ListOf, Node


class Grown:
    """What a step adds to its result: the added nodes, and on which condition."""

    __slots__ = ("condition", "items")

    def __init__(self, items: tuple[Node, ...], condition: Node | None) -> None:
        self.items = items
        self.condition = condition


def _grown(step: Node, result: str, added: Callable[[CallNode, str], tuple[Node, ...] | None]) -> Grown | None:
    if not isinstance(step, CallNode) or step.target is not None:
        return None
    if step.function == "_?_:_" and _is_named(step.arguments[2], result) and isinstance(step.arguments[1], CallNode):
        items = added(step.arguments[1], result)
        return Grown(items, step.arguments[0]) if items is not None else None
    items = added(step, result)
    return Grown(items, None) if items is not None else None


def _is_named(node: Node, name: str) -> bool:
    return isinstance(node, Ident) and node.name == name


def appended(step: Node, result: str) -> Grown | None:
    def added(call: CallNode, name: str) -> tuple[Node, ...] | None:
        if call.function != "_+_" or not _is_named(call.arguments[0], name):
            return None
        item = call.arguments[1]
        return item.items if isinstance(item, ListOf) and len(item.items) == 1 and not item.optional else None

    return _grown(step, result, added)


def inserted(step: Node, result: str) -> Grown | None:
    def added(call: CallNode, name: str) -> tuple[Node, ...] | None:
        is_insert = call.function == "cel.@mapInsert" and _is_named(call.arguments[0], name)
        return call.arguments[1:] if is_insert else None

    return _grown(step, result, added)
