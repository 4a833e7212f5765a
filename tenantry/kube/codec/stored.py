"""The stored form of an object, and how it becomes the served JSON without being decoded.

A stored value is JSON that begins with `{"metadata":{`. It has no apiVersion, kind and metadata.resourceVersion. The served JSON
is put together from `prefix`, the version and the rest of the value. Values are written in the shape of the storage version.

The storage version of a custom type may change. A value that is in another version than `first_stored_version` says so: its last
field is then `"apiVersion":"<version>"`, which is never served.
"""

from __future__ import annotations

import hashlib
import re
from itertools import count

import orjson

from tenantry.base.cache import Cache, cached
from tenantry.kube.codec import json_slices
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.exact import exact
from tenantry.kube.numbers import in_go_form
from tenantry.kube.objects import Object, group_version
from tenantry.kube.schema.default import MAX_DEFAULTS_BYTES, default_within, holds_floats
from tenantry.kube.schema.parse import to_openapi
from tenantry.kube.schema.prune import prune

HEAD = b'{"metadata":{'
AFTER_HEAD = slice(len(HEAD), None)
"""Made once, because making a slice object takes as long as copying the bytes."""
_NOT_STORED = frozenset(("apiVersion", "kind", "metadata"))
_MARKED = re.compile(rb',"apiVersion":"([a-z0-9-]{1,63})"\}\Z')
"""Only the last field of the object itself ends so: what is inside of another one has more brackets behind it, and quotes inside
of texts are escaped."""
_MARK_BYTES_MAX = len(',"apiVersion":""}') + 63
_shaped: Cache[tuple[int, int], bytes] = Cache("shaped_values", bytes_max=24 << 20)
"""Reshaped values, by version of a type and resource version: values that were written under another schema, or are shown in
another version."""
_SAME = b""
"""Means that the value is served as it is."""
_numbers = count()
_READ_MORE, _READ_TIMES = 256 * 1024, 8
"""How much defaults may add when a value is read: a number of bytes, and in addition a multiple of the value's size. Readers pay
for a change of the schema, and a list pays for each of its items."""


def encode(obj: Object, rest: bytes | None = None, *, floats: bool = False, mark: str = "") -> bytes:
    """The stored value of an object in the storage version's shape. The object is not changed.

    `rest` is the result of `encode_rest`, if it was called already. `floats`: it may have numbers that are not whole
    (`schema.default.holds_floats`), which get Go's form. `mark`: the result of `version_mark`. The metadata must not be empty.
    Raises TypeError for a value that JSON cannot represent.
    """
    if mark:
        return b'%b,"apiVersion":"%b"}' % (encode(obj, rest, floats=floats)[:-1], mark.encode())
    if floats and rest is None:
        rest = encode_rest(obj, floats=True)
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


def encode_rest(obj: Object, *, floats: bool) -> bytes:
    """The part of a stored value without the metadata. `floats`: as in `encode`."""
    rest = orjson.dumps({key: value for key, value in obj.items() if key not in _NOT_STORED})
    return in_go_form(rest) if floats else rest


def version_mark(definition: ResourceDefinition) -> str:
    """What values of the type are marked with that are written now: the storage version, or nothing if that is the version in
    which values without a mark are."""
    first = definition.first_stored_version
    return definition.storage_version if first and first != definition.storage_version else ""


def written_in(value: bytes, definition: ResourceDefinition) -> str:
    """The version in which a stored value is."""
    if value.endswith(b'"}') and (found := _MARKED.search(value, len(value) - _MARK_BYTES_MAX)) is not None:
        return found[1].decode()
    return definition.first_stored_version or definition.storage_version


def unmarked(value: bytes) -> bytes:
    """The value without the version in which it is."""
    found = _MARKED.search(value, len(value) - _MARK_BYTES_MAX) if value.endswith(b'"}') else None
    return value if found is None else b"%b}" % value[: found.start()]


def decode(
    value: bytes, definition: ResourceDefinition, version: str, resource_version: int, *, written_under: str = ""
) -> Object:
    """The whole object in the shape of `version`: converted, pruned and defaulted. A new copy that the caller may change.

    `written_under` is the `schema_mark` of the schema that last pruned and defaulted the value.
    """
    shape = definition.versions[version]
    obj = json_slices.loads(value)
    if not _serves_as_is(definition, shape, written_under):
        obj = _reshape(obj, definition, shape, len(value))
    obj.pop("apiVersion", None)
    whole: Object = {"apiVersion": group_version(definition.group, version), "kind": definition.kind}
    whole.update(obj)
    whole["metadata"]["resourceVersion"] = str(resource_version)
    return whole


def is_plain(definition: ResourceDefinition, shape: Version) -> bool:
    """Whether stored values of the type are always served as they are.

    The schema of a custom type may have changed after a value was written. Readers then see new defaults, and do not see removed
    fields (upstream prunes and defaults when it decodes values from the store). Built-in types change only with the program.
    """
    return shape.from_storage is None and not definition.custom


