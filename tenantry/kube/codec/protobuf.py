r"""Reads Kubernetes' protobuf bodies: the `k8s\0` envelope (runtime.Unknown) around a built-in message.

Zero values that Go leaves out of JSON are left out here too. What else JSON needs is added by
`tenantry.kube.decode.check_types`, as for JSON bodies.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from math import isfinite
from struct import error as StructError
from struct import unpack_from
from typing import Any

import orjson

from tenantry.kube.codec.json_codec import unrecognized
from tenantry.kube.codec.protobuf_messages import message_of
from tenantry.kube.message_tables import Field, FieldType, Message
from tenantry.kube.objects import Object, split_api_version
from tenantry.kube.status import StatusError, bad_request

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_INLINE = "inline"
_MAX_DEPTH = 100
_KEY, _VALUE, _SMALL = 0x0A, 0x12, 0x80
"""The tags of a map's entry, and what no tag or length of one byte reaches."""
_SHORTEST_ENTRY = 3
_NOTHING = memoryview(b"")
_WHOLE_MAX = 1 << 53
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO = datetime(1, 1, 1, tzinfo=UTC)

_INLINE = "inline"
"""Stands for a container in the table of a message: its fields are fields of the message around it."""

Decoder = Callable[[Any, int], Any]
"""(wire value, depth) → JSON value."""


class _Malformed(ValueError):
    """Not a protobuf message of the expected form."""


_ERRORS = (_Malformed, UnicodeDecodeError, IndexError, StructError, OverflowError)
_SCHEME = 'in scheme "pkg/runtime/scheme.go:111"'


def decode(body: bytes, *, kind: str = "", api_version: str = "") -> Object:
    """The object in a body, with its apiVersion and kind. Raises StatusError 400. `kind` and `api_version` are those that the URL
    names; a body without them has these."""
    if not body:
        raise unrecognized(kind, "empty data", body)
    if not body.startswith(MAGIC):
        prefix = " ".join(str(byte) for byte in MAGIC)
        text = f"provided data does not appear to be a protobuf message, expected prefix [{prefix}]"
        raise unrecognized(kind, text, body)
    try:
        given_version, name, raw = _unwrap(body)
    except _ERRORS as error:
        raise unrecognized(kind, _text(error), body) from None
    api_version, name = given_version or api_version, name or kind
    message = message_of(api_version, name)
    if message is None:
        why = f'no kind "{name}" is registered for version "{api_version}" {_SCHEME}'
        raise _cannot_be_handled(api_version, name, kind, why)
    try:
        out = _decode(message, raw, 0)
    except _ERRORS as error:
        raise _cannot_be_handled(api_version, name, kind, _text(error)) from None
    return {"apiVersion": api_version, "kind": name} | out


def _text(error: Exception) -> str:
    return f"proto: {error or 'cannot parse invalid wire-format data'}"


def _cannot_be_handled(api_version: str, name: str, kind: str, why: str) -> StatusError:
    return bad_request(f'{name} in version "{api_version.rpartition("/")[2]}" cannot be handled as a {kind or name}: {why}')


