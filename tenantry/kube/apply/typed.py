"""A type as server-side apply sees it: which parts merge by key and which are atomic.

A `Node` is compiled from a schema once. The rules are those of kube-openapi's schemaconv and structured-merge-diff's typed
package: maps are granular unless they are marked atomic, and lists are atomic unless they are marked set or map. What a schema
leaves open is deduced from the value (maps granular, lists atomic).
"""

from __future__ import annotations

from typing import Any, Final, Literal

from tenantry.kube.apply import field_set
from tenantry.kube.go_text import GoValue
from tenantry.kube.schema.compiled import compiled
from tenantry.kube.schema.structural import Schema

Scalar = Literal["", "numeric", "string", "boolean", "untyped"]


class Absent:
    """The type of `ABSENT`: no value at all, in contrast to null."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


class TypedError(ValueError):
    """A value that does not match its type, so that it cannot be compared or merged."""


class MapType:
    """An object. `fields` are the declared fields. `element` is the type of all other fields, None where they are an error.

    `present` are the declared fields that a built-in type always has (Go's non-pointer fields), with their empty value. Where
    such a field is missing, it compares as that value.
    """

    __slots__ = ("atomic", "element", "elements", "fields", "present")

    def __init__(self, *, atomic: bool) -> None:
        self.atomic = atomic
        self.fields: dict[str, Node] = {}
        self.element: Node | None = None
        self.present: dict[str, Any] = {}
        self.elements: dict[str, str] = {}
        """Declared field → its path element, so that hot code need not build it."""

    def at(self, name: str) -> Node | None:
        return self.fields.get(name, self.element)


class ListType:
    """A list. `kind` is atomic, set or map; `keys` are the key fields of a map, `defaults` the defaults of those."""

    __slots__ = ("defaults", "element", "keys", "kind")

    def __init__(self, kind: str, keys: tuple[str, ...]) -> None:
        self.kind = kind
        self.keys = keys
        self.element: Node = UNTYPED
        self.defaults: dict[str, Any] = {}

    def item_element(self, item: Any) -> str:
        """The path element of an item. Raises TypedError where the item cannot have one."""
        if self.kind == "set":
            if isinstance(item, dict):
                raise TypedError("associative list without keys has an element that's a map type")
            if isinstance(item, list):
                raise TypedError("not supported: associative list with lists as elements")
            if item is None:
                raise TypedError("associative list without keys has an element that's an explicit null")
            return field_set.value_element(item)
        if item is None:
            raise TypedError("associative list with keys may not have a null element")
        if not isinstance(item, dict):
            raise TypedError("associative list with keys may not have non-map elements")
        keys = {
            name: item[name] if name in item else self.defaults[name]
            for name in self.keys
            if name in item or name in self.defaults
        }
        if not keys:
            names = " ".join(f'"{name}"' for name in self.keys)
            raise TypedError(
                f"associative list with keys has an element that omits all key fields [{names}]"
                " (and doesn't have default values for any key fields)"
            )
        return field_set.key_element(keys)


class Node:
    """The type at one place. It may allow a scalar, a map and a list; the value decides which one applies."""

    __slots__ = ("list", "map", "scalar")

    def __init__(self, scalar: Scalar = "", map_type: MapType | None = None, list_type: ListType | None = None) -> None:
        self.scalar: Scalar = scalar
        self.map = map_type
        self.list = list_type

    def kind(self, value: Any) -> str:
        """Whether a value is handled as a map, scalar or list. A value that matches none counts as the first allowed kind."""
        if isinstance(value, dict):
            if self.map is not None:
                return "map"
        elif isinstance(value, list):
            if self.list is not None:
                return "list"
        elif value is not None and self.scalar and type(value) is not GoValue:
            return "scalar"
        if self.map is not None:
            return "map"
        return "scalar" if self.scalar else "list"


UNTYPED = Node("untyped")
"""Any value, atomic."""
DEDUCED = Node("untyped")
"""Any value: maps granular, lists atomic."""


def _any_type(node: Node, *, atomic: bool) -> None:
    node.map = MapType(atomic=atomic)
    node.map.element = node
    node.list = ListType("atomic", ())


_any_type(UNTYPED, atomic=True)
_any_type(DEDUCED, atomic=False)

_BUILT_IN_COMPONENTS = ("io.k8s.api.", "io.k8s.apimachinery.", "io.k8s.apiextensions-apiserver.", "io.k8s.kube-aggregator.")


def is_built_in(schema: Schema) -> bool:
    """Whether the schema is part of the program: it stands for a Go struct and does not change while objects exist."""
    return schema.ref.startswith(_BUILT_IN_COMPONENTS)


_WHOLE_VALUES = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": Node("untyped"),
    "io.k8s.apimachinery.pkg.runtime.RawExtension": UNTYPED,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": UNTYPED,
}


def _struct(fields: dict[str, Node], *, atomic: bool = False) -> Node:
    map_type = MapType(atomic=atomic)
    map_type.fields = fields
    map_type.elements = {name: f"f:{name}" for name in fields}
    return Node(map_type=map_type)


def _list_of(kind: str, element: Node, *keys: str) -> Node:
    list_type = ListType(kind, keys)
    list_type.element = element
    return Node(list_type=list_type)


def _map_of(element: Node) -> Node:
    map_type = MapType(atomic=False)
    map_type.element = element
    return Node(map_type=map_type)


def _object_metadata() -> Node:
    text, number, flag, any_scalar = Node("string"), Node("numeric"), Node("boolean"), Node("untyped")
    owner = _struct(
        dict.fromkeys(("apiVersion", "kind", "name", "uid"), text) | {"blockOwnerDeletion": flag, "controller": flag},
        atomic=True,
    )
    owners = _list_of("map", owner, "uid")
    if owners.list is not None:
        owners.list.defaults["uid"] = ""
    return _struct(
        dict.fromkeys(("generateName", "name", "namespace", "resourceVersion", "selfLink", "uid"), text)
        | {
            "annotations": _map_of(text),
            "creationTimestamp": any_scalar,
            "deletionGracePeriodSeconds": number,
            "deletionTimestamp": any_scalar,
            "finalizers": _list_of("set", text),
            "generation": number,
            "labels": _map_of(text),
            "managedFields": _list_of("atomic", DEDUCED),
            "ownerReferences": owners,
        }
    )


_TEXT = Node("string")
_METADATA = _object_metadata()


class _NodeCompiler:
    def __init__(self) -> None:
        self.nodes: dict[tuple[int, bool], Node] = {}

    def compile(self, schema: Schema, preserve: bool) -> Node:
        """The node for a schema. `preserve`: unknown fields are kept, here and in everything below."""
        whole = _WHOLE_VALUES.get(schema.ref)
        if whole is not None:
            return whole
        preserve = preserve or schema.preserve_unknown
        key = (id(schema), preserve)
        node = self.nodes.get(key)
        if node is None:
            # Registered before its parts are compiled, because a schema may contain itself.
            node = self.nodes[key] = Node()
            self._fill(node, schema, preserve)
        return node

    def _fill(self, node: Node, schema: Schema, preserve: bool) -> None:
        match schema.type:
            case "object":
                node.map = self._map(schema, preserve)
            case "array":
                node.list = self._list(schema, preserve)
            case "integer" | "number":
                node.scalar = "numeric"
            case "boolean":
                node.scalar = "boolean"
            case "string":
                node.scalar = "string" if schema.format in ("", "byte") else "untyped"
            case _:
                node.scalar = "untyped"
                node.map = self._map(schema, preserve)
                node.list = self._list(schema, preserve)

    def _map(self, schema: Schema, preserve: bool) -> MapType:
        map_type = MapType(atomic=schema.map_type == "atomic")
        for name, below in schema.properties.items():
            map_type.fields[name] = self.compile(below, preserve)
            # Only built-in types: their defaults of an empty value stand for Go fields that cannot be absent.
            if is_built_in(schema) and below.has_default and (below.default is None or below.default in ({}, "", 0, False)):
                map_type.present[name] = below.default
        if schema.embedded_resource:
            map_type.fields |= {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _METADATA}
        map_type.elements = {name: f"f:{name}" for name in map_type.fields}
        if schema.additional is None:
            map_type.element = DEDUCED if preserve or not schema.properties else None
        elif isinstance(schema.additional, Schema):
            map_type.element = self.compile(schema.additional, preserve)
        else:
            map_type.element = DEDUCED if schema.additional else None
        return map_type

    def _list(self, schema: Schema, preserve: bool) -> ListType:
        kind, keys = schema.list_type or "atomic", schema.list_map_keys
        if not schema.list_type and "merge" in schema.patch_strategy:
            # Types that only say how strategic merge treats them.
            kind, keys = ("map", (schema.patch_merge_key,)) if schema.patch_merge_key else ("set", ())
        list_type = ListType(kind, keys if kind == "map" else ())
        if schema.items is not None:
            list_type.element = self.compile(schema.items, preserve)
            for name in list_type.keys:
                below = schema.items.properties.get(name)
                if below is not None and below.has_default and below.default is not None:
                    list_type.defaults[name] = below.default
        return list_type


def compile_schema(schema: Schema) -> Node:
    """The node for the root of a type, which has apiVersion, kind and metadata like every object. Cached with the schema."""
    return compiled(schema, "apply", _compile_root)


def _compile_root(schema: Schema) -> Node:
    root = _NodeCompiler().compile(schema, False)
    map_type = MapType(atomic=False)
    map_type.element = DEDUCED
    if root.map is not None:
        map_type.fields = dict(root.map.fields)
        map_type.element = root.map.element
        map_type.present = {name: value for name, value in root.map.present.items() if name not in ("apiVersion", "kind")}
    if is_built_in(schema):
        # No built-in kind has a pointer here.
        map_type.present |= {name: {} for name in ("spec", "status") if name in map_type.fields}
    map_type.fields |= {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _METADATA}
    map_type.present["metadata"] = {}
    map_type.elements = {name: f"f:{name}" for name in map_type.fields}
    return Node(map_type=map_type)