def schema_mark(definition: ResourceDefinition, shape: Version) -> str:
    """Identifies the schema by which a value was pruned and defaulted. Equal for equal schemas. It is kept beside a value in
    memory and is not stored. Empty where every value has to be reshaped (conversion) or no value has."""
    known = shape.memo.get("stored.mark")
    if known is None:
        known = ""
        if definition.custom and shape.from_storage is None and shape.name == definition.storage_version:
            text = orjson.dumps(to_openapi(shape.schema), option=orjson.OPT_SORT_KEYS)
            known = hashlib.blake2b(text, digest_size=12).hexdigest()
            if mark := version_mark(definition):
                # Such a value is not what is served, and is none without that mark to another definition.
                known = f"{known}/{mark}"
        shape.memo["stored.mark"] = known
    return known


def sharing_mark(definition: ResourceDefinition, shape: Version, variant: Version) -> Version:
    """`variant`, whose schema prunes and defaults as that of `shape` does where it matters to its readers: a value in the one
    shape counts as one in the other. `definition`: that of `shape`."""
    variant.memo["stored.mark"] = schema_mark(definition, shape)
    return variant


def shaped(
    value: bytes, definition: ResourceDefinition, version: str, resource_version: int, *, written_under: str = ""
) -> bytes:
    """The stored value in the shape of `version`. The same bytes where the type is plain or nothing differs.

    The result is cached by resource version, so that a value is decoded once for all its readers.
    """
    shape = definition.versions[version]
    if _serves_as_is(definition, shape, written_under):
        return unmarked(value) if definition.first_stored_version else value
    number: int | None = shape.memo.get("stored.number")
    if number is None:
        number = shape.memo["stored.number"] = next(_numbers)
    key = (number, resource_version)
    known = _shaped.get(key)
    if known is None:
        reshaped = _reshape(json_slices.loads(value), definition, shape, len(value))
        known = encode(reshaped, floats=holds_floats(shape.schema))
        if known == value:
            # A value with a mark never is.
            known = _SAME
        _shaped.put(key, known)
    return known or value


def prefix(definition: ResourceDefinition, version: str, *, item: bool = False) -> bytes:
    """The JSON in front of the resourceVersion of a served object.

    `item`: as an item of a list. There built-in types have no apiVersion and kind, and custom types have them.
    """
    if item and not definition.custom:
        return _prefix("", "")
    return _prefix(group_version(definition.group, version), definition.kind)


def serve(value: bytes, resource_version: int, prefix: bytes) -> bytes:
    """The JSON of a served object, made from its stored value."""
    return b'%b%d",%b' % (prefix, resource_version, value[AFTER_HEAD])


@cached("served_prefixes", bytes_max=512 << 10)
def _prefix(api_version: str, kind: str) -> bytes:
    head = b'{"apiVersion":%b,"kind":%b,' % (orjson.dumps(api_version), orjson.dumps(kind)) if kind else b"{"
    return head + b'"metadata":{"resourceVersion":"'


def _serves_as_is(definition: ResourceDefinition, shape: Version, written_under: str) -> bool:
    return is_plain(definition, shape) or (bool(written_under) and written_under == schema_mark(definition, shape))


def refuses_defaults(value: bytes, definition: ResourceDefinition) -> bool:
    """Whether a stored value could not be written today, because the defaults of its schema add too much to it."""
    if not definition.custom:
        return False
    obj = json_slices.loads(value)
    obj.pop("metadata")
    return default_within(obj, definition.versions[definition.storage_version].schema, MAX_DEFAULTS_BYTES) is None


def reshaped(obj: Object, definition: ResourceDefinition, version: str) -> Object:
    """A decoded stored object in the shape of a version of another definition than the one that it is read by. It may have
    apiVersion and kind, which are dropped, and is changed."""
    for name in ("apiVersion", "kind"):
        obj.pop(name, None)
    return _reshape(obj, definition, definition.versions[version], 0)


def _reshape(obj: Object, definition: ResourceDefinition, shape: Version, size: int) -> Object:
    """The value in the shape of a version. `size` is that of the stored value. It never fails: a stored value can always be read,
    with all defaults or with none."""
    if definition.custom:
        # Reading prunes by the storage version, and adds its defaults only, as upstream does.
        metadata = obj.pop("metadata")
        obj.pop("apiVersion", None)
        if shape.name != definition.storage_version:
            prune(obj, definition.versions[definition.storage_version].schema)
        most = min(MAX_DEFAULTS_BYTES, _READ_MORE + _READ_TIMES * size)
        default_within(obj, definition.versions[definition.storage_version].schema, most)
        obj = {"metadata": metadata, **obj}
    if shape.from_storage is not None:
        obj["apiVersion"] = group_version(definition.group, definition.storage_version)
        obj["kind"] = definition.kind
        obj = shape.from_storage(obj) or obj
        obj.pop("apiVersion", None)
        obj.pop("kind", None)
    if definition.custom:
        # The server owns the metadata: a schema does not prune or default it.
        metadata = obj.pop("metadata")
        prune(obj, shape.schema)
        obj = {**obj, "metadata": metadata}
    return obj
