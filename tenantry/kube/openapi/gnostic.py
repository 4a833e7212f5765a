"""Swagger 2.0 documents in protobuf, which client-go and old kubectl ask for: the messages of gnostic's
`openapiv2/OpenAPIv2.proto`.

Maps are lists of named entries there, a value of any type is its JSON as text, and names that begin with `x-` are extensions.
Parts of a document are encoded with the tag under which the whole contains them, so that a document is a join.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import pack
from typing import Any

import orjson

from tenantry.kube.codec.protobuf_encoding import delimited, varint
from tenantry.kube.objects import Object

Writer = Callable[[bytes, Any], bytes]
"""(tag, value) → the field."""

_VARINT, _FIXED64, _BYTES = 0, 1, 2


def path_entry(path: str, item: Object) -> bytes:
    """A path item, as a field of Paths."""
    return delimited(_tag(2), _text(_tag(1), path) + delimited(_tag(2), _path_item(item)))


def definition_entry(name: str, schema: Object) -> bytes:
    """A definition, as a field of Definitions."""
    return _named(_tag(1), name, _schema(schema))


def document_parts(info: Object, paths_bytes: int, definitions_bytes: int, parameters: Object) -> tuple[bytes, bytes, bytes]:
    """What stands before the path entries, between them and the definitions, and after these. The numbers are the bytes of all
    entries together."""
    shown = _text(_tag(1), info["title"]) + _text(_tag(2), info["version"])
    head = _text(_tag(1), "2.0") + delimited(_tag(2), shown)
    entries = b"".join([_named(_tag(1), name, _parameter(parameters[name])) for name in sorted(parameters)])
    return (
        head + _tag(8) + varint(paths_bytes),
        _tag(9) + varint(definitions_bytes),
        delimited(_tag(10), entries),
    )


def _tag(number: int, wire: int = _BYTES) -> bytes:
    return varint(number << 3 | wire)


def _named(tag: bytes, name: str, raw: bytes) -> bytes:
    return delimited(tag, _text(_tag(1), name) + delimited(_tag(2), raw))


def _text(tag: bytes, value: str) -> bytes:
    return delimited(tag, value.encode())


def _texts(tag: bytes, values: list[str]) -> bytes:
    return b"".join([_text(tag, value) for value in values])


def _any(tag: bytes, value: Any) -> bytes:
    """A value of any type. JSON is YAML."""
    return delimited(tag, delimited(_tag(2), orjson.dumps(value)))


def _anys(tag: bytes, values: list[Any]) -> bytes:
    return b"".join([_any(tag, value) for value in values])


def _integer(tag: bytes, value: float) -> bytes:
    return tag + varint(int(value))


def _double(tag: bytes, value: float) -> bytes:
    return tag + pack("<d", value)


def _fields(numbers: Mapping[str, tuple[bytes, Writer]], extensions: bytes, value: Object) -> bytes:
    parts = [write(tag, value[name]) for name, (tag, write) in numbers.items() if name in value]
    parts += [_extension(extensions, name, value[name]) for name in sorted(value) if name.startswith("x-")]
    return b"".join(parts)


def _extension(tag: bytes, name: str, value: Any) -> bytes:
    return delimited(tag, _text(_tag(1), name) + _any(_tag(2), value))


def _schema(value: Object) -> bytes:
    return _fields(_SCHEMA, _tag(31), value)


def _schema_field(tag: bytes, value: Object) -> bytes:
    return delimited(tag, _schema(value))


def _schemas(tag: bytes, values: list[Object]) -> bytes:
    return b"".join([_schema_field(tag, value) for value in values])


def _type(tag: bytes, value: str | list[str]) -> bytes:
    return delimited(tag, _texts(_tag(1), [value] if isinstance(value, str) else value))


def _items(tag: bytes, value: Object | list[Object]) -> bytes:
    return delimited(tag, _schemas(_tag(1), value if isinstance(value, list) else [value]))


def _additional(tag: bytes, value: Object | bool) -> bytes:
    one = _integer(_tag(2, _VARINT), value) if isinstance(value, bool) else _schema_field(_tag(1), value)
    return delimited(tag, one)


def _properties(tag: bytes, value: Mapping[str, Object]) -> bytes:
    return delimited(tag, b"".join([_named(_tag(1), name, _schema(schema)) for name, schema in value.items()]))


def _documentation(tag: bytes, value: Object) -> bytes:
    shown = [_text(_tag(number), value[name]) for number, name in ((1, "description"), (2, "url")) if value.get(name)]
    return delimited(tag, b"".join(shown))


_SCHEMA: dict[str, tuple[bytes, Writer]] = {
    "$ref": (_tag(1), _text),
    "format": (_tag(2), _text),
    "title": (_tag(3), _text),
    "description": (_tag(4), _text),
    "default": (_tag(5), _any),
    "multipleOf": (_tag(6, _FIXED64), _double),
    "maximum": (_tag(7, _FIXED64), _double),
    "exclusiveMaximum": (_tag(8, _VARINT), _integer),
    "minimum": (_tag(9, _FIXED64), _double),
    "exclusiveMinimum": (_tag(10, _VARINT), _integer),
    "maxLength": (_tag(11, _VARINT), _integer),
    "minLength": (_tag(12, _VARINT), _integer),
    "pattern": (_tag(13), _text),
    "maxItems": (_tag(14, _VARINT), _integer),
    "minItems": (_tag(15, _VARINT), _integer),
    "uniqueItems": (_tag(16, _VARINT), _integer),
    "maxProperties": (_tag(17, _VARINT), _integer),
    "minProperties": (_tag(18, _VARINT), _integer),
    "required": (_tag(19), _texts),
    "enum": (_tag(20), _anys),
    "additionalProperties": (_tag(21), _additional),
    "type": (_tag(22), _type),
    "items": (_tag(23), _items),
    "allOf": (_tag(24), _schemas),
    "properties": (_tag(25), _properties),
    "readOnly": (_tag(27, _VARINT), _integer),
    "externalDocs": (_tag(29), _documentation),
    "example": (_tag(30), _any),
}

_QUERY: dict[str, tuple[bytes, Writer]] = {
    "required": (_tag(1, _VARINT), _integer),
    "in": (_tag(2), _text),
    "description": (_tag(3), _text),
    "name": (_tag(4), _text),
    "type": (_tag(6), _text),
    "uniqueItems": (_tag(20, _VARINT), _integer),
}
_PATH: dict[str, tuple[bytes, Writer]] = {**_QUERY, "type": (_tag(5), _text), "uniqueItems": (_tag(19, _VARINT), _integer)}
_BODY: dict[str, tuple[bytes, Writer]] = {
    "description": (_tag(1), _text),
    "name": (_tag(2), _text),
    "in": (_tag(3), _text),
    "required": (_tag(4, _VARINT), _integer),
    "schema": (_tag(5), _schema_field),
}


def _parameter(value: Object) -> bytes:
    if value["in"] == "body":
        return delimited(_tag(1), _fields(_BODY, _tag(6), value))
    if value["in"] == "query":
        return delimited(_tag(2), delimited(_tag(3), _fields(_QUERY, _tag(23), value)))
    return delimited(_tag(2), delimited(_tag(4), _fields(_PATH, _tag(22), value)))


def _parameters(tag: bytes, values: list[Object]) -> bytes:
    """Each is a reference, or a parameter of its own."""
    return b"".join(
        [
            delimited(tag, delimited(_tag(2), _text(_tag(1), value["$ref"])))
            if "$ref" in value
            else delimited(tag, delimited(_tag(1), _parameter(value)))
            for value in values
        ]
    )


def _responses(tag: bytes, value: Mapping[str, Object]) -> bytes:
    entries = [_named(_tag(1), code, delimited(_tag(1), _fields(_RESPONSE, _tag(5), value[code]))) for code in sorted(value)]
    return delimited(tag, b"".join(entries))


def _answer(tag: bytes, value: Object) -> bytes:
    return delimited(tag, _schema_field(_tag(1), value))


def _operation(tag: bytes, value: Object) -> bytes:
    return delimited(tag, _fields(_OPERATION, _tag(13), value))


_RESPONSE: dict[str, tuple[bytes, Writer]] = {"description": (_tag(1), _text), "schema": (_tag(2), _answer)}
_OPERATION: dict[str, tuple[bytes, Writer]] = {
    "tags": (_tag(1), _texts),
    "description": (_tag(3), _text),
    "operationId": (_tag(5), _text),
    "produces": (_tag(6), _texts),
    "consumes": (_tag(7), _texts),
    "parameters": (_tag(8), _parameters),
    "responses": (_tag(9), _responses),
    "schemes": (_tag(10), _texts),
}
_PATH_ITEM: dict[str, tuple[bytes, Writer]] = {
    "get": (_tag(2), _operation),
    "put": (_tag(3), _operation),
    "post": (_tag(4), _operation),
    "delete": (_tag(5), _operation),
    "patch": (_tag(8), _operation),
    "parameters": (_tag(9), _parameters),
}


def _path_item(item: Object) -> bytes:
    return _fields(_PATH_ITEM, _tag(10), item)
