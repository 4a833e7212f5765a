"""Answers in the representation that the client asked for. Stored bytes are spliced; only other representations are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson

from tenantry.apiserver import records
from tenantry.apiserver.http import Response
from tenantry.apiserver.negotiation import JSON, PARTIAL, PARTIAL_LIST, TABLE, Representation, encode, is_pretty, negotiate
from tenantry.apiserver.verbs.call import Call
from tenantry.apiserver.verbs.write import Outcome
from tenantry.kube.codec import stored
from tenantry.kube.codec.partial import partial
from tenantry.kube.codec.table import table
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.storage.record import Record


def representation_of(call: Call, *, watch: bool = False) -> Representation:
    """What the client accepts. Raises StatusError 406."""
    return negotiate(call.request.header("accept"), watch=watch, custom=call.definition.custom)


def record_response(call: Call, representation: Representation, record: Record, status: int = 200) -> Response:
    """A stored object."""
    definition, version = call.definition, call.version
    present = call.scope.present(definition, call.user)
    if representation.plain and present is None and not is_pretty(call.request):
        prefix = stored.prefix(definition, version)
        return Response(status, records.serve(record, definition, version, prefix), warnings=call.warnings)
    obj = records.decode(record, definition, version)
    return object_response(call, representation, present(obj) if present is not None else obj, status)


def object_response(call: Call, representation: Representation, obj: Object, status: int = 200) -> Response:
    """An object that is not stored as it is answered."""
    shown = obj
    if representation.transformation == TABLE:
        shown = _table(call, representation, [obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")})
    elif representation.transformation == PARTIAL:
        shown = partial(obj, version=representation.version)
    elif representation.transformation == PARTIAL_LIST:
        raise StatusError(406, "NotAcceptable", "you requested PartialObjectMetadataList, but the requested object is not a list")
    return _encoded(call, representation, shown, status)


def outcome_response(call: Call, representation: Representation, outcome: Outcome) -> Response:
    """What a write came to."""
    status = 201 if outcome.created else 200
    if outcome.record is not None:
        return record_response(call, representation, outcome.record, status)
    assert outcome.obj is not None
    present = call.scope.present(call.definition, call.user)
    return object_response(call, representation, present(outcome.obj) if present is not None else outcome.obj, status)


def list_response(call: Call, representation: Representation, found: Sequence[Record], list_metadata: Object) -> Response:
    """A list of stored objects. `list_metadata` is complete but for what a representation leaves out."""
    definition, version = call.definition, call.version
    present = call.scope.present(definition, call.user)
    if representation.plain and present is None and not is_pretty(call.request):
        return Response(200, _joined(call, found, list_metadata), warnings=call.warnings, compressible=True)
    objects = [records.decode(record, definition, version) for record in found]
    if present is not None:
        objects = [present(obj) for obj in objects]
    return objects_response(call, representation, objects, list_metadata)


def objects_response(call: Call, representation: Representation, objects: Sequence[Object], list_metadata: Object) -> Response:
    """A list of decoded objects, each with apiVersion and kind."""
    definition = call.definition
    if representation.transformation == TABLE:
        shown = _table(call, representation, objects, list_metadata)
    elif representation.transformation == PARTIAL_LIST:
        shown = {
            "kind": PARTIAL_LIST,
            "apiVersion": representation.api_version,
            "metadata": list_metadata,
            "items": [partial(obj, version=representation.version) for obj in objects],
        }
    elif representation.transformation == PARTIAL:
        kind = "*unstructured.UnstructuredList" if definition.custom else f"*v1.{definition.list_kind}"
        raise StatusError(
            406, "NotAcceptable", f"you requested PartialObjectMetadata, but the requested object is a list ({kind})"
        )
    else:
        if not definition.custom:
            objects = [{key: value for key, value in obj.items() if key not in ("apiVersion", "kind")} for obj in objects]
        shown = {
            "kind": definition.list_kind,
            "apiVersion": definition.api_version(call.version),
            "metadata": _list_metadata(call, list_metadata),
            "items": objects,
        }
    response = _encoded(call, representation, shown, 200)
    response.compressible = True
    return response


def _joined(call: Call, found: Sequence[Record], list_metadata: Object) -> bytes:
    definition, version = call.definition, call.version
    head = b'{"kind":%b,"apiVersion":%b,"metadata":%b,"items":[' % (
        orjson.dumps(definition.list_kind),
        orjson.dumps(definition.api_version(version)),
        orjson.dumps(_list_metadata(call, list_metadata)),
    )
    prefix = stored.prefix(definition, version, item=True)
    if stored.is_plain(definition, call.shape):
        skip = stored.HEAD_LENGTH
        items = [b'%b%d",%b' % (prefix, record.version, record.value[skip:]) for record in found]
    else:
        items = [records.serve(record, definition, version, prefix) for record in found]
    if not items:
        return head + b"]}"
    # One copy of everything and not three: the ends are joined with the items.
    items[0] = head + items[0]
    items[-1] += b"]}"
    return b",".join(items)


def _list_metadata(call: Call, list_metadata: Object) -> Object:
    # Lists of custom resources always bear `continue`, as upstream's unstructured lists do.
    return {"continue": "", **list_metadata} if call.definition.custom else list_metadata


def _table(call: Call, representation: Representation, objects: Sequence[Object], list_metadata: Object) -> Object:
    return table(
        call.definition,
        call.version,
        objects,
        include_object=call.request.parameter("includeObject"),
        list_metadata=list_metadata,
        columns=True,
        now=datetime.now(UTC),
        meta_version=representation.version,
    )


def _encoded(call: Call, representation: Representation, shown: Object, status: int) -> Response:
    pretty = is_pretty(call.request)
    media_type = representation.media_type
    return Response(status, encode(shown, media_type, pretty=pretty and media_type == JSON), media_type, warnings=call.warnings)
