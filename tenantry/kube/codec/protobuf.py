r"""Kubernetes' protobuf bodies: the `k8s\0` envelope (runtime.Unknown) around a built-in message.

Only reading: every client that sends protobuf accepts JSON answers. Fields that protobuf leaves out or sets to zero are handled
by `tenantry.kube.decode.check_types`, as for JSON.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import error as StructError
from struct import unpack_from
from typing import Any

import orjson

from tenantry.kube.codec.json_codec import unrecognized
from tenantry.kube.message_tables import DELETE_OPTIONS, Field, Message
from tenantry.kube.objects import Object, split_api_version
from tenantry.kube.types import BUILTINS
from tenantry.kube.types.reviews import TOKEN_REQUEST

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Decoder = Callable[[Any, int], Any]
"""(wire value, depth) → JSON value."""


class _Malformed(ValueError):
    """Not a protobuf message of the expected form."""


def decode(body: bytes, *, kind: str = "") -> Object:
    """The object in a body, with its apiVersion and kind. Raises StatusError 400. `kind` is the Kind that the URL names."""
    if not body:
        raise unrecognized(kind, "empty data", body)
    if not body.startswith(MAGIC):
        prefix = " ".join(str(byte) for byte in MAGIC)
        text = f"provided data does not appear to be a protobuf message, expected prefix [{prefix}]"
        raise unrecognized(kind, text, body)
    try:
        api_version, name, raw = _unwrap(body)
        message = _messages().get((api_version, name))
        if message is None and name == "DeleteOptions":
            # Upstream registers this kind in every group.
            message = DELETE_OPTIONS
        if message is None:
            raise unrecognized(kind, f'no kind "{name}" is registered for version "{api_version}"', body)
        out = _decode(message, raw, 0)
    except (_Malformed, UnicodeDecodeError, IndexError, StructError, OverflowError) as error:
        raise unrecognized(kind, f"proto: {error or 'cannot parse invalid wire-format data'}", body) from None
    return {"apiVersion": api_version, "kind": name} | out


@lru_cache(maxsize=1)
def _messages() -> dict[tuple[str, str], Message]:
    found = {("v1", "DeleteOptions"): DELETE_OPTIONS, ("authentication.k8s.io/v1", "TokenRequest"): TOKEN_REQUEST}
    for definition in BUILTINS:
        if definition.message is not None:
            for version in definition.versions:
                found[definition.api_version(version), definition.kind] = definition.message
    return found


def _unwrap(body: bytes) -> tuple[str, str, bytes]:
    """The content of a runtime.Unknown: (apiVersion, kind, the message)."""
    api_version = kind = ""
    raw = b""
    for number, value in _fields(body[len(MAGIC) :]):
        if number == 1:
            for inner, text in _fields(_length_delimited(value)):
                if inner == 1:
                    api_version = _length_delimited(text).decode()
                elif inner == 2:
                    kind = _length_delimited(text).decode()
        elif number == 2:
            raw = _length_delimited(value)
    # A version without a group and one with an empty group are the same.
    group, version = split_api_version(api_version)
    return f"{group}/{version}" if group else version, kind, raw


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yields (field number, wire value). The value is an int, or bytes for a length-delimited field."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, value
        elif wire == _BYTES:
            size, position = _varint(data, position)
            if position + size > end:
                raise _Malformed("unexpected EOF")
            yield number, data[position : position + size]
            position += size
        elif wire == _FIXED64:
            yield number, unpack_from("<d", data, position)[0]
            position += 8
        elif wire == _FIXED32:
            yield number, unpack_from("<f", data, position)[0]
            position += 4
        else:
            raise _Malformed(f"illegal wireType {wire}")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data):
            raise _Malformed("unexpected EOF")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
        if shift > 63:
            raise _Malformed("integer overflow")


def _decode(message: Message, raw: bytes, depth: int) -> Object:
    if depth > _MAX_DEPTH:
        raise _Malformed("exceeded max depth")
    table: dict[int, tuple[str, str, Decoder]] | None = message.memo.get("protobuf")
    if table is None:
        table = message.memo["protobuf"] = {f.number: (f.name, f.type.container, _decoder(f)) for f in message.fields}
    out: Object = {}
    for number, value in _fields(raw):
        known = table.get(number)
        if known is None:
            continue
        name, container, decoder = known
        if not container:
            out[name] = decoder(value, depth)
        elif container == "list":
            out.setdefault(name, []).append(decoder(value, depth))
        else:
            key, item = _entry(value)
            out.setdefault(name, {})[key] = decoder(item, depth)
    return out


def _entry(value: Any) -> tuple[str, Any]:
    """One entry of a map: field 1 is the key, 2 the value."""
    key, item = "", b""
    for number, part in _fields(_length_delimited(value)):
        if number == 1:
            key = _length_delimited(part).decode()
        elif number == 2:
            item = part
    return key, item


def _decoder(field: Field) -> Decoder:
    struct = field.type.message
    if struct is not None:
        return lambda value, depth: _decode(struct, _length_delimited(value), depth + 1)
    return _DECODERS[field.type.name]


def _length_delimited(value: Any) -> bytes:
    if type(value) is not bytes:
        raise _Malformed("wrong wireType")
    return value


def _signed(value: Any) -> int:
    if type(value) is not int:
        raise _Malformed("wrong wireType")
    return value - (1 << 64) if value >= 1 << 63 else value


def _moment(value: Any) -> datetime | None:
    """Time and MicroTime are seconds and nanoseconds since 1970; the zero time of Go is an empty message."""
    seconds = nanos = 0
    raw = _length_delimited(value)
    if not raw:
        return None
    for number, part in _fields(raw):
        if number == 1:
            seconds = _signed(part)
        elif number == 2:
            nanos = _signed(part)
    return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)


def _time(value: Any, depth: int) -> str | None:
    moment = _moment(value)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _micro_time(value: Any, depth: int) -> str | None:
    moment = _moment(value)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def _first(value: Any) -> bytes:
    """The only field of a message that wraps a single value."""
    return next((_length_delimited(part) for number, part in _fields(_length_delimited(value)) if number == 1), b"")


def _wrapped_json(value: Any, depth: int) -> Any:
    raw = _first(value)
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError as error:
        raise _Malformed(str(error)) from None


_DECODERS: dict[str, Decoder] = {
    "string": lambda value, depth: _length_delimited(value).decode(),
    "bool": lambda value, depth: bool(_signed(value)),
    "int32": lambda value, depth: _signed(value),
    "int64": lambda value, depth: _signed(value),
    "double": lambda value, depth: float(value),
    "bytes": lambda value, depth: b64encode(_length_delimited(value)).decode(),
    "Time": _time,
    "MicroTime": _micro_time,
    "Quantity": lambda value, depth: _first(value).decode(),
    "FieldsV1": _wrapped_json,
    "JSON": _wrapped_json,
    "Values": lambda value, depth: [
        _length_delimited(part).decode() for number, part in _fields(_length_delimited(value)) if number == 1
    ],
}