def _unwrap(body: bytes) -> tuple[str, str, memoryview]:
    """The content of a runtime.Unknown: (apiVersion, kind, the message)."""
    api_version = kind = ""
    raw = _NOTHING
    # Views of the body and no copies: messages that contain themselves would hold one for each level.
    for number, value in _fields(memoryview(body)[len(MAGIC) :]):
        if number == 1:
            for inner, text in _fields(_length_delimited(value)):
                if inner == 1:
                    api_version = _text_of(text)
                elif inner == 2:
                    kind = _text_of(text)
        elif number == 2:
            raw = _length_delimited(value)
    # A version without a group and one with an empty group are the same.
    group, version = split_api_version(api_version)
    return f"{group}/{version}" if group else version, kind, raw


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Yields (field number, wire value). The value is an int, a float, or a view of the bytes of a length-delimited field."""
    position, end = 0, len(data)
    while position < end:
        # Most tags and sizes are one byte: a call for each of them takes three times as long.
        tag = data[position]
        if tag < _SMALL:
            position += 1
        else:
            tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == _BYTES:
            if position < end and (size := data[position]) < _SMALL:
                position += 1
            else:
                size, position = _varint(data, position)
            after = position + size
            if after > end:
                raise _Malformed("unexpected EOF")
            yield number, data[position:after]
            position = after
        elif wire == _VARINT:
            value, position = _varint(data, position)
            yield number, value
        elif wire == _FIXED64:
            yield number, unpack_from("<d", data, position)[0]
            position += 8
        elif wire == _FIXED32:
            yield number, unpack_from("<f", data, position)[0]
            position += 4
        else:
            raise _Malformed(f"illegal wireType {wire}")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
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


def _decode(message: Message, raw: memoryview, depth: int) -> Object:
    if depth > _MAX_DEPTH:
        raise _Malformed("exceeded max depth")
    table: dict[int, tuple[str, str, Decoder, bool]] | None = message.memo.get("protobuf")
    if table is None:
        table = message.memo["protobuf"] = {
            f.number: (f.name, _INLINE if f.inline else f.type.container, _decoder(f, message), _stays(f)) for f in message.wire
        }
    out: Object = {}
    for number, value in _fields(raw):
        known = table.get(number)
        if known is None:
            continue
        name, container, decoder, stays = known
        try:
            if container == "list":
                out.setdefault(name, []).append(decoder(value, depth))
            elif container == _INLINE:
                out |= decoder(value, depth)
            elif container:
                key, item = _entry(value)
                out.setdefault(name, {})[key] = decoder(item, depth)
            else:
                decoded = decoder(value, depth)
                if decoded or stays:
                    out[name] = decoded
                else:
                    # The last value of a field counts.
                    out.pop(name, None)
        except _WrongWireType as error:
            raise _Malformed(f"wrong wireType = {error.wire} for field {_go_name(name)}") from None
    return out


def _stays(field: Field) -> bool:
    """Whether Go writes the field to JSON even if it has its zero value."""
    return field.always or field.type.pointer or field.type.message is not None


def _go_name(name: str) -> str:
    """The name of a field in Go's structs, as far as that follows from the JSON name: `x-kubernetes-map-type` → XMapType."""
    words = name.replace("x-kubernetes-", "x-").lstrip("$").split("-")
    return "".join(word[:1].upper() + word[1:] for word in words)


def _entry(value: Any) -> tuple[str, Any]:
    """One entry of a map: field 1 is the key, 2 the value."""
    raw = _length_delimited(value)
    # Nearly all are two short texts, which are read at once.
    if len(raw) > _SHORTEST_ENTRY and raw[0] == _KEY and raw[1] < _SMALL:
        middle = raw[1] + 2
        if middle + 2 <= len(raw) and raw[middle] == _VALUE and raw[middle + 1] == len(raw) - middle - 2 < _SMALL:
            return str(raw[2:middle], "utf-8"), raw[middle + 2 :]
    key, item = "", _NOTHING
    for number, part in _fields(raw):
        if number == 1:
            key = _text_of(part)
        elif number == 2:
            item = part
    return key, item


def _decoder(field: Field, owner: Message) -> Decoder:
    struct = field.type.message
    if struct is not None:
        return _message(struct)
    if field.type.name in _UNIONS:
        return _union(field.type, owner)
    return _DECODERS[field.type.name]


def _message(struct: Message) -> Decoder:
    return lambda value, depth: _decode(struct, _length_delimited(value), depth + 1)


_UNIONS = {"SelfOrList": (1, 2), "SelfOrBool": (2, 1), "SelfOrStrings": (1, 2)}
"""The number of the message itself, and that of the other value."""


