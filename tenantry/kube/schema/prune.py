"""Removes fields that a schema does not have (structural pruning, KEP-1693)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenantry.kube.field_paths import Path, ReportedPaths
from tenantry.kube.message_tables import OBJECT_META
from tenantry.kube.objects import Object
from tenantry.kube.schema.compiled import compiled
from tenantry.kube.schema.structural import Schema

_Prune = Callable[[Any, Path, ReportedPaths], None]
EMBEDDED_FIELDS = frozenset(("apiVersion", "kind", "metadata"))


def prune(obj: Object, schema: Schema) -> list[str]:
    """Removes unknown fields from `obj`, in place. Returns the first hundred paths (`spec.list[0].size`) in upstream's order:
    those in the object's own metadata, the others, and those in the metadata of embedded objects, each sorted."""
    removed = ReportedPaths()
    compiled(schema, "prune", _compile_root)(obj, None, removed)
    if removed.is_empty:
        return []
    found = sorted(removed.paths, key=lambda path: (not path.startswith("metadata."), path))
    return [*found, *sorted(removed.later.paths)][: ReportedPaths.MAX]


def _compile_root(schema: Schema) -> _Prune:
    return _compile(schema, {}) or _nothing


def _nothing(value: Any, path: Path, removed: ReportedPaths) -> None:
    pass


def _empty(value: Any, path: Path, removed: ReportedPaths) -> None:
    """Prunes an object or a list where the schema has none: nothing in it is known. Lists may be deeper than Python's stack."""
    waiting: list[tuple[Any, Path]] = [(value, path)]
    while waiting:
        value, path = waiting.pop()
        if type(value) is dict:
            for key in value:
                removed.add((path, key))
            value.clear()
        elif type(value) is list:
            waiting += ((item, (path, index)) for index, item in enumerate(value) if type(item) is dict or type(item) is list)


def _compile(schema: Schema, known: dict[int, _Prune]) -> _Prune | None:
    """The pruning function. None where no field below can be unknown."""
    if id(schema) in known:
        return known[id(schema)]
    if schema.items is not None:
        return _compile_list(schema.items, known)
    if isinstance(schema.additional, Schema) and not schema.properties:
        return _compile_map(schema.additional, known)
    if schema.int_or_string and not schema.properties:
        return None if schema.preserve_unknown else _empty
    keeps = schema.preserve_unknown or bool(schema.additional) or not (schema.type or schema.properties)
    if keeps and not schema.properties and not schema.embedded_resource:
        return None
    if schema.type not in ("", "object") and not schema.properties:
        return _empty
    return _compile_object(schema, keeps, known)


def _compile_list(items: Schema, known: dict[int, _Prune]) -> _Prune | None:
    each = _compile(items, known)
    if each is None:
        return None

    def prune_list(value: Any, path: Path, removed: ReportedPaths) -> None:
        if type(value) is not list:
            _empty(value, path, removed)
            return
        for index, item in enumerate(value):
            if type(item) is dict or type(item) is list:
                each(item, (path, index), removed)

    return prune_list


def _compile_map(values: Schema, known: dict[int, _Prune]) -> _Prune | None:
    each = _compile(values, known)
    if each is None:
        return None

    def prune_map(value: Any, path: Path, removed: ReportedPaths) -> None:
        if type(value) is not dict:
            _empty(value, path, removed)
            return
        for key, item in value.items():
            if type(item) is dict or type(item) is list:
                each(item, (path, key), removed)

    return prune_map


def _compile_object(schema: Schema, keeps: bool, known: dict[int, _Prune]) -> _Prune:
    entries: dict[str, _Prune | None] = {}

    def prune_object(value: Any, path: Path, removed: ReportedPaths) -> None:
        if type(value) is not dict:
            if schema.type:
                _empty(value, path, removed)
            return
        unknown: list[str] | None = None
        for key, item in value.items():
            try:
                inner = entries[key]
            except KeyError:
                if not keeps:
                    if unknown is None:
                        unknown = []
                    unknown.append(key)
                continue
            if inner is not None and (type(item) is dict or type(item) is list):
                inner(item, (path, key), removed)
        if unknown is not None:
            for key in unknown:
                del value[key]
                removed.add((path, key))

    # Registered before its fields are compiled, because a schema may contain itself (JSONSchemaProps does).
    known[id(schema)] = prune_object
    for name, child in schema.properties.items():
        entries[name] = _compile(child, known)
    if schema.embedded_resource:
        for name in EMBEDDED_FIELDS:
            entries.setdefault(name, None)
        metadata = _compile(OBJECT_META.schema, known)
        assert metadata is not None
        entries["metadata"] = lambda value, path, removed: metadata(value, path, removed.later)
    return prune_object
