"""Rows of Tables made from stored values of custom types. Only what the columns read is decoded, and the metadata, which is half
of many objects, is copied. The bytes are those of rows that are made from whole objects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import orjson

from tenantry.apiserver.negotiation import JSON, PARTIAL, TABLE, Representation
from tenantry.apiserver.scope import Call
from tenantry.kube.codec import json_slices
from tenantry.kube.codec.table import cells
from tenantry.kube.definition import Version
from tenantry.kube.objects import Object
from tenantry.storage.record import Record

_TYPE = ("apiVersion", "kind")
_MISSING = b""
_Decode = Callable[[bytes], Any]


def row_of_stored(call: Call, representation: Representation, now: datetime) -> Callable[[Record], bytes] | None:
    """A function that makes the row of a record whose value has the shape of the call's version (`records.are_in_shape`). None
    where rows have to be made of whole objects."""
    definition, shape = call.definition, call.shape
    include = call.request.parameter("includeObject")
    if representation.transformation != TABLE or representation.media_type != JSON or include not in ("", "Metadata", "None"):
        return None
    decode = _decoder(shape) if definition.custom and shape.from_storage is None else None
    if decode is None:
        return None
    columns = shape.columns
    api_version, kind = definition.api_version(call.version), definition.kind
    head = b'"object":{"kind":"%b","apiVersion":"%b","metadata":' % (PARTIAL.encode(), representation.api_version.encode())

    def row(record: Record) -> bytes:
        obj, metadata = decode(record.value)
        obj["apiVersion"], obj["kind"] = api_version, kind
        shown = orjson.dumps(cells(columns, obj, now))
        if include == "None":
            return b'{"cells":%b,"object":null}' % shown
        return b'{"cells":%b,%b%b,"resourceVersion":"%d"}}}' % (shown, head, metadata[:-1], record.version)

    return row


def _decoder(shape: Version) -> Callable[[bytes], tuple[Object, bytes]] | None:
    """Decodes what the columns read of a stored value; the second result is its metadata as it is. None where a column may read
    anything."""
    known = shape.memo.get("table.decoder", _MISSING)
    if known is _MISSING:
        known = shape.memo["table.decoder"] = _make_decoder(shape)
    found: Callable[[bytes], tuple[Object, bytes]] | None = known
    return found


def _make_decoder(shape: Version) -> Callable[[bytes], tuple[Object, bytes]] | None:
    reads = {column.reads for column in shape.columns}
    if not shape.columns or "" in reads:
        return None
    names = sorted({read.partition(".")[0] for read in reads} - {"metadata", *_TYPE})
    of_metadata = {read.partition(".")[2] for read in reads if read.partition(".")[0] == "metadata"}
    fields = [f"field{number}" for number in range(len(names))]
    optional = [(field, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for field in fields]
    parts = msgspec.defstruct(
        "Parts", [("metadata", msgspec.Raw), *optional], rename=dict(zip(fields, names, strict=True)), gc=False
    )
    decode: _Decode = msgspec.json.Decoder(parts).decode
    read_metadata = _few(sorted(of_metadata)) if "" not in of_metadata else json_slices.loads
    pairs = list(zip(fields, names, strict=True))

    def read(value: bytes) -> tuple[Object, bytes]:
        found = decode(value)
        metadata = bytes(found.metadata)
        obj: Object = {"metadata": read_metadata(metadata)}
        for field, name in pairs:
            raw = getattr(found, field)
            if raw is not msgspec.UNSET:
                obj[name] = json_slices.loads(bytes(raw))
        return obj, metadata

    return read


def _few(names: list[str]) -> _Decode:
    """Decodes some texts of the metadata."""
    fields = [(name, Any, msgspec.UNSET) for name in names]
    decode = msgspec.json.Decoder(msgspec.defstruct("FewOfMetadata", fields, gc=False)).decode

    def read(raw: bytes) -> Object:
        found = decode(raw)
        return {name: value for name in names if (value := getattr(found, name)) is not msgspec.UNSET}

    return read
