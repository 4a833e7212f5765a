"""Records as protobuf. The message of a record is made when the first client asks for it, and kept for all others: clients that
list, get and watch it. Records that no client reads as protobuf take no memory for it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import msgspec
import orjson

from tenantry.apiserver import records
from tenantry.apiserver.negotiation import PARTIAL, Representation
from tenantry.base.cache import Cache
from tenantry.kube.answer_tables import PARTIAL_OBJECT_METADATA
from tenantry.kube.codec.protobuf_encoding import encode_message, envelope_head, first_field, item
from tenantry.kube.decode import NOT_OF_ITS_TYPE, is_of_its_type
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.message_tables import Message
from tenantry.kube.objects import Object
from tenantry.storage.record import Record

_items: Cache[tuple[int, int, int], bytes] = Cache("protobuf_items", bytes_max=48 << 20, size=len)
"""By version of a type, resource version and hash of the value: ranges that are computed give objects the version of what they
were computed from, so a version alone does not name a value there."""
_numbers = count()


class _OnlyMetadata(msgspec.Struct, gc=False):
    metadata: msgspec.Raw


_decoder = msgspec.json.Decoder(_OnlyMetadata)


class ProtobufForm:
    """How objects of a version of a type become protobuf: as they are, or their metadata alone, which is all that custom types
    have a message for.

    Messages are returned as the field with the number 2, which they are in lists and in the envelope of a body.
    """

    __slots__ = ("_cut", "_definition", "_number", "_partial", "_shape", "_version", "head")

    def __init__(self, definition: ResourceDefinition, version: str, representation: Representation) -> None:
        self._definition = definition
        self._version = version
        self._shape = definition.versions[version]
        self._partial = bool(representation.transformation)
        self._cut = self._partial and self._shape.protobuf is not None
        """Whether messages are the beginnings of those that are kept."""
        memo = self._shape.memo
        place = ("protobuf", representation.version) if self._partial else "protobuf"
        made: tuple[int, bytes] | None = memo.get(place)
        if made is None:
            made = memo[place] = _number(memo), self._head(representation)
        self._number, self.head = made
        """`head`: what comes before the message in a body."""

    def _head(self, representation: Representation) -> bytes:
        if self._partial:
            return envelope_head(representation.api_version, PARTIAL)
        return envelope_head(self._definition.api_version(self._version), self._definition.kind)

    def get(self, record: Record) -> bytes | None:
        """The message of a record, None if `make` has to make it."""
        whole = _items.get((self._number, record.version, hash(record.value)))
        return first_field(whole) if whole is not None and self._cut else whole

    def known(self, found: Sequence[Record]) -> list[bytes | None]:
        """`get` for many records."""
        number = self._number
        items = _items.get_each([(number, record.version, hash(record.value)) for record in found])
        return [None if whole is None else first_field(whole) for whole in items] if self._cut else items

    def make(self, record: Record) -> bytes:
        """The message of a record, which is kept. May be called in a thread."""
        definition = self._definition
        if self._shape.protobuf is not None:
            made = item(_encoded(self._shape, self._shape.protobuf, records.decode(record, definition, self._version)))
        else:
            made = item(encode_message(PARTIAL_OBJECT_METADATA, {"metadata": self._metadata(record)}))
        _items.put((self._number, record.version, hash(record.value)), made)
        return first_field(made) if self._cut else made

    def of_object(self, obj: Object) -> bytes:
        """The message of an object that is not stored in this form."""
        message = PARTIAL_OBJECT_METADATA if self._partial else self._shape.protobuf
        return item(_encoded(self._shape, message, obj))

    def _metadata(self, record: Record) -> Object:
        definition = self._definition
        if self._shape.from_storage is not None:
            converted: Object = records.decode(record, definition, self._version)["metadata"]
            return converted
        metadata: Object = orjson.loads(bytes(_decoder.decode(record.value).metadata))
        metadata["resourceVersion"] = str(record.version)
        return metadata


def _number(memo: dict[Any, Any]) -> int:
    """The number of a version of a type, by its memo."""
    number: int | None = memo.get("protobuf.number")
    if number is None:
        number = memo["protobuf.number"] = next(_numbers)
    return number


def _encoded(shape: Version, message: Message, obj: Object) -> bytes:
    """The object as a message; of one that is not of its built-in type, as from before the type was built in, the metadata."""
    try:
        return encode_message(message, obj)
    except NOT_OF_ITS_TYPE:
        if is_of_its_type(obj, shape):
            raise
        return encode_message(message, {"metadata": obj["metadata"]})
