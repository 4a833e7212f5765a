"""Objects that grow in one place, made from the schema of their type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.schema.structural import Schema

_DEPTH = 6
Leaf = Callable[[int], str]
"""Number → a text: all different, all alike, or none that is allowed."""

LEAVES: dict[str, Leaf] = {
    "distinct": lambda i: f"x{i}",
    "alike": lambda i: "x",
    "wrong": lambda i: f"_/{i}!/",
}


class Place(NamedTuple):
    """A list, map or text of a type: the fields on the way to it, and its schema."""

    path: tuple[str, ...]
    schema: Schema

    @property
    def name(self) -> str:
        return ".".join(self.path)


def places(schema: Schema) -> list[Place]:
    """Every place of a type that can grow; a schema that holds itself is entered once."""
    return list(_places(schema, (), frozenset()))


def _places(schema: Schema, path: tuple[str, ...], above: frozenset[int]) -> Iterator[Place]:
    if id(schema) in above or len(path) > _DEPTH:
        return
    above = above | {id(schema)}
    if path and (schema.type in ("array", "string") or isinstance(schema.additional, Schema | bool) or schema.items is not None):
        yield Place(path, schema)
    for name, child in schema.properties.items():
        if not path and name in ("apiVersion", "kind"):
            continue
        yield from _places(child, (*path, name), above)
    if schema.items is not None:
        yield from _places(schema.items, (*path, "[]"), above)
    if isinstance(schema.additional, Schema):
        yield from _places(schema.additional, (*path, "{}"), above)


def value_of(schema: Schema, i: int, leaf: Leaf) -> Any:
    """Something small of a schema, with what it must have."""
    if schema.items is not None:
        return [value_of(schema.items, i, leaf)]
    match schema.type:
        case "array":
            return [leaf(i)]
        case "integer" | "number":
            return i
        case "boolean":
            return True
        case "object":
            out = {name: value_of(child, i, leaf) for name, child in schema.properties.items() if not child.properties}
            if isinstance(schema.additional, Schema):
                out[leaf(i)] = value_of(schema.additional, i, leaf)
            return out
    if schema.format == "date-time":
        return "2024-01-01T00:00:00Z"
    if schema.ref.endswith("Quantity") or schema.int_or_string:
        return f"{i + 1}"
    if schema.enum:
        return schema.enum[i % len(schema.enum)]
    return leaf(i)


def grown(schema: Schema, n: int, leaf: Leaf) -> Any:
    """A list, map or text of size n."""
    if schema.items is not None or schema.type == "array":
        return [value_of(schema.items, i, leaf) if schema.items is not None else leaf(i) for i in range(n)]
    if schema.type == "string":
        return leaf(0) * n
    below = schema.additional
    return {f"{leaf(i)}{i}": value_of(below, i, leaf) if isinstance(below, Schema) else leaf(i) for i in range(n)}


def object_with(definition: ResourceDefinition, version: str, place: Place, value: Any, leaf: Leaf) -> Object:
    """An object of a type with this value at a place; what is on the way to it has what it must have."""
    schema = definition.versions[version].schema
    obj: Object = {
        "apiVersion": definition.api_version(version),
        "kind": definition.kind,
        "metadata": {"name": "x", **({"namespace": "x"} if definition.namespaced else {})},
    }
    _put(obj, schema, place.path, value, leaf)
    return obj


def _put(container: Any, schema: Schema, path: tuple[str, ...], value: Any, leaf: Leaf) -> None:
    name, rest = path[0], path[1:]
    child = schema.items if name == "[]" else schema.additional if name == "{}" else schema.properties[name]
    assert isinstance(child, Schema)
    if rest:
        below = container.get(name) if isinstance(container, dict) and name != "{}" else None
        if below is None:
            below = value_of(child, 0, leaf)
            if rest[0] == "[]":
                below = []
            elif not isinstance(below, dict):
                below = {}
        _put(below, child, rest, value, leaf)
        value = below
    if name == "[]":
        container[:] = [value]
    else:
        container["x" if name == "{}" else name] = value
