"""The stored form of an object, and how it becomes the served one without being decoded.

A stored value is JSON that begins with `{"metadata":{` and holds neither apiVersion nor kind nor metadata.resourceVersion.
Serving splices: `prefix` + the version + the rest of the value. Values are written in the shape of the storage version.
"""

from __future__ import annotations

import hashlib
from itertools import count

import orjson

from tenantry.base.cache import Cache, cached
from tenantry.kube.codec import json_slices
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.exact import exact
from tenantry.kube.objects import Object, group_version
from tenantry.kube.schema.default import MAX_MADE_BYTES, default_within
from tenantry.kube.schema.parse import to_openapi
from tenantry.kube.schema.prune import prune

HEAD = b'{"metadata":{'
AFTER_HEAD = slice(len(HEAD), None)
"""Made once: to make a slice takes as long as to copy what it cuts out."""
_NOT_STORED = frozenset(("apiVersion", "kind", "metadata"))
_shaped: Cache[tuple[int, int], bytes] = Cache("shaped_values", bytes_max=24 << 20)
"""By version of a type and resource version: values that were written under another schema, or are shown in another version."""
_SAME = b""
"""Stands for a value that needs nothing done."""
_numbers = count()
_READ_MORE, _READ_TIMES = 256 * 1024, 8
"""What defaults may add when a value is read, beside what they may add to it when it is written: so many bytes, and so many times
the value. Readers pay for what a schema's owner changed, and a list for each of its items."""


def encode(obj: Object, rest: bytes | None = None) -> bytes:
    """The stored value of an object that is in the storage version's shape. The object is not changed.

    `rest` is what `encode_rest` made of it, if it did. The metadata must not be empty. Raises TypeError for what JSON cannot
    hold.
    """
    metadata = obj["metadata"]
    if "resourceVersion" in metadata:
        metadata = {key: value for key, value in metadata.items() if key != "resourceVersion"}
    if rest is not None:
        return b'{"metadata":%b%b' % (orjson.dumps(metadata), b"," + rest[1:] if len(rest) > 2 else rest[1:])
    stored: Object = {"metadata": metadata}
    for key, value in obj.items():
        if key not in _NOT_STORED:
            stored[key] = value
    return exact(orjson.dumps(stored))


def encode_rest(obj: Object) -> bytes:
    """What of a stored value is not metadata."""
    return orjson.dumps({key: value for key, value in obj.items() if key not in _NOT_STORED})


def decode(
    value: bytes, definition: ResourceDefinition, version: str, resource_version: int, *, written_under: str = ""
) -> Object:
    """The whole object as `version` shows it: converted, pruned and defaulted. A fresh copy that the caller may change.

    `written_under` is the `schema_mark` of the schema that the value was last brought into the form of.
    """
    shape = definition.versions[version]
    obj = json_slices.loads(value)
    if not _serves_as_is(definition, shape, written_under):
        obj = _reshape(obj, definition, shape, len(value))
    whole: Object = {"apiVersion": group_version(definition.group, version), "kind": definition.kind}
    whole.update(obj)
    whole["metadata"]["resourceVersion"] = str(resource_version)
    return whole


def is_plain(definition: ResourceDefinition, shape: Version) -> bool:
    """Whether stored values of the type are served as they are, whatever they were written under.

    A custom type's schema may have changed after a value was written, and readers see the defaults that it gained and not the
    fields that it lost at once (upstream prunes and defaults what it decodes from the store). Built-in types change with the
    server alone.
    """
    return shape.from_storage is None and not definition.custom


def schema_mark(definition: ResourceDefinition, shape: Version) -> str:
    """What tells values that need no work from others: equal for equal schemas, kept beside a value in memory and not stored.
    Empty where every value needs work (conversion) or none does."""
    known = shape.memo.get("stored.mark")
    if known is None:
        known = ""
        if definition.custom and shape.from_storage is None and shape.name == definition.storage_version:
            text = orjson.dumps(to_openapi(shape.schema), option=orjson.OPT_SORT_KEYS)
            known = hashlib.blake2b(text, digest_size=12).hexdigest()
        shape.memo["stored.mark"] = known
    return known


def shaped(
    value: bytes, definition: ResourceDefinition, version: str, resource_version: int, *, written_under: str = ""
) -> bytes:
    """The stored value in the shape of `version`: the same bytes where the type is plain or nothing differs.

    What was computed is remembered by resource version, so a value is decoded once for all its readers.
    """
    shape = definition.versions[version]
    if _serves_as_is(definition, shape, written_under):
        return value
    number: int | None = shape.memo.get("stored.number")
    if number is None:
        number = shape.memo["stored.number"] = next(_numbers)
    key = (number, resource_version)
    known = _shaped.get(key)
    if known is None:
        known = encode(_reshape(json_slices.loads(value), definition, shape, len(value)))
        if known == value:
            known = _SAME
        _shaped.put(key, known)
    return known or value


def prefix(definition: ResourceDefinition, version: str, *, item: bool = False) -> bytes:
    """What precedes the resourceVersion of a served object.

    `item`: as an item of a list, where built-in types bear no apiVersion and kind (custom ones do).
    """
    if item and not definition.custom:
        return _prefix("", "")
    return _prefix(group_version(definition.group, version), definition.kind)


def serve(value: bytes, resource_version: int, prefix: bytes) -> bytes:
    """The JSON of a served object, from its stored value."""
    return b'%b%d",%b' % (prefix, resource_version, value[AFTER_HEAD])


@cached("served_prefixes", bytes_max=512 << 10)
def _prefix(api_version: str, kind: str) -> bytes:
    head = b'{"apiVersion":%b,"kind":%b,' % (orjson.dumps(api_version), orjson.dumps(kind)) if kind else b"{"
    return head + b'"metadata":{"resourceVersion":"'


def _serves_as_is(definition: ResourceDefinition, shape: Version, written_under: str) -> bool:
    return is_plain(definition, shape) or (bool(written_under) and written_under == schema_mark(definition, shape))


def refuses_defaults(value: bytes, definition: ResourceDefinition) -> bool:
    """Whether a stored value is one that could not be written today, because the defaults of its schema add too much to it."""
    if not definition.custom:
        return False
    obj = json_slices.loads(value)
    obj.pop("metadata")
    return default_within(obj, definition.versions[definition.storage_version].schema, MAX_MADE_BYTES) is None


def _reshape(obj: Object, definition: ResourceDefinition, shape: Version, size: int) -> Object:
    """`size` is that of the stored value. Never refused: what is stored can be read, with all defaults or with none."""
    if definition.custom:
        # Reading fills in the storage version's defaults and no other's, as upstream does.
        metadata = obj.pop("metadata")
        most = min(MAX_MADE_BYTES, _READ_MORE + _READ_TIMES * size)
        default_within(obj, definition.versions[definition.storage_version].schema, most)
        obj = {"metadata": metadata, **obj}
    if shape.from_storage is not None:
        obj["apiVersion"] = group_version(definition.group, definition.storage_version)
        obj["kind"] = definition.kind
        obj = shape.from_storage(obj) or obj
        obj.pop("apiVersion", None)
        obj.pop("kind", None)
    if definition.custom:
        # Metadata is the server's, whatever a schema says of it.
        metadata = obj.pop("metadata")
        prune(obj, shape.schema)
        obj = {**obj, "metadata": metadata}
    return obj
