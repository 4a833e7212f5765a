r"""Writes built-in messages as protobuf, byte for byte as Go's generated code does: fields in the order of their numbers, maps in
the order of their keys, and every field that is no pointer, list or map even if it is zero.

`envelope` puts a message into the `k8s\0` envelope (runtime.Unknown). A field whose value is a message has the number 2 there, as
the items of a list have in every list: `item` makes both.

An encoder is compiled once for each message and kept with it. For a ConfigMap of three keys it takes as long as a class of the
protobuf library made from the same table, which wants a dict of another form first and copies it value by value.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from struct import pack
from typing import Any

import orjson

from tenantry.base.cache import cached
from tenantry.kube.codec.protobuf_messages import message_of
from tenantry.kube.message_tables import Field, FieldType, Message
from tenantry.kube.objects import Object

MAGIC = b"k8s\x00"
NO_ENCODING = b"\x1a\x00\x22\x00"
"""The last fields of the envelope: contentEncoding and contentType, both empty."""
Writer = Callable[[Any], bytes]
"""JSON value → the bytes of a field, its tag included."""
Plan = tuple[tuple[str, Writer, bytes, Sequence[bytes] | None], ...]
"""For each field, by number: its name (none where it is inline), how it is written, what is written where it is absent, and for a
text the tag with each short length."""

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_SMALL = 128
"""Numbers and lengths below this are one byte."""
_MEDIUM = _SMALL * _SMALL
"""Numbers and lengths below this are two bytes at most."""
_LENGTHS = tuple(bytes((size,)) for size in range(_SMALL))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ITEM = b"\x12"
"""The tag of field 2, with a length."""


def encode(obj: Object) -> bytes:
    """A whole object as a body, by its kind and apiVersion, which is v1 where it has none. Raises KeyError for a kind that has no
    protobuf."""
    api_version, kind = obj.get("apiVersion", "v1"), obj["kind"]
    message = message_of(api_version, kind)
    if message is None:
        raise KeyError((api_version, kind))
    return envelope(api_version, kind, item(encode_message(message, obj)))


def envelope(api_version: str, kind: str, item: bytes) -> bytes:
    """A body. `item` is the message, made by the function of that name."""
    return b"%b%b%b" % (envelope_head(api_version, kind), item, NO_ENCODING)


@cached("protobuf_envelopes", bytes_max=128 << 10)
def envelope_head(api_version: str, kind: str) -> bytes:
    """What comes before the message."""
    names = [delimited(_tag(number, _BYTES), name.encode()) for number, name in ((1, api_version), (2, kind))]
    return MAGIC + delimited(_tag(1, _BYTES), b"".join(names))


def item(raw: bytes) -> bytes:
    """A message as a field with the number 2: an item of a list, or the content of an envelope."""
    return delimited(_ITEM, raw)


def item_head(size: int) -> bytes:
    """What comes before the bytes of a message in `item`, for a message of this many bytes."""
    return _ITEM + varint(size)


def delimited(tag: bytes, raw: bytes) -> bytes:
    """A tag, the length of the bytes, and the bytes."""
    size = len(raw)
    if size < _SMALL:
        return tag + _LENGTHS[size] + raw
    if size < _MEDIUM:
        return b"%b%c%c%b" % (tag, size & 0x7F | 0x80, size >> 7, raw)
    return b"%b%b%b" % (tag, varint(size), raw)


def first_field(item: bytes) -> bytes:
    """The message in `item` with its first field alone, as `item` makes it."""
    start = _after_varint(item, 1)
    end = start
    if start < len(item):
        after_size, size = _after_varint(item, start + 1), 0
        for at in reversed(range(start + 1, after_size)):
            size = size << 7 | item[at] & 0x7F
        end = after_size + size
    raw = item[start:end]
    return delimited(_ITEM, raw)


def _after_varint(data: bytes, position: int) -> int:
    while data[position] >= _SMALL:
        position += 1
    return position + 1


def encode_message(message: Message, obj: Object) -> bytes:
    """The bytes of a message. `obj` is in the form in which it is stored or served; members that the table does not have are left
    out."""
    plan: Plan | None = message.memo.get("protobuf.write")
    if plan is None:
        plan = message.memo["protobuf.write"] = _plan(message)
    get, parts = obj.get, []
    for name, write, absent, heads in plan:
        value: Any = get(name) if name else obj
        if value is None:
            if absent:
                parts.append(absent)
        elif heads is None:
            parts.append(write(value))
        else:
            # Most fields are short texts: a call for each of them takes twice as long.
            raw = value.encode()
            parts.append(heads[len(raw)] + raw if len(raw) < _SMALL else write(value))
    return b"".join(parts)


def varint(number: int) -> bytes:
    """A number of at most 64 bits; a negative one as its two's complement."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= _SMALL:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _plan(message: Message) -> Plan:
    ordered = sorted(message.wire, key=lambda field: field.number)
    return tuple(
        ("" if field.inline else field.name, _writer(field, message), _absent(field), _text_heads(field)) for field in ordered
    )


