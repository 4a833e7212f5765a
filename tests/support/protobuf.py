"""Protobuf bodies, lists and streams as a client without the tables of the product writes and reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tenantry.kube.codec import protobuf
from tests.support.sinks import MemorySink

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"


def varint(number: int) -> bytes:
    out = bytearray()
    number &= (1 << 64) - 1
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def message(*fields: tuple[int, Any]) -> bytes:
    """Wire form of (number, value): ints are varints, dicts string maps, everything else is delimited by its length."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        elif isinstance(value, dict):
            for key, item in value.items():
                out += message((number, message((1, key), (2, item))))
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(raw)) + raw
    return out


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return MAGIC + message((1, message((1, api_version), (2, kind))), (2, raw), (3, ""), (4, ""))


def fields(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message whose fields all have a length."""
    position = 0

    def number() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = raw[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(raw):
        tag = number()
        assert tag & 7 == 2, tag
        size = number()
        yield tag >> 3, raw[position : position + size]
        position += size


def unwrap(body: bytes) -> tuple[str, str, bytes]:
    """(apiVersion, kind, message) of a body."""
    assert body.startswith(MAGIC), body
    parts = dict(fields(body[4:]))
    assert parts[3] == parts[4] == b""
    names = dict(fields(parts[1]))
    return names[1].decode(), names[2].decode(), parts[2]


def items(body: bytes, api_version: str, kind: str) -> list[Any]:
    """The items of a list, which are of this kind."""
    _, _, raw = unwrap(body)
    return [protobuf.decode(envelope(api_version, kind, item)) for number, item in fields(raw) if number == 2]


class ProtobufSink(MemorySink):
    """Collects the events of a stream of frames."""

    def __init__(self) -> None:
        super().__init__()
        self._rest = b""

    def send(self, framed: bytes) -> None:
        while framed:
            size, _, rest = framed.partition(b"\r\n")
            length = int(size, 16)
            self._rest += rest[:length]
            framed = rest[length + 2 :]
        while len(self._rest) >= 4 and len(self._rest) >= 4 + (size_ := int.from_bytes(self._rest[:4], "big")):
            event, self._rest = self._rest[4 : 4 + size_], self._rest[4 + size_ :]
            parts = dict(fields(event))
            (body,) = (value for _, value in fields(parts[2]))
            self.events.append({"type": parts[1].decode(), "object": protobuf.decode(body)})
        self._arrived.set()
