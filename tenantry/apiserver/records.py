"""Conversion between objects and records. A record has the stored bytes of an object and its `Head`, the parts that memory keeps
decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from tenantry.kube.codec import json_slices, stored
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.record import NO_LABELS, Head, Record

_MARK = ""
"""The key in `Head.fields` for the schema mark (`stored.schema_mark`) of a value. No field has this name."""


class ConvertedRecord(Record, frozen=True, gc=False):
    """A record as if it were stored in another version than it is: what a webhook has made of its object."""

    shown_in: str


class _OwnerReference(msgspec.Struct, gc=False):
    uid: str = ""


class _Metadata(msgspec.Struct, gc=False):
    uid: str = ""
    labels: dict[str, str] | None = None
    deletionTimestamp: str | None = None
    ownerReferences: list[_OwnerReference] | None = None


class _Stored(msgspec.Struct, gc=False):
    metadata: _Metadata


_decoder = msgspec.json.Decoder(_Stored)


def parse_head(key: Key, value: bytes) -> Head:
    """The head of a value from the store. Raises ValueError where the value is not a stored object.

    `fields` stays empty: only the definition of a type knows which fields are selectable, so `field_values` computes them when a
    selector asks for them.
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


def head_of(obj: Object, definition: ResourceDefinition, *, normalised: bool = True) -> Head:
    """The head of an object in the shape of the storage version. `normalised`: that version's schema has already pruned and
    defaulted it, so readers need not do it again."""
    metadata = obj["metadata"]
    owners = metadata.get("ownerReferences")
    selectable, mark = _selectable(definition)
    marked = mark if normalised else NO_LABELS
    return Head(
        metadata.get("uid", ""),
        metadata.get("labels") or NO_LABELS,
        {**marked, **{field: read(obj) for field, read in selectable.items()}} if selectable else marked,
        bool(metadata.get("deletionTimestamp")),
        tuple(owner.get("uid", "") for owner in owners) if owners else (),
    )


def field_values(record: Record, definition: ResourceDefinition, version: str) -> Mapping[str, str]:
    """The values for field selectors, including metadata.name and metadata.namespace."""
    values: dict[str, str] = {"metadata.name": record.key.name, "metadata.namespace": record.key.namespace}
    shape = definition.versions[version]
    if not shape.selectable:
        return values
    known = record.head.fields
    if shape.from_storage is None and all(field in known for field in shape.selectable):
        values.update(known)
        return values
    obj = decode(record, definition, version)
    for field, read in shape.selectable.items():
        values[field] = read(obj)
    return values


def decode(record: Record, definition: ResourceDefinition, version: str) -> Object:
    """The record's object in the shape of `version`; a new copy."""
    return decode_at(record, definition, version, record.version)


def decode_at(record: Record, definition: ResourceDefinition, version: str, resource_version: int) -> Object:
    """`decode`, with another resourceVersion: that of a deletion."""
    mark = record.head.fields.get(_MARK, "")
    return stored.decode(record.value, definition, version, resource_version, written_under=mark)


def shaped(record: Record, definition: ResourceDefinition, version: str) -> bytes:
    """The record's stored value in the shape of `version`."""
    mark = record.head.fields.get(_MARK, "")
    return stored.shaped(record.value, definition, version, record.version, written_under=mark)


def are_in_shape(found: Sequence[Record], definition: ResourceDefinition, version: str) -> bool:
    """Whether the stored values of these records are known to be what is served in `version`."""
    if stored.version_mark(definition):
        return False
    mark = stored.schema_mark(definition, definition.versions[version])
    return bool(mark) and all(record.head.fields.get(_MARK) == mark for record in found)


def serve(record: Record, definition: ResourceDefinition, version: str, prefix: bytes) -> bytes:
    """The JSON of the record's object in the shape of `version`. `prefix` is from `stored.prefix`."""
    return stored.serve(shaped(record, definition, version), record.version, prefix)


def written_in(record: Record, definition: ResourceDefinition) -> str:
    """The version in which the record's value is."""
    return record.shown_in if type(record) is ConvertedRecord else stored.written_in(record.value, definition)


def copy(value: Any) -> Any:
    """A deep copy of a JSON value."""
    return json_slices.loads(orjson.dumps(value))


def _selectable(definition: ResourceDefinition) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """The part of an object that a head is made from, and the mark of its schema, which all heads share."""
    storage = definition.versions[definition.storage_version]
    known = storage.memo.get("records.selectable")
    if known is None:
        readers: dict[str, Any] = {}
        for version in definition.versions.values():
            if version.from_storage is None:
                readers.update(version.selectable)
        mark = stored.schema_mark(definition, storage)
        known = storage.memo["records.selectable"] = (readers, {_MARK: mark} if mark else NO_LABELS)
    return known
