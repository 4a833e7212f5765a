"""An object as memory keeps it: bytes to serve, and the few facts that selectors and indexes need."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tenantry.storage.keys import Key

NO_LABELS: Mapping[str, str] = {}


class Head(msgspec.Struct, frozen=True, gc=False):
    """What is looked at without decoding a value. `fields` holds a type's selectable fields, precomputed at write."""

    uid: str = ""
    labels: Mapping[str, str] = NO_LABELS
    fields: Mapping[str, str] = NO_LABELS
    deleting: bool = False
    owner_uids: tuple[str, ...] = ()


class Record(msgspec.Struct, frozen=True, gc=False):
    """One object. `value` is JSON that begins with `{"metadata":{` and holds neither apiVersion nor kind nor
    resourceVersion: those are spliced in when it is served (`tenantry.kube.codec.stored`)."""

    key: Key
    value: bytes
    version: int
    """The resourceVersion."""
    head: Head


class Change(msgspec.Struct, frozen=True):
    """A wanted write. `value` None deletes. `expected` is the record that the writer saw (None: there was none).

    `catalog` are copies put (or, with None, deleted) in the same transaction: catalog key → value.
    """

    key: Key
    value: bytes | None
    head: Head | None
    expected: Record | None
    catalog: Mapping[bytes, bytes | None] = {}


class RecordEvent(msgspec.Struct, frozen=True, gc=False):
    """A change that was committed. `record` is None on deletion; `version` is that of the write or deletion."""

    key: Key
    version: int
    record: Record | None
    previous: Record | None
