"""Lists that are sets or maps: no item may occur twice (x-kubernetes-list-type)."""

from __future__ import annotations

from typing import Any

import orjson

from tenantry.kube.field_errors import show
from tenantry.kube.field_paths import MapKey
from tenantry.kube.schema.problem import Check, Problem, Problems
from tenantry.kube.schema.ratchet import Path
from tenantry.kube.schema.structural import Schema

_BUILT_IN = "io.k8s."
"""Components that stand for Go structs. Their list types are for apply; a write of another kind may repeat an item."""


def compile_lists(schema: Schema, seen: frozenset[int] = frozenset()) -> Check | None:
    """The check of x-kubernetes-list-type for a schema and below it. None where there is no set or map."""
    if id(schema) in seen or schema.ref.startswith(_BUILT_IN):
        return None
    seen = seen | {id(schema)}
    if schema.items is not None:
        return _unique_list(schema, compile_lists(schema.items, seen))
    fields = {name: check for name, child in schema.properties.items() if (check := compile_lists(child, seen)) is not None}
    values = compile_lists(schema.additional, seen) if isinstance(schema.additional, Schema) else None
    if not fields and values is None:
        return None

    def inside(value: Any, path: Path, out: Problems) -> None:
        if type(value) is not dict:
            return
        for key, item in value.items():
            check = fields.get(key)
            if check is not None:
                check(item, (path, key), out)
            elif values is not None:
                values(item, (path, MapKey(key)), out)

    return inside


def _unique_list(schema: Schema, each: Check | None) -> Check | None:
    keys = sorted(schema.list_map_keys) if schema.list_type == "map" else None
    if keys is None and schema.list_type != "set":
        if each is None:
            return None
        inner = each

        def items_only(value: Any, path: Path, out: Problems) -> None:
            if type(value) is list:
                for index, item in enumerate(value):
                    inner(item, (path, index), out)

        return items_only

    only_key = keys[0] if keys is not None and len(keys) == 1 else None

    def unique(value: Any, path: Path, out: Problems) -> None:
        if type(value) is not list:
            return
        if each is None and only_key is not None and _all_named_apart(value, only_key):
            return
        times: dict[Any, int] = {}
        if keys is not None and _has_other_than_objects(value, path, out):
            if each is not None:
                for index, item in enumerate(value):
                    each(item, (path, index), out)
            return
        for index, item in enumerate(value):
            shown = item if keys is None else {key: item[key] for key in keys if key in item} if item is not None else {}
            identity = shown if type(shown) is str else orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)
            count = times[identity] = times.get(identity, 0) + 1
            if count == 2:
                out.append(Problem("Duplicate", path, (path, index), f"Duplicate value: {show(shown)}"))
            if each is not None:
                each(item, (path, index), out)

    return unique


def _has_other_than_objects(items: list[Any], path: Path, out: Problems) -> bool:
    """Whether an item of a map list is no object and not null. Only the first one is reported."""
    for index, item in enumerate(items):
        if item is not None and type(item) is not dict:
            text = f"Invalid value: {show(item)}: must be an object for an array of list-type map"
            out.append(Problem("Invalid", path, (path, index), text))
            return True
    return False


def _all_named_apart(items: list[Any], key: str) -> bool:
    """A fast check for the usual case: every item has a string as key, and all keys differ."""
    names = set()
    for item in items:
        name = item.get(key) if type(item) is dict else None
        if type(name) is not str:
            return False
        names.add(name)
    return len(names) == len(items)
