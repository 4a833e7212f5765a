"""Between objects and records: what memory keeps of an object beside its bytes, and how a record is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from tenantry.kube.codec import stored
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.record import NO_LABELS, Head, Record


class _Owner(msgspec.Struct, gc=False):
    uid: str = ""


class _Metadata(msgspec.Struct, gc=False):
    uid: str = ""
    labels: dict[str, str] | None = None
    deletionTimestamp: str | None = None
    ownerReferences: list[_Owner] | None = None


class _Stored(msgspec.Struct, gc=False):
    metadata: _Metadata


_decoder = msgspec.json.Decoder(_Stored)


def parse_head(key: Key, value: bytes) -> Head:
    """The head of a value read from the store. Raises ValueError where it is no stored object.

    `fields` stays empty: which fields of a type are selectable is known to its definition alone, so `field_values` computes
    them when a selector asks for them.
    """
    try:
        metadata = _decoder.decode(value).metadata
    except msgspec.DecodeError as error:
        raise ValueError(f"the stored value of {key} is damaged: {error}") from error
    return Head(
        metadata.uid,
        metadata.labels or NO_LABELS,
        NO_LABELS,
        metadata.deletionTimestamp is not None,
        tuple(owner.uid for owner in metadata.ownerReferences) if metadata.ownerReferences else (),
    )


def head_of(obj: Object, definition: ResourceDefinition) -> Head:
    """The head of an object that is in the storage version's shape, with its selectable fields."""
    metadata = obj["metadata"]
    owners = metadata.get("ownerReferences")
    selectable = _selectable(definition)
    return Head(
        metadata.get("uid", ""),
        metadata.get("labels") or NO_LABELS,
        {field: read(obj) for field, read in selectable.items()} if selectable else NO_LABELS,
        bool(metadata.get("deletionTimestamp")),
        tuple(owner.get("uid", "") for owner in owners) if owners else (),
    )


def field_values(record: Record, definition: ResourceDefinition, version: str) -> Mapping[str, str]:
    """What field selectors see of a record, metadata.name and metadata.namespace included."""
    values: dict[str, str] = {"metadata.name": record.key.name, "metadata.namespace": record.key.namespace}
    shape = definition.versions[version]
    if not shape.selectable:
        return values
    known = record.head.fields
    if shape.from_storage is None and all(field in known for field in shape.selectable):
        values.update(known)
        return values
    obj = stored.decode(record.value, definition, version, record.version)
    for field, read in shape.selectable.items():
        values[field] = read(obj)
    return values


def decode(record: Record, definition: ResourceDefinition, version: str) -> Object:
    """The record's object as `version` shows it; a fresh copy."""
    return stored.decode(record.value, definition, version, record.version)


def serve(record: Record, definition: ResourceDefinition, version: str, prefix: bytes) -> bytes:
    """The JSON of the record's object as `version` shows it; `prefix` from `stored.prefix`."""
    return stored.serve(stored.shaped(record.value, definition, version, record.version), record.version, prefix)


def copy(value: Any) -> Any:
    """A deep copy of a JSON value."""
    return orjson.loads(orjson.dumps(value))


def _selectable(definition: ResourceDefinition) -> Mapping[str, Any]:
    storage = definition.versions[definition.storage_version]
    known = storage.memo.get("records.selectable")
    if known is None:
        known = {}
        for version in definition.versions.values():
            if version.from_storage is None:
                known.update(version.selectable)
        storage.memo["records.selectable"] = known
    return known
