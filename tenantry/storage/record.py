"""An object in memory: its stored bytes, and the few facts that selectors and indexes need."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tenantry.storage.keys import Key

NO_LABELS: Mapping[str, str] = {}


class Head(msgspec.Struct, frozen=True, gc=False):
    """The facts of an object that are read without decoding it. `fields`: the selectable fields of its type, computed by the
    write."""

    uid: str = ""
    labels: Mapping[str, str] = NO_LABELS
    fields: Mapping[str, str] = NO_LABELS
    deleting: bool = False
    owner_uids: tuple[str, ...] = ()


class Record(msgspec.Struct, frozen=True, gc=False):
    """One object. `value`: JSON that begins with `{"metadata":{`, without apiVersion, kind and resourceVersion. They are added
    when the object is served (`tenantry.kube.codec.stored`)."""

    key: Key
    value: bytes
    version: int
    """The resourceVersion."""
    head: Head


class Change(msgspec.Struct, frozen=True):
    """A write of one object. `value` None: delete it. `expected`: the record that the writer read, None if there was none.

    `catalog`: copies to write in the same transaction, by catalog key. None: delete the copy.
    """

    key: Key
    value: bytes | None
    head: Head | None
    expected: Record | None
    catalog: Mapping[bytes, bytes | None] = {}


class RecordEvent(msgspec.Struct, frozen=True, gc=False):
    """A committed change. `record`: None for a deletion. `version`: the version of the write or deletion."""

    key: Key
    version: int
    record: Record | None
    previous: Record | None
