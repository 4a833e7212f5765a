"""Which part of an old object corresponds to a part of a new one (ratcheting, KEP-4008)."""

from __future__ import annotations

from typing import Any

from tenantry.kube.schema.structural import Schema

ABSENT: Any = object()
"""Stands for a value that does not exist, where None is JSON's null."""

Path = tuple[Any, Any] | None
"""A place below a root: None for the root itself, else (path of the parent, field name or index)."""


def path_text(path: Path) -> str:
    """`spec.list[0].name`; empty for the root."""
    parts: list[str] = []
    while path is not None:
        path, key = path
        parts.append(f"[{key}]" if type(key) is int else f".{key}")
    return "".join(reversed(parts)).removeprefix(".")


def keys_of(path: Path) -> list[Any]:
    keys: list[Any] = []
    while path is not None:
        path, key = path
        keys.append(key)
    keys.reverse()
    return keys


def is_unchanged(path: Path, new: Any, old: Any, schema: Schema) -> bool:
    """Whether the value at `path`, or one that holds it, is what it was in `old`.

    Items of a map list are found by their keys; the items of other lists have no counterparts.
    """
    if old is ABSENT:
        return False
    if new == old:
        return True
    node: Schema | None = schema
    for key in keys_of(path):
        node, new, old = step(key, new, old, node)
        if old is ABSENT:
            return False
        if new == old:
            return True
    return False


def step(key: Any, new: Any, old: Any, schema: Schema | None) -> tuple[Schema | None, Any, Any]:
    """One step down: the schema, the new and the old value (ABSENT where there is none) at `key`."""
    if type(key) is int:
        if type(new) is not list or key >= len(new):
            return None, ABSENT, ABSENT
        return schema.items if schema else None, new[key], counterpart(new[key], old, schema)
    child = child_schema(schema, key)
    inner_new = new.get(key, ABSENT) if type(new) is dict else ABSENT
    inner_old = old.get(key, ABSENT) if type(old) is dict else ABSENT
    return child, inner_new, inner_old


def child_schema(schema: Schema | None, name: str) -> Schema | None:
    if schema is None:
        return None
    found = schema.properties.get(name)
    if found is not None:
        return found
    return schema.additional if isinstance(schema.additional, Schema) else None


def counterpart(item: Any, old: Any, schema: Schema | None) -> Any:
    """The item of the old map list that has the same keys; ABSENT in other lists."""
    if schema is None or schema.list_type != "map" or type(old) is not list or type(item) is not dict:
        return ABSENT
    keys = schema.list_map_keys
    wanted = [item.get(key) for key in keys]
    for candidate in old:
        if type(candidate) is dict and [candidate.get(key) for key in keys] == wanted:
            return candidate
    return ABSENT