def _text_heads(field: Field) -> Sequence[bytes] | None:
    of = field.type
    return _heads(_tag(field.number, _BYTES)) if of.name == "string" and not of.container else None


def _absent(field: Field) -> bytes:
    of = field.type
    if of.pointer or of.container or of.name == "bytes":
        return b""
    if of.message is not None:
        return delimited(_tag(field.number, _BYTES), encode_message(of.message, {}))
    if of.name == "Quantity":
        return _quantity(_tag(field.number, _BYTES))("0")
    if of.name == "IntOrString":
        return _int_or_string(_tag(field.number, _BYTES))(0)
    wire = _WIRES.get(of.name, _BYTES)
    return _tag(field.number, wire) + (bytes(8) if wire == _FIXED64 else b"\x00")


def _writer(field: Field, owner: Message) -> Writer:
    of = field.type
    tag = _tag(field.number, _BYTES if of.container == "map" else _WIRES.get(of.name, _BYTES))
    if of.container == "map":
        if of.name == "string":
            return _text_map(tag)
        return _map(tag, _element(of, _tag(2, _WIRES.get(of.name, _BYTES)), owner))
    write = _element(of, tag, owner)
    return _list(write) if of.container == "list" else write


def _element(of: FieldType, tag: bytes, owner: Message) -> Writer:
    if of.message is not None:
        return _struct(tag, of.message)
    if of.name in _UNIONS:
        return _UNIONS[of.name](tag, owner)
    return _WRITERS[of.name](tag)


def _tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


@cached("protobuf_tags", bytes_max=1 << 20)
def _heads(tag: bytes) -> tuple[bytes, ...]:
    """The tag with each length of one byte. There is one for each number of a field."""
    return tuple(b"%b%c" % (tag, size) for size in range(_SMALL))


def _text(tag: bytes) -> Writer:
    heads = _heads(tag)

    def write(value: str) -> bytes:
        raw = value.encode()
        size = len(raw)
        return heads[size] + raw if size < _SMALL else delimited(tag, raw)

    return write


def _bool(tag: bytes) -> Writer:
    true, false = tag + b"\x01", tag + b"\x00"
    return lambda value: true if value else false


def _integer(tag: bytes) -> Writer:
    heads = _heads(tag)
    return lambda value: heads[value] if 0 <= value < _SMALL else tag + varint(value)


def _double(tag: bytes) -> Writer:
    return lambda value: tag + pack("<d", value)


def _base64(tag: bytes) -> Writer:
    return lambda value: delimited(tag, b64decode(value))


def _time(tag: bytes) -> Writer:
    # In a map, null is the zero time, of which nothing is written.
    return lambda value: tag + (b"\x00" if value is None else _seconds(value))


def _micro_time(tag: bytes) -> Writer:
    return lambda value: tag + (b"\x00" if value is None else _microseconds(value))


