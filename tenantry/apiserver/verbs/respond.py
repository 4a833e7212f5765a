"""Answers in the representation that the client asked for. Stored bytes are copied into JSON answers; other representations are
decoded.

Lists are made in slices and item by item, so that neither a long list nor a large object blocks the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial as bind
from typing import Any

from tenantry.apiserver import records
from tenantry.apiserver.negotiation import (
    JSON,
    PARTIAL,
    PARTIAL_LIST,
    PROTOBUF,
    TABLE,
    YAML,
    Representation,
    encode,
    is_pretty,
    negotiate,
)
from tenantry.apiserver.protobuf_records import ProtobufForm
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.list_text import Items, joined, list_text, pieces_of
from tenantry.apiserver.verbs.protobuf_answers import protobuf_list, protobuf_message
from tenantry.apiserver.verbs.stored_rows import row_of_stored, weight_of_row, weight_with_columns
from tenantry.apiserver.verbs.write import Outcome
from tenantry.apiserver.worker_threads import run_weighed, weigh
from tenantry.base.time_slices import turns
from tenantry.http.messages import Response
from tenantry.kube.codec import stored
from tenantry.kube.codec.partial import partial
from tenantry.kube.codec.protobuf_encoding import NO_ENCODING
from tenantry.kube.codec.table import table
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.storage.record import Record

_BATCH_WEIGHT = 250
"""Bytes of the records that are handled between two checks of the clock."""
_RUN = 1000
"""Records that are looked at between two checks of the clock, where that takes a tenth of a microsecond."""
_SLOW_BATCH_BYTES = 64 * 1024
"""The same for YAML, which a thread encodes at about one microsecond for each byte."""


def representation_of(call: Call, *, watch: bool = False) -> Representation:
    """The representation that the client accepts. Raises StatusError 406."""
    definition = call.definition
    return negotiate(
        call.request.header("accept"), watch=watch, custom=definition.custom, protobuf=call.shape.protobuf is not None
    )


async def record_response(call: Call, representation: Representation, record: Record, status: int = 200) -> Response:
    """The answer with a stored object."""
    definition, version = call.definition, call.version
    present = call.scope.present(definition, call.user)
    if definition.conversion is not None:
        definition, (record,) = await call.scope.converter.shown((record,), definition, version)
        call = replace(call, definition=definition)
    if representation.plain and present is None and not is_pretty(call.request):
        prefix = stored.prefix(definition, version)
        return Response(status, records.serve(record, definition, version, prefix), warnings=call.warnings)
    if representation.media_type == PROTOBUF and present is None and representation.transformation != PARTIAL_LIST:
        form = ProtobufForm(definition, version, representation)
        message = form.get(record) or await protobuf_message(call, form, record)
        return Response(status, b"%b%b%b" % (form.head, message, NO_ENCODING), PROTOBUF, warnings=call.warnings)
    weight = _weight(call, representation, record)
    read: Callable[[Record], Object] = bind(records.decode, definition=definition, version=version)
    if present is not None and _in_threads(present):
        read, present = _then(read, present), None
    obj = await run_weighed(_tenant(call), weight, lambda: read(record))
    shown = present(obj) if present is not None else obj
    return await run_weighed(_tenant(call), weight, lambda: object_response(call, representation, shown, status))


def object_response(call: Call, representation: Representation, obj: Object, status: int = 200) -> Response:
    """The answer with an object that is not stored in this form."""
    shown = obj
    if representation.transformation == TABLE:
        shown = _table(call, representation, [obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")})
    elif representation.transformation == PARTIAL:
        shown = partial(obj, version=representation.version)
    elif representation.transformation == PARTIAL_LIST:
        if call.definition.custom:
            raise StatusError(500, "", "content is not a list")
        kind = _go_kind(call, call.definition.kind)
        raise StatusError(
            406, "NotAcceptable", f"you requested PartialObjectMetadataList, but the requested object is not a list ({kind})"
        )
    pretty, media_type = is_pretty(call.request), representation.media_type
    return Response(status, encode(shown, media_type, pretty=pretty and media_type == JSON), media_type, warnings=call.warnings)


async def outcome_response(call: Call, representation: Representation, outcome: Outcome) -> Response:
    """The answer to a write."""
    status = 201 if outcome.created else 200
    if outcome.record is not None:
        return await record_response(call, representation, outcome.record, status)
    obj = outcome.obj
    assert obj is not None
    present = call.scope.present(call.definition, call.user)
    if present is not None and _in_threads(present):
        obj = await run_weighed(_tenant(call), outcome.weight, bind(present, obj))
    elif present is not None:
        obj = present(obj)
    return await run_weighed(_tenant(call), outcome.weight, lambda: object_response(call, representation, obj, status))


async def list_response(
    call: Call,
    representation: Representation,
    found: Sequence[Record],
    list_metadata: Object,
    *,
    bytes_max: int | None = None,
) -> Response:
    """The answer with a list of stored objects. `list_metadata` is complete, except for what a representation leaves out. `found`
    is changed. `bytes_max` is an upper bound for the bytes of its values, where one is known."""
    definition, version = call.definition, call.version
    present = call.scope.present(definition, call.user)
    if definition.conversion is not None:
        definition, found = await call.scope.converter.listed(found, definition, version)
        call, bytes_max = replace(call, definition=definition), None
    pretty = is_pretty(call.request) and representation.media_type == JSON
    if representation.plain and present is None and not pretty:
        text = list_text(_list_of(call, list_metadata), "items", JSON, pretty=False)
        return _response(call, JSON, await _spliced(call, found, text, bytes_max))
    if representation.transformation == PARTIAL:
        kind = "*unstructured.UnstructuredList" if definition.custom else _go_kind(call, definition.list_kind)
        raise StatusError(
            406, "NotAcceptable", f"you requested PartialObjectMetadata, but the requested object is a list ({kind})"
        )
    if representation.media_type == PROTOBUF:
        return _response(call, PROTOBUF, await protobuf_list(call, representation, found, list_metadata, present))
    text, encode_item = _shape(call, representation, list_metadata, pretty=pretty)
    if present is None and call.shape.row_order is None and not pretty:
        row = row_of_stored(call, representation, datetime.now(UTC))
        if row is not None and await _served_as_stored(call, found):
            return _response(call, JSON, await joined(text, await _rows(call, representation, found, row)))
    order = call.shape.row_order if representation.transformation == TABLE else None
    items: list[bytes] = []
    places: list[Any] = []
    read: Callable[[Record], Object] = bind(records.decode, definition=definition, version=version)
    if present is not None and _in_threads(present):
        read, present = _then(read, present), None
    most = _SLOW_BATCH_BYTES if representation.media_type == YAML else _BATCH_WEIGHT
    for batch, weight in _batches(found, bind(_weight, call, representation), most):
        objects = await run_weighed(_tenant(call), weight, bind(_each, read, batch))
        if present is not None:
            for at, obj in enumerate(objects):
                objects[at] = present(obj)
                await turns.rest()
        if order is not None:
            places += map(order, objects)
        items += await run_weighed(_tenant(call), weight, bind(_each, encode_item, objects))
        await turns.rest()
    if order is not None:
        items = [items[at] for at in sorted(range(len(items)), key=places.__getitem__)]
    return _response(call, representation.media_type, await joined(text, items))


async def _rows(
    call: Call, representation: Representation, found: Sequence[Record], row: Callable[[Record], bytes]
) -> list[bytes]:
    rows: list[bytes] = []
    for batch, weight in _batches(found, bind(weight_of_row, len(call.shape.columns))):
        rows += await run_weighed(_tenant(call), weight, bind(_each, row, batch))
        await turns.rest()
    return rows


def _go_kind(call: Call, kind: str) -> str:
    """The name of a built-in type in Go, which is that of its internal version."""
    return f"*{call.definition.group.partition('.')[0] or 'core'}.{kind}"


def _in_threads(present: Callable[[Object], Object]) -> bool:
    return getattr(present, "in_threads", False)


def _then(read: Callable[[Record], Object], present: Callable[[Object], Object]) -> Callable[[Record], Object]:
    return lambda record: present(read(record))


def _each(function: Callable[..., object], values: Iterable[object]) -> list[Any]:
    return [function(value) for value in values]


def _batches(
    found: Sequence[Record], weigh_record: Callable[[Record], int], most: int = _BATCH_WEIGHT
) -> Iterator[tuple[list[Record], int]]:
    """The records in batches, with the weight of each batch. A batch is handled at once, or is one job of a thread."""
    batch: list[Record] = []
    weight = 0
    for record in found:
        batch.append(record)
        weight += weigh_record(record)
        if weight >= most:
            yield batch, weight
            batch, weight = [], 0
    if batch:
        yield batch, weight


def _weight(call: Call, representation: Representation, record: Record) -> int:
    if representation.media_type == YAML:
        return len(record.value)
    weight = weigh(record.value)
    return weight_with_columns(weight, len(call.shape.columns)) if representation.transformation == TABLE else weight


def _tenant(call: Call) -> str:
    return call.scope.cluster or ""


def _list_of(call: Call, list_metadata: Object) -> Object:
    definition = call.definition
    # Lists of custom resources always have `continue`, as upstream's unstructured lists do.
    metadata = {"continue": "", **list_metadata} if definition.custom else list_metadata
    return {
        "kind": definition.list_kind,
        "apiVersion": definition.api_version(call.version),
        "metadata": metadata,
        "items": [],
    }


def _shape(
    call: Call, representation: Representation, list_metadata: Object, *, pretty: bool
) -> tuple[Items, Callable[[Object], bytes]]:
    """The text around the items of a list that is not protobuf, and how one item is encoded. Raises StatusError."""
    definition, version, media_type = call.definition, representation.version, representation.media_type
    key, make = "items", _as_it_is
    if representation.transformation == TABLE:
        key, now = "rows", datetime.now(UTC)
        whole = _table(call, representation, [], list_metadata, now)

        def make(obj: Object) -> Object:
            row: Object = _table(call, representation, [obj], list_metadata, now, columns=False)["rows"][0]
            return row

    elif representation.transformation == PARTIAL_LIST:
        whole = {"kind": PARTIAL_LIST, "apiVersion": representation.api_version, "metadata": list_metadata, "items": []}
        make = bind(partial, version=version)
    else:
        whole = _list_of(call, list_metadata)
        make = _as_it_is if definition.custom else _without_type
    text = list_text(whole, key, media_type, pretty=pretty)
    return text, lambda obj: text.item(make(obj))


def _as_it_is(obj: Object) -> Object:
    return obj


def _without_type(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}


async def _spliced(call: Call, found: Sequence[Record], text: Items, bytes_max: int | None) -> Sequence[bytes]:
    definition, version = call.definition, call.version
    prefix = stored.prefix(definition, version, item=True)
    if not found or not await _served_as_stored(call, found):
        items: list[bytes] = []
        for record in found:
            items.append(records.serve(record, definition, version, prefix))
            await turns.rest()
        return await joined(text, items)
    pieces: list[bytes] = []
    left = len(found)
    # Every item begins with the same prefix, so it becomes a part of the text between two items.
    before, between = text.before + prefix, text.between + prefix
    for batch in pieces_of(found, bytes_max):
        left -= len(batch)
        pieces.append(_piece(batch, before, between, b"" if left else text.behind))
        before = between
        if left:
            await turns.rest()
    return pieces


def _piece(batch: Sequence[Record], before: bytes, between: bytes, behind: bytes) -> bytes:
    """Several items of a list. One format for all of them copies each value once less than a format for each."""
    values: list[object] = [before]
    add, after_head = values.append, stored.AFTER_HEAD
    for record in batch:
        add(record.version)
        add(record.value[after_head])
    add(behind)
    items = between.replace(b"%", b"%%").join([b'%d",%b'] * len(batch))
    form: bytes = b"%b" + items + b"%b"
    return form % tuple(values)


async def _served_as_stored(call: Call, found: Sequence[Record]) -> bool:
    """Whether no value has to be reshaped: the type is plain, or all were written under its present schema."""
    if stored.is_plain(call.definition, call.shape):
        return True
    for at in range(0, len(found), _RUN):
        if not records.are_in_shape(found[at : at + _RUN], call.definition, call.version):
            return False
        await turns.rest()
    return True


def _response(call: Call, media_type: str, pieces: Sequence[bytes]) -> Response:
    body, *more = pieces
    return Response(200, body, media_type, warnings=call.warnings, compressible=True, more=more)


def _table(
    call: Call,
    representation: Representation,
    objects: Sequence[Object],
    list_metadata: Object,
    now: datetime | None = None,
    *,
    columns: bool = True,
) -> Object:
    return table(
        call.definition,
        call.version,
        objects,
        include_object=call.request.parameter("includeObject"),
        list_metadata=list_metadata,
        columns=columns,
        now=now or datetime.now(UTC),
        meta_version=representation.version,
    )
