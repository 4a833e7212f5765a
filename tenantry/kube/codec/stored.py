"""The stored form of an object, and how it becomes the served one without being decoded.

A stored value is JSON that begins with `{"metadata":{` and holds neither apiVersion nor kind nor metadata.resourceVersion.
Serving splices: `prefix` + the version + the rest of the value. Values are written in the shape of the storage version.
"""

from __future__ import annotations

from functools import lru_cache

import orjson

from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object, group_version
from tenantry.kube.schema.structural import Schema

HEAD = b'{"metadata":{'
HEAD_LENGTH = len(HEAD)
_NOT_STORED = frozenset(("apiVersion", "kind", "metadata"))
_SHAPED_LIMIT = 16_384


def encode(obj: Object) -> bytes:
    """The stored value of an object that is in the storage version's shape. The object is not changed.

    Raises TypeError for what JSON cannot hold; the metadata must not be empty.
    """
    metadata = obj["metadata"]
    if "resourceVersion" in metadata:
        metadata = {key: value for key, value in metadata.items() if key != "resourceVersion"}
    stored: Object = {"metadata": metadata}
    for key, value in obj.items():
        if key not in _NOT_STORED:
            stored[key] = value
    return exact(orjson.dumps(stored))


def exact(encoded: bytes) -> bytes:
    """The same bytes in a buffer of their own size. What orjson returns keeps the 1 to 4 KiB that it was encoded in, and these
    values stay in memory for as long as their object."""
    return bytes(memoryview(encoded))


def decode(value: bytes, definition: ResourceDefinition, version: str, resource_version: int) -> Object:
    """The whole object as `version` shows it: converted and defaulted. A fresh copy that the caller may change."""
    shape = definition.versions[version]
    obj = orjson.loads(value)
    if not is_plain(definition, shape):
        obj = _reshape(obj, definition, shape)
    whole: Object = {"apiVersion": group_version(definition.group, version), "kind": definition.kind}
    whole.update(obj)
    whole["metadata"]["resourceVersion"] = str(resource_version)
    return whole


def is_plain(definition: ResourceDefinition, shape: Version) -> bool:
    """Whether stored values of the type are served as they are: nothing to convert, nothing to default.

    A custom type's schema may have gained defaults after a value was written, and readers see them at once (upstream
    defaults when it decodes from the store). Built-in types are defaulted on write alone.
    """
    known = shape.memo.get("stored.plain")
    if known is None:
        known = shape.from_storage is None and not (definition.custom and _has_defaults(shape.schema, set()))
        shape.memo["stored.plain"] = known
    return known


def shaped(value: bytes, definition: ResourceDefinition, version: str, resource_version: int) -> bytes:
    """The stored value in the shape of `version`: the same bytes where the type is plain or nothing differs.

    What was computed is remembered by resource version, so a value is decoded once for all its readers.
    """
    shape = definition.versions[version]
    if is_plain(definition, shape):
        return value
    memo: dict[int, bytes] = shape.memo.setdefault("stored.shaped", {})
    known = memo.get(resource_version)
    if known is None:
        known = encode(_reshape(orjson.loads(value), definition, shape))
        if known == value:
            known = value
        if len(memo) >= _SHAPED_LIMIT:
            memo.clear()
        memo[resource_version] = known
    return known


def prefix(definition: ResourceDefinition, version: str, *, item: bool = False) -> bytes:
    """What precedes the resourceVersion of a served object.

    `item`: as an item of a list, where built-in types bear no apiVersion and kind (custom ones do).
    """
    if item and not definition.custom:
        return _prefix("", "")
    return _prefix(group_version(definition.group, version), definition.kind)


def serve(value: bytes, resource_version: int, prefix: bytes) -> bytes:
    """The JSON of a served object, from its stored value."""
    return b'%b%d",%b' % (prefix, resource_version, value[HEAD_LENGTH:])


@lru_cache(maxsize=4096)
def _prefix(api_version: str, kind: str) -> bytes:
    head = b'{"apiVersion":%b,"kind":%b,' % (orjson.dumps(api_version), orjson.dumps(kind)) if kind else b"{"
    return head + b'"metadata":{"resourceVersion":"'


def _reshape(obj: Object, definition: ResourceDefinition, shape: Version) -> Object:
    if shape.from_storage is not None:
        obj["apiVersion"] = group_version(definition.group, definition.storage_version)
        obj["kind"] = definition.kind
        obj = shape.from_storage(obj) or obj
        obj.pop("apiVersion", None)
        obj.pop("kind", None)
    if definition.custom:
        from tenantry.kube.schema.default import default

        default(obj, shape.schema)
    return obj


def _has_defaults(schema: Schema, seen: set[int]) -> bool:
    if id(schema) in seen:
        return False
    seen.add(id(schema))
    if schema.has_default:
        return True
    children = [*schema.properties.values()]
    if schema.items is not None:
        children.append(schema.items)
    if isinstance(schema.additional, Schema):
        children.append(schema.additional)
    return any(_has_defaults(child, seen) for child in children)
