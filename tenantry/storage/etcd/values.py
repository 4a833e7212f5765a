"""Converts key-values between the store contract and etcd.

A value in etcd begins with one byte: the index of the put in its commit. etcd knows only the revision of a put, and its
resourceVersion needs the index too. Deletions have no value, so their index is not stored; `storage.load` computes it.
"""

from __future__ import annotations

from tenantry._proto.etcd import kv_pb2
from tenantry.storage.resource_version import BATCH_LIMIT
from tenantry.storage.store import Damaged, Event, KeyValue

# It does not begin with "/", so it is in no interval of other keys.
CELL_KEY = b"tenantry/cell"
EVERYTHING = (b"\0", b"\0")
_PREFIXES = [bytes([index]) for index in range(BATCH_LIMIT)]


def encode_value(value: bytes, index: int) -> bytes:
    """Puts the index before the value. Raises ValueError (the index is not from 0 to 127)."""
    if not 0 <= index < BATCH_LIMIT:
        raise ValueError(f"the index of a put is from 0 to {BATCH_LIMIT - 1}, not {index}")
    return _PREFIXES[index] + value


def decode_value(key: bytes, value: bytes) -> tuple[bytes, int]:
    """Splits a value of etcd into the value and its index. Raises Damaged."""
    if not value or value[0] >= BATCH_LIMIT:
        raise Damaged(f"the value of {key!r} in etcd was not written by tenantry")
    return value[1:], value[0]


def key_value(kv: kv_pb2.KeyValue) -> KeyValue:
    """Converts a key-value of etcd. Raises Damaged."""
    value, index = decode_value(kv.key, kv.value)
    return KeyValue(kv.key, value, kv.mod_revision, kv.create_revision, index)


def event(found: kv_pb2.Event) -> Event:
    """Converts an event of etcd. Raises Damaged."""
    previous = key_value(found.prev_kv) if found.HasField("prev_kv") else None
    if found.type == kv_pb2.Event.DELETE:
        return Event(KeyValue(found.kv.key, b"", found.kv.mod_revision, 0), True, previous)
    return Event(key_value(found.kv), False, previous)


def bounds(start: bytes, end: bytes) -> tuple[bytes, bytes] | None:
    """An interval in etcd's form, None if it is empty. etcd has no empty key, and an end of one zero byte means "all keys"."""
    return (start or b"\0", end) if start < end and end != b"\0" else None