def _union(of: FieldType, owner: Message) -> Decoder:
    """A message that is written to JSON as one of two values."""
    own, other = _UNIONS[of.name]
    one = _message(owner)

    def decode_union(value: Any, depth: int) -> Any:
        itself: Any = None
        many: list[Any] = []
        for number, part in _fields(_length_delimited(value)):
            if number == own:
                itself = one(part, depth)
            elif number == other:
                many.append(part)
        if of.name == "SelfOrBool":
            return itself if itself is not None else bool(many and _signed(many[-1]))
        if not many:
            return itself
        return [one(part, depth) if of.name == "SelfOrList" else _text_of(part) for part in many]

    return decode_union


class _WrongWireType(_Malformed):
    """The wire type of a value is not that of its field."""

    def __init__(self, value: Any) -> None:
        self.wire = {int: _VARINT, memoryview: _BYTES}.get(type(value), _FIXED64)
        super().__init__(f"wrong wireType = {self.wire}")


def _length_delimited(value: Any) -> memoryview:
    if type(value) is not memoryview:
        raise _WrongWireType(value)
    return value


def _text_of(value: Any) -> str:
    return str(_length_delimited(value), "utf-8")


def _signed(value: Any) -> int:
    if type(value) is not int:
        raise _WrongWireType(value)
    return value - (1 << 64) if value >= 1 << 63 else value


def _double(value: Any, depth: int) -> float:
    if type(value) is not float:
        raise _WrongWireType(value)
    if not isfinite(value):
        raise _Malformed(f"json: unsupported value: {value}")
    # Go writes whole numbers without a fraction.
    return int(value) if value.is_integer() and abs(value) < _WHOLE_MAX else value


def _moment(value: Any) -> datetime | None:
    """Time and MicroTime are seconds and nanoseconds since 1970; the zero time of Go, the first moment of year 1, is an empty
    message. None for that one."""
    seconds = nanos = 0
    raw = _length_delimited(value)
    if not raw:
        return None
    for number, part in _fields(raw):
        if number == 1:
            seconds = _signed(part)
        elif number == 2:
            nanos = _signed(part)
    moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    return moment if moment != _ZERO else None


def _time(value: Any, depth: int) -> str | None:
    moment = _moment(value)
    # Not strftime, which writes years before 1000 with fewer digits.
    return f"{moment.isoformat()[:19]}Z" if moment else None


def _micro_time(value: Any, depth: int) -> str | None:
    moment = _moment(value)
    return f"{moment.isoformat(timespec='microseconds')[:26]}Z" if moment else None


def _first(value: Any) -> memoryview:
    """The only field of a message that wraps a single value."""
    return next((_length_delimited(part) for number, part in _fields(_length_delimited(value)) if number == 1), _NOTHING)


def _wrapped_json(value: Any, depth: int) -> Any:
    raw = _first(value)
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError as error:
        raise _Malformed(str(error)) from None


def _int_or_string(value: Any, depth: int) -> int | str:
    """A message with the kind of value, a number, and a text."""
    is_text, number, text = 0, 0, ""
    for field, part in _fields(_length_delimited(value)):
        if field == 1:
            is_text = _signed(part)
        elif field == 2:
            number = _signed(part)
        elif field == 3:
            text = _text_of(part)
    return text if is_text else number


_DECODERS: dict[str, Decoder] = {
    "string": lambda value, depth: _text_of(value),
    "bool": lambda value, depth: bool(_signed(value)),
    "int32": lambda value, depth: _signed(value),
    "int64": lambda value, depth: _signed(value),
    "double": _double,
    "bytes": lambda value, depth: b64encode(_length_delimited(value)).decode(),
    "Time": _time,
    "MicroTime": _micro_time,
    "Quantity": lambda value, depth: str(_first(value), "utf-8"),
    "IntOrString": _int_or_string,
    "FieldsV1": _wrapped_json,
    "JSON": _wrapped_json,
    "RawExtension": _wrapped_json,
    "Values": lambda value, depth: [_text_of(part) for number, part in _fields(_length_delimited(value)) if number == 1],
}
