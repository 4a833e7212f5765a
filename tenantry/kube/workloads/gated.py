"""Drops the fields that Kubernetes has behind feature gates which are off by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenantry.kube.message_tables import Message
from tenantry.kube.objects import Object

Drop = Callable[[Object], None]
_KEY = "workloads.gated"


def drop_of(message: Message) -> Drop | None:
    """The function that drops such fields of a message in place; None if it has none."""
    if _KEY not in message.memo:
        message.memo[_KEY] = _compile(message)
    found: Drop | None = message.memo[_KEY]
    return found


def _compile(message: Message) -> Drop | None:
    off = frozenset(item.name for item in message.fields if item.gated)
    below = [
        (item.name, _each(drop, item.type.container))
        for item in message.fields
        if not item.gated and item.type.message is not None and (drop := drop_of(item.type.message)) is not None
    ]
    if not off and not below:
        return None

    def drop_all(obj: Object) -> None:
        for name in off.intersection(obj):
            del obj[name]
        for name, each in below:
            found = obj.get(name)
            if found is not None:
                each(found)

    return drop_all


def _each(drop: Drop, container: str) -> Callable[[Any], None]:
    def drop_all(found: Any) -> None:
        for value in found.values() if container == "map" else found:
            drop(value)

    return drop_all if container else drop
