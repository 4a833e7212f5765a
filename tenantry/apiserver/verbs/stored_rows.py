"""Rows of Tables made from stored values of custom types. Only what the columns read is decoded, and the metadata, which is half
of many objects, is copied. The bytes are those of rows that are made from whole objects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
import orjson

from tenantry.apiserver.negotiation import JSON, PARTIAL, TABLE, Representation
from tenantry.apiserver.scope import Call
from tenantry.apiserver.worker_threads import weigh
from tenantry.kube.codec.parts import PartsDecoder
from tenantry.kube.codec.table import cells
from tenantry.kube.definition import Version
from tenantry.kube.objects import Object
from tenantry.storage.record import Record

_TYPE = frozenset(("apiVersion", "kind"))
_VERSION = "resourceVersion"
_MISSING = b""
_COLUMNS_AT_ONCE = 16
"""The columns of a Table that cost about as much as the object itself."""
_SKIPPED_BYTES = 8 << 10
"""Up to this size, what a row is made from costs a fraction of decoding its object, however many values it has."""


def row_of_stored(call: Call, representation: Representation, now: datetime) -> Callable[[Record], bytes] | None:
    """A function that makes the row of a record whose value has the shape of the call's version (`records.are_in_shape`). None
    where rows have to be made of whole objects."""
    definition, shape = call.definition, call.shape
    include = call.request.parameter("includeObject")
    if representation.transformation != TABLE or representation.media_type != JSON or include not in ("", "Metadata", "None"):
        return None
    read = _reader(shape) if definition.custom and shape.from_storage is None else None
    if read is None:
        return None
    columns = shape.columns
    api_version, kind = definition.api_version(call.version), definition.kind
    head = b'"object":{"kind":"%b","apiVersion":"%b","metadata":' % (PARTIAL.encode(), representation.api_version.encode())

    def row(record: Record) -> bytes:
        obj, metadata = read(record)
        obj["apiVersion"], obj["kind"] = api_version, kind
        shown = orjson.dumps(cells(columns, obj, now))
        if include == "None":
            return b'{"cells":%b,"object":null}' % shown
        return b'{"cells":%b,%b%b,"resourceVersion":"%d"}}}' % (shown, head, metadata[:-1], record.version)

    return row


def weight_of_row(columns: int, record: Record) -> int:
    """As `worker_threads.weigh`, for a row that is made from a stored value."""
    size = len(record.value)
    return weight_with_columns(size // 64 if size <= _SKIPPED_BYTES else weigh(record.value), columns)


def weight_with_columns(weight: int, columns: int) -> int:
    """The weight of the row of an object of this weight: a column may read the whole object."""
    return weight + weight * columns // _COLUMNS_AT_ONCE


_Read = Callable[[Record], tuple[Object, bytes]]


def _reader(shape: Version) -> _Read | None:
    """Decodes what the columns read of a record; the second result is its stored metadata. None where a column may read
    anything."""
    known = shape.memo.get("table.reader", _MISSING)
    if known is _MISSING:
        known = shape.memo["table.reader"] = _make_reader(shape)
    found: _Read | None = known
    return found


def _make_reader(shape: Version) -> _Read | None:
    paths = [column.reads for column in shape.columns]
    if not paths or () in paths:
        return None
    of_metadata = [path[1:] for path in paths if path[0] == "metadata"]
    others = [path for path in paths if path[0] != "metadata" and path[0] not in _TYPE]
    read_parts = PartsDecoder(others, raw=("metadata",)).decode
    read_metadata = PartsDecoder(of_metadata).decode
    with_version = any(path in ((), (_VERSION,)) for path in of_metadata)

    def read(record: Record) -> tuple[Object, bytes]:
        obj = read_parts(record.value)
        raw: msgspec.Raw = obj["metadata"]
        stored = bytes(raw)
        metadata = obj["metadata"] = read_metadata(stored)
        if with_version:
            metadata[_VERSION] = str(record.version)
        return obj, stored

    return read
