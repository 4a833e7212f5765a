"""The types that CEL rules see for schemas, with the sizes that the cost estimate needs (k8s.io/apiserver/pkg/cel/common)."""

from __future__ import annotations

from typing import NamedTuple

from tenantry.kube.schema.cel_names import RESERVED, escape
from tenantry.kube.schema.cel_types import BOOL, BYTES, DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, Type, list_of, map_of
from tenantry.kube.schema.structural import Schema

REQUEST_BYTES = 3 * 1024 * 1024
"""The most bytes of a request, and so of a text without a limit of its own."""
_NAME_MAX = 253
_TIME_SIZE = 32
"""The most characters of a time or a duration in JSON, with quotes."""


class Declared(NamedTuple):
    """What a rule sees of a schema. `largest`: the most characters, items or entries of a value, by upstream's rules (a
    character counts four times where `maxLength` is given; 0 for what has no size). `smallest`: the fewest bytes of a value in
    JSON. `fields` are those of an object by their CEL names, `items` are the items of a list or the values of a map."""

    type: Type
    largest: int = 0
    smallest: int = 2
    fields: dict[str, Declared] | None = None
    items: Declared | None = None

    def at(self, step: str) -> Declared | None:
        """One step below: a field, `@items`, `@values` or `@keys`."""
        if step == "@items" or step == "@values":
            return self.items
        if step == "@keys":
            return _KEY if self.type.kind == "map" else None
        return self.fields.get(step) if self.fields is not None else None

    def field(self, name: str) -> Declared | None:
        """A field as an expression names it. A word of the language is one, too, as the name of a field."""
        assert self.fields is not None
        found = self.fields.get(name)
        return self.fields.get(f"__{name}__") if found is None and name in RESERVED else found


_KEY = Declared(STRING, 0)


class Declarations:
    """The types of a schema and of those below it, which are made when they are needed. The names of object types are those of
    their places below `name`."""

    def __init__(self, name: str = "selfType") -> None:
        self._name = name
        self._known: dict[tuple[int, bool], Declared | None] = {}
        self._kept: list[Schema] = []
        self.structs: dict[str, Declared] = {}
        """The object types by their names."""

    def of(self, schema: Schema, *, is_root: bool, name: str = "") -> Declared | None:
        """The type for a schema. None where a rule may not use it. `is_root`: the object has apiVersion, kind and metadata."""
        key = (id(schema), is_root)
        if key in self._known:
            return self._known[key]
        made = self._make(schema, is_root, name or f"{self._name}{len(self._known)}")
        # A schema whose id() is a key has to live as long.
        self._kept.append(schema)
        self._known[key] = made
        return made

    def _make(self, schema: Schema, is_root: bool, name: str) -> Declared | None:
        if schema.int_or_string:
            return Declared(DYN, _text_size(schema), 1)
        match schema.type:
            case "array":
                return self._list(schema, name)
            case "object" if isinstance(schema.additional, Schema):
                return self._map(schema, schema.additional, name)
            case "object":
                return self._object(schema, is_root, name)
            case "string":
                return _string(schema)
        return _SCALARS.get(schema.type)

    def _list(self, schema: Schema, name: str) -> Declared | None:
        items = self._below(schema.items, f"{name}.@idx") if schema.items is not None else None
        if items is None:
            return None
        largest = (REQUEST_BYTES - 2) // (items.smallest + 1) if schema.max_items is None else max(0, schema.max_items)
        return Declared(list_of(items.type), largest, items=items)

    def _map(self, schema: Schema, values: Schema, name: str) -> Declared | None:
        items = self._below(values, f"{name}.@elem")
        if items is None:
            return None
        limit = schema.max_properties
        largest = (REQUEST_BYTES - 2) // (items.smallest + 6) if limit is None else max(0, limit)
        return Declared(map_of(STRING, items.type), largest, items=items)

    def _object(self, schema: Schema, is_root: bool, name: str) -> Declared:
        fields: dict[str, Declared] = {}
        smallest = 2
        properties = with_meta(schema) if is_root else schema.properties
        for field, child in properties.items():
            escaped = escape(field)
            declared = self._below(child, f"{name}.{escaped or field}")
            if declared is None:
                continue
            if escaped is not None:
                fields[escaped] = declared
            if field in schema.required and not child.has_default:
                smallest += len(field.encode()) + declared.smallest + 4
        made = Declared(Type("struct", name), 0, smallest, fields)
        self.structs[name] = made
        return made

    def _below(self, schema: Schema, name: str) -> Declared | None:
        return self.of(schema, is_root=schema.embedded_resource, name=name)


_SCALARS = {"integer": Declared(INT, 0, 1), "number": Declared(DOUBLE, 0, 1), "boolean": Declared(BOOL, 0, 4)}


def _string(schema: Schema) -> Declared:
    match schema.format:
        case "byte":
            return Declared(BYTES, REQUEST_BYTES - 2 if schema.max_length is None else max(0, schema.max_length))
        case "duration":
            return Declared(DURATION, _TIME_SIZE, 3)
        case "date":
            return Declared(TIMESTAMP, 12, 12)
        case "date-time":
            return Declared(TIMESTAMP, _TIME_SIZE, 21)
    if schema.max_length is None and schema.enum:
        return Declared(STRING, max((len(each.encode()) for each in schema.enum if type(each) is str), default=0))
    return Declared(STRING, _text_size(schema))


def _text_size(schema: Schema) -> int:
    return REQUEST_BYTES - 2 if schema.max_length is None else max(0, schema.max_length) * 4


def with_meta(schema: Schema) -> dict[str, Schema]:
    """The properties of a whole object: with apiVersion, kind, metadata.name and metadata.generateName, where they are not all
    declared already."""
    own = schema.properties
    meta = own.get("metadata") or Schema()
    declared = (own.get("kind"), own.get("apiVersion"), meta.properties.get("name"), meta.properties.get("generateName"))
    if meta.type == "object" and all(each is not None and each.type == "string" for each in declared):
        return own
    text = Schema(type="string")
    names = {"name": _capped(declared[2], _NAME_MAX), "generateName": _capped(declared[3], _NAME_MAX - 1)}
    return own | {"kind": text, "apiVersion": text, "metadata": Schema(type="object", properties=names)}


def _capped(declared: Schema | None, limit: int) -> Schema:
    given = declared.max_length if declared is not None else None
    return Schema(type="string", max_length=limit if given is None else min(given, limit))


def largest_count(smallest: int) -> int:
    """How often a value of so many bytes can occur in a request."""
    return REQUEST_BYTES // (smallest + 1)
