"""Encodes watch events in the representation of a group of watchers: a line of JSON each, or a WatchEvent in protobuf behind its
length in four bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson

from tenantry.apiserver import records
from tenantry.apiserver.negotiation import JSON, PARTIAL, PARTIAL_LIST, PROTOBUF, TABLE, Representation, encode
from tenantry.apiserver.protobuf_records import ProtobufForm
from tenantry.http.messages import frame
from tenantry.http.websocket_frames import BINARY, TEXT, message
from tenantry.kube.codec import stored
from tenantry.kube.codec.partial import partial
from tenantry.kube.codec.protobuf_encoding import NO_ENCODING, delimited
from tenantry.kube.codec.table import table
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.storage.record import Record

ADDED, MODIFIED, DELETED = b"ADDED", b"MODIFIED", b"DELETED"
INITIAL_EVENTS_END = "k8s.io/initial-events-end"

Present = Callable[[Object], Object]


@dataclass(frozen=True, slots=True)
class Encoder:
    """How events are encoded. Equal encoders make equal bytes, so watchers with equal encoders share them."""

    definition: ResourceDefinition
    version: str
    representation: Representation
    include_object: str = ""
    present: Present | None = None
    messages: bool = False
    """Each event is a message of a WebSocket, in a frame of its own. In HTTP, several make a chunk."""
    form: ProtobufForm | None = field(default=None, init=False, compare=False, repr=False)
    """Set for protobuf."""

    def __post_init__(self) -> None:
        if self.representation.media_type == PROTOBUF:
            object.__setattr__(self, "form", ProtobufForm(self.definition, self.version, self.representation))

    @property
    def content_type(self) -> str:
        """The media type of the stream."""
        media_type = self.representation.media_type
        return media_type if media_type == JSON else f"{media_type};stream=watch"

    @property
    def plain(self) -> bool:
        return self.representation.plain and self.present is None

    @property
    def in_threads(self) -> bool:
        """Whether `event` may be called in a thread: no view is asked how it shows objects, or one that reads nothing else."""
        return self.present is None or getattr(self.present, "in_threads", False)

    @property
    def has_columns(self) -> bool:
        """Whether the stream is one of Tables: only its first event has the columns."""
        return self.representation.transformation == TABLE

    def event(self, kind: bytes, record: Record, resource_version: int, *, columns: bool = False) -> bytes:
        """One line or frame with the content of `record`. `resource_version` is that of the event. It differs from the record's
        own in deletions."""
        definition, version = self.definition, self.version
        if self.plain:
            value = records.shaped(record, definition, version)
            obj = stored.serve(value, resource_version, stored.prefix(definition, version))
        elif self.form is not None:
            return self._binary(kind, self.form.head, self._message(self.form, record, resource_version))
        else:
            obj = orjson.dumps(self._shown(records.decode_at(record, definition, version, resource_version), columns))
        return self._line(kind, obj)

    def framed(self, events: bytes) -> bytes:
        """One or several events as they are sent."""
        return events if self.messages else frame(events)

    def bookmark(self, resource_version: int, *, end_of_initial_events: bool = False, columns: bool = False) -> bytes:
        """A BOOKMARK line or frame. A bookmark that ends the initial events has an annotation for that (KEP-3157)."""
        metadata: Object = {"resourceVersion": str(resource_version)}
        if end_of_initial_events:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj: Object = {
            "kind": self.definition.kind,
            "apiVersion": self.definition.api_version(self.version),
            "metadata": metadata,
        }
        if self.form is not None:
            return self._binary(b"BOOKMARK", self.form.head, self.form.of_object(obj))
        if self.representation.transformation:
            obj = self._transformed(obj, columns)
        return self._line(b"BOOKMARK", orjson.dumps(obj))

    def error(self, error: StatusError) -> bytes:
        """An ERROR line or frame; the stream ends after it."""
        status = encode(error.to_object(), self.representation.media_type)
        if self.form is not None:
            return self._delimited(_watch_event(b"ERROR", status))
        return self._line(b"ERROR", status)

    def _line(self, kind: bytes, obj: bytes) -> bytes:
        line = b'{"type":"%b","object":%b}\n' % (kind, obj)
        return message(TEXT, line) if self.messages else line

    def _binary(self, kind: bytes, head: bytes, item: bytes) -> bytes:
        return self._delimited(_watch_event(kind, b"%b%b%b" % (head, item, NO_ENCODING)))

    def _delimited(self, raw: bytes) -> bytes:
        """A message of a stream: behind its length in four bytes (apimachinery's framer), which a WebSocket tells itself."""
        return message(BINARY, raw) if self.messages else len(raw).to_bytes(4, "big") + raw

    def _message(self, form: ProtobufForm, record: Record, resource_version: int) -> bytes:
        if self.present is None and resource_version == record.version:
            return form.known((record,))[0] or form.make(record)
        obj = records.decode_at(record, self.definition, self.version, resource_version)
        return form.of_object(self.present(obj) if self.present is not None else obj)

    def _shown(self, obj: Object, columns: bool) -> Object:
        if self.present is not None:
            obj = self.present(obj)
        return self._transformed(obj, columns) if self.representation.transformation else obj

    def _transformed(self, obj: Object, columns: bool) -> Object:
        version = self.representation.version
        if self.representation.transformation in (PARTIAL, PARTIAL_LIST):
            return partial(obj, version=version)
        return table(
            self.definition,
            self.version,
            [obj],
            include_object=self.include_object,
            list_metadata={"resourceVersion": obj["metadata"].get("resourceVersion", "")},
            columns=columns,
            now=datetime.now(UTC),
            meta_version=version,
        )


def _watch_event(kind: bytes, body: bytes) -> bytes:
    """A metav1.WatchEvent, whose object is a whole body of its own."""
    return b"%b%b" % (delimited(b"\x0a", kind), delimited(b"\x12", delimited(b"\x0a", body)))
