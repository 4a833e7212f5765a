"""Converts a decoded body to an object of a type, with the same result as Go's decoding into a struct.

A wrong JSON type is a 400 with upstream's text. Nulls, zero values that Go omits, and unknown fields are removed. Fields that Go
always writes are added. Times, base64 and quantities become canonical. The conversion is compiled once for each message and
cached with it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import orjson

from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.field_paths import Path, ReportedPaths
from tenantry.kube.go_decode import Mismatch, normaliser
from tenantry.kube.message_tables import OBJECT_META, Message
from tenantry.kube.objects import Object
from tenantry.kube.schema.compiled import compiled
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import bad_request


def check_types(obj: Object, definition: ResourceDefinition, version: str) -> None:
    """Normalises `obj` in place. Raises StatusError 400 for the first value that does not match its Go type.

    In a custom resource only the metadata is checked here; its schema checks the rest.
    """
    try:
        normalise(obj, definition.versions[version])
    except Mismatch as mismatch:
        raise bad_request(
            f'{definition.kind} in version "{version}" cannot be handled as a {definition.kind}: {mismatch.text()}'
        ) from None


def normalise(obj: Object, shape: Version) -> None:
    """Like `check_types`, but raises Mismatch, whose `text()` is Go's error. Used for the results of patches."""
    if shape.message is not None:
        message: Message = shape.message
        normaliser(message)(obj)
        return
    metadata = obj.get("metadata")
    if metadata is None:
        obj["metadata"] = {}
    elif type(metadata) is not dict:
        raise Mismatch(metadata, "v1.ObjectMeta")
    else:
        normaliser(OBJECT_META)(metadata)


NOT_OF_ITS_TYPE = (AttributeError, LookupError, TypeError, ValueError)
"""What code about a type raises for an object with values of other types. To check each object first would take too long."""


def of_its_type(value: bytes, definition: ResourceDefinition) -> Object | None:
    """A stored object of a built-in type, None where it is none: a workspace may have had a custom type of that name, with other
    objects, before the type was built in."""
    obj: Object = orjson.loads(value)
    return obj if _has_type(obj, definition.versions[definition.storage_version]) else None


def is_of_its_type(obj: Object, shape: Version) -> bool:
    """Like `of_its_type`, for a decoded object in the shape of a version, which stays as it is."""
    return _has_type(deepcopy(obj), shape)


def _has_type(obj: Object, shape: Version) -> bool:
    try:
        normalise(obj, shape)
    except Mismatch:
        return False
    return True


def unknown_fields(obj: Object, schema: Schema) -> list[str]:
    """Drops the fields that `schema` does not have. Returns the paths of the first hundred, in the order of the document
    (`rules[0].verb`)."""
    found = ReportedPaths()
    _drop(obj, schema, None, found)
    return found.paths


def _drop(value: Any, schema: Schema, path: Path, found: ReportedPaths) -> None:
    if schema.preserve_unknown:
        return
    kind = type(value)
    if kind is dict:
        properties = schema.properties
        if properties:
            unknown: list[str] = []
            deep = compiled(schema, "unknown_fields", _deep)
            for key, item in value.items():
                if key not in properties:
                    unknown.append(key)
                    found.add((path, key))
                elif key in deep and (type(item) is dict or type(item) is list):
                    _drop(item, deep[key], (path, key), found)
            for key in unknown:
                del value[key]
        elif isinstance(schema.additional, Schema) and schema.additional.type in ("object", "array"):
            for key, item in value.items():
                _drop(item, schema.additional, (path, key), found)
    elif kind is list and schema.items is not None and schema.items.properties:
        for index, item in enumerate(value):
            _drop(item, schema.items, (path, index), found)


def _deep(schema: Schema) -> dict[str, Schema]:
    """The fields of an object whose values may have unknown fields. Maps and lists of plain values have none."""
    return {
        name: below
        for name, below in schema.properties.items()
        if below.properties
        or (below.items is not None and below.items.properties)
        or (isinstance(below.additional, Schema) and below.additional.type in ("object", "array"))
    }
