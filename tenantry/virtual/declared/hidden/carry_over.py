"""Puts the hidden fields of a stored object into what a client wrote, each at its place, or refuses the write.

Nothing hidden is lost, and nothing hidden gets into another item of a list than it was in. The client cannot say where it is to
go, so a write that leaves this open is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from tenantry.apiserver import records
from tenantry.kube.field_errors import forbidden
from tenantry.kube.schema.default import default
from tenantry.kube.schema.ratchet import child_schema
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import FieldError
from tenantry.virtual.declared.hidden.paths import Hidden, Paths, holders, place, remove, tree

_GONE = "has fields that this view does not show, which cannot be removed through it"
_OTHER = "has fields that this view does not show, which another kind of value has no place for"
_ITEM_GONE = "the item with these keys has fields that this view does not show, so it cannot be removed through it"
_UNCLEAR = (
    "items have fields that this view does not show, and it must be clear which items these are: keep the items and their "
    "order, and change at most one in a write"
)


def carry_over(sent: Any, stored: Any, paths: Paths, schema: Schema | None) -> list[FieldError]:
    """Changes `sent`, which has none of the hidden fields, and may share parts with `stored` afterwards. `schema`: of both.
    Returns why that cannot be done; `sent` is half changed then."""
    hidden = tree(paths)
    seen = records.copy(stored)
    remove(seen, hidden)
    return list(_CarryOver(holders(stored, hidden)).object(sent, stored, seen, hidden, schema, ""))


class _CarryOver:
    """The carrying over of one object. `holders`: the ids of what is stored and has hidden fields in it. `seen`: what the client
    sees of `stored`. Both are made once, as values may be nested deeply."""

    def __init__(self, holders: set[int]) -> None:
        self._holders = holders

    def object(
        self,
        sent: dict[str, Any],
        stored: Mapping[str, Any],
        seen: Mapping[str, Any],
        hidden: Hidden,
        schema: Schema | None,
        at: str,
    ) -> Iterator[FieldError]:
        for name, inner in hidden.among(stored):
            kept, here = stored[name], place(at, name)
            if inner.here:
                sent[name] = kept
                continue
            if id(kept) not in self._holders:
                continue
            given, below_it = sent.get(name), child_schema(schema, name)
            if name not in sent and schema is not None and _is_default(kept, schema.properties.get(name)):
                # The stored object may lack it, too: a default of the whole is not shown, and is added again.
                continue
            if given is None and isinstance(kept, dict) and _may_be_left_out(seen[name], below_it):
                # Clients in Go do not send a map that is empty, nor a structure of which they know no field.
                given = sent[name] = {}
            if given is None:
                yield forbidden(here, _GONE)
            else:
                yield from self._value(given, kept, seen[name], inner, below_it, here)

    def _value(self, given: Any, kept: Any, seen: Any, hidden: Hidden, schema: Schema | None, at: str) -> Iterator[FieldError]:
        if isinstance(given, dict) and isinstance(kept, dict):
            yield from self.object(given, kept, seen, hidden, schema, at)
        elif isinstance(given, list) and isinstance(kept, list):
            yield from self._list(given, kept, seen, hidden, schema, at)
        else:
            yield forbidden(at, _OTHER)

    def _list(
        self, sent: list[Any], stored: list[Any], seen: list[Any], hidden: Hidden, schema: Schema | None, at: str
    ) -> Iterator[FieldError]:
        items = schema.items if schema is not None else None
        keys = schema.list_map_keys if schema is not None and schema.list_type == "map" else ()
        if keys and not hidden.among(dict.fromkeys(keys)):
            by_key, old_by_key = _by_key(sent, keys), _by_key(stored, keys)
            if by_key is not None and old_by_key is not None:
                for text, (place_before, kept) in old_by_key.items():
                    if id(kept) not in self._holders:
                        continue
                    if text not in by_key:
                        yield forbidden(f"{at}[{text}]", _ITEM_GONE)
                        continue
                    number, given = by_key[text]
                    yield from self.object(given, kept, seen[place_before], hidden, items, f"{at}[{number}]")
                return
        if not _is_same_list(sent, seen):
            yield forbidden(at, _UNCLEAR)
            return
        for number, (given, kept) in enumerate(zip(sent, stored, strict=True)):
            if id(kept) in self._holders:
                yield from self._value(given, kept, seen[number], hidden, items, f"{at}[{number}]")


def _by_key(values: list[Any], keys: tuple[str, ...]) -> dict[str, tuple[int, dict[str, Any]]] | None:
    """The items of a list by their keys (`name="a",port=80`), each with its number. None where two have the same keys, or where
    one has none."""
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, item in enumerate(values):
        if not isinstance(item, dict) or not any(key in item for key in keys):
            return None
        text = ",".join(f"{key}={orjson.dumps(item.get(key)).decode()}" for key in keys)
        if text in found:
            return None
        found[text] = (number, item)
    return found


def _is_same_list(sent: list[Any], seen: list[Any]) -> bool:
    """Whether the items of a list are those that the client sees, but for one at most: then each is known by its place."""
    if len(sent) != len(seen):
        return False
    return sum(1 for given, shown in zip(sent, seen, strict=True) if given != shown) <= 1


def _may_be_left_out(seen: Any, schema: Schema | None) -> bool:
    """Whether it says nothing that a client sends an object without this one: what it sees of it is empty, or it is a map, whose
    entries the client has removed."""
    return (schema is not None and isinstance(schema.additional, Schema)) or _is_bare(seen)


def _is_default(value: Any, schema: Schema | None) -> bool:
    """Whether it is what the schema of a member sets where nothing is sent."""
    if schema is None or not schema.has_default:
        return False
    made = {"value": records.copy(schema.default)}
    default(made, Schema(properties={"value": schema}))
    return bool(made["value"] == value)


def _is_bare(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_bare(inner) for inner in value.values())