@cached("protobuf_times", bytes_max=256 << 10)
def _seconds(text: str) -> bytes:
    """A Timestamp with its length. The times of one object are mostly equal."""
    return _moment(_micros(text) // 1_000_000, 0)


@cached("protobuf_micro_times", bytes_max=256 << 10)
def _microseconds(text: str) -> bytes:
    return _moment(*divmod(_micros(text), 1_000_000))


def _moment(seconds: int, micros: int) -> bytes:
    return delimited(b"", b"\x08%b\x10%b" % (varint(seconds), varint(micros * 1000)))


def _micros(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND


def _quantity(tag: bytes) -> Writer:
    text = _text(_tag(1, _BYTES))
    return lambda value: delimited(tag, text(value if type(value) is str else str(value)))


def _int_or_string(tag: bytes) -> Writer:
    kind, number, text = _integer(_tag(1, _VARINT)), _integer(_tag(2, _VARINT)), _text(_tag(3, _BYTES))
    is_number, is_text, zero, empty = kind(0), kind(1), number(0), text("")
    return lambda value: delimited(tag, is_text + zero + text(value) if type(value) is str else is_number + number(value) + empty)


def _json(tag: bytes) -> Writer:
    return lambda value: delimited(tag, b"" if value is None else delimited(b"\x0a", orjson.dumps(value)))


def _values(tag: bytes) -> Writer:
    write = _list(_text(_tag(1, _BYTES)))
    # An entry of `extra` may be null.
    return lambda value: delimited(tag, write(value or ()))


def _struct(tag: bytes, message: Message) -> Writer:
    return lambda value: delimited(tag, encode_message(message, value))


def _list(write: Writer) -> Writer:
    return lambda values: b"".join([write(value) for value in values])


def _map(tag: bytes, write: Writer) -> Writer:
    key = _text(_tag(1, _BYTES))
    return lambda values: b"".join([delimited(tag, key(name) + write(values[name])) for name in sorted(values)])


def _text_map(tag: bytes) -> Writer:
    """`_map` of texts: labels, annotations and data."""
    entries, keys, texts = _heads(tag), _heads(_tag(1, _BYTES)), _heads(_tag(2, _BYTES))
    of_any_length = _map(tag, _text(_tag(2, _BYTES)))

    def write(values: dict[str, str]) -> bytes:
        parts = []
        for name in sorted(values):
            key, text = name.encode(), values[name].encode()
            # Two tags and two lengths.
            size = len(key) + len(text) + 4
            if size < _SMALL:
                parts.append(entries[size] + keys[len(key)] + key + texts[len(text)] + text)
            else:
                parts.append(of_any_length({name: values[name]}))
        return b"".join(parts)

    return write


def _self_or_list(tag: bytes, owner: Message) -> Writer:
    return _one_or_many(tag, _struct(_tag(1, _BYTES), owner), _struct(_tag(2, _BYTES), owner))


def _self_or_bool(tag: bytes, owner: Message) -> Writer:
    allows, one = _bool(_tag(1, _VARINT)), _struct(_tag(2, _BYTES), owner)
    return lambda value: delimited(tag, allows(value) if type(value) is bool else allows(True) + one(value))


def _self_or_strings(tag: bytes, owner: Message) -> Writer:
    return _one_or_many(tag, _struct(_tag(1, _BYTES), owner), _text(_tag(2, _BYTES)))


def _one_or_many(tag: bytes, one: Writer, item: Writer) -> Writer:
    many = _list(item)

    def write(value: Any) -> bytes:
        # An entry of `dependencies` may be null: it has neither.
        return delimited(tag, b"" if value is None else many(value) if type(value) is list else one(value))

    return write


_WIRES = {"bool": _VARINT, "int32": _VARINT, "int64": _VARINT, "double": _FIXED64}
_WRITERS: dict[str, Callable[[bytes], Writer]] = {
    "string": _text,
    "bool": _bool,
    "int32": _integer,
    "int64": _integer,
    "double": _double,
    "bytes": _base64,
    "Time": _time,
    "MicroTime": _micro_time,
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "FieldsV1": _json,
    "JSON": _json,
    "RawExtension": _json,
    "Values": _values,
}
_UNIONS: dict[str, Callable[[bytes, Message], Writer]] = {
    "SelfOrList": _self_or_list,
    "SelfOrBool": _self_or_bool,
    "SelfOrStrings": _self_or_strings,
}
