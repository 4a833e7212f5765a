"""Encodes watch events in the representation of a group of watchers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from tenantry.apiserver import records
from tenantry.apiserver.negotiation import PARTIAL, PARTIAL_LIST, TABLE, Representation
from tenantry.kube.codec import stored
from tenantry.kube.codec.partial import partial
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

    @property
    def plain(self) -> bool:
        return self.representation.plain and self.present is None

    @property
    def has_columns(self) -> bool:
        """Whether the stream is one of Tables: only its first event has the columns."""
        return self.representation.transformation == TABLE

    def event(self, kind: bytes, record: Record, resource_version: int, *, columns: bool = False) -> bytes:
        """One line with the content of `record`. `resource_version` is that of the event. It differs from the record's own in
        deletions."""
        definition, version = self.definition, self.version
        if self.plain:
            value = records.shaped(record, definition, version)
            obj = stored.serve(value, resource_version, stored.prefix(definition, version))
        else:
            obj = orjson.dumps(self._shown(records.decode_at(record, definition, version, resource_version), columns))
        return b'{"type":"%b","object":%b}\n' % (kind, obj)

    def bookmark(self, resource_version: int, *, end_of_initial_events: bool = False, columns: bool = False) -> bytes:
        """A BOOKMARK line. A bookmark that ends the initial events has an annotation for that (KEP-3157)."""
        metadata: Object = {"resourceVersion": str(resource_version)}
        if end_of_initial_events:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj: Object = {
            "kind": self.definition.kind,
            "apiVersion": self.definition.api_version(self.version),
            "metadata": metadata,
        }
        if self.representation.transformation:
            obj = self._transformed(obj, columns)
        return b'{"type":"BOOKMARK","object":%b}\n' % orjson.dumps(obj)

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


def error_event(error: StatusError) -> bytes:
    """An ERROR line; the stream ends after it."""
    return b'{"type":"ERROR","object":%b}\n' % orjson.dumps(error.to_object())
