"""The form in which Go writes a message: fields that are empty, and have `omitempty`, are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.kube.message_tables import Field, FieldType, Message
from tenantry.kube.objects import Object


def omit_empty(obj: Object, message: Message) -> None:
    """Removes what Go does not write, in place. The values must have the types of the table; others stay."""
    fields = _fields(message)
    for name in [name for name in obj if name in fields]:
        item = fields[name]
        value = obj[name]
        if not item.always and _is_empty(value, item.type):
            del obj[name]
            continue
        of = item.type
        below = message if of.name.startswith("SelfOr") else of.message
        if below is None or value is None:
            continue
        children = value.values() if of.container == "map" else value if isinstance(value, list) else (value,)
        for child in children:
            if isinstance(child, dict):
                omit_empty(child, below)


def _is_empty(value: Any, of: FieldType) -> bool:
    if of.container:
        return not value
    if of.pointer:
        return value is None
    # A struct is never empty.
    return value is None or (of.message is None and not value)


def _fields(message: Message) -> Mapping[str, Field]:
    known: Mapping[str, Field] | None = message.memo.get("omit_empty")
    if known is None:
        known = message.memo["omit_empty"] = {item.name: item for item in message.fields}
    return known
