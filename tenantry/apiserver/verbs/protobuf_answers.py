"""The messages of answers in protobuf: of one object, and of lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenantry.apiserver import records
from tenantry.apiserver.negotiation import PARTIAL_LIST, Representation
from tenantry.apiserver.protobuf_records import ProtobufForm
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.list_text import Items, joined
from tenantry.apiserver.worker_threads import is_light, run_weighed, weigh
from tenantry.base.time_slices import turns
from tenantry.kube.answer_tables import LIST
from tenantry.kube.codec.protobuf_encoding import NO_ENCODING, encode_message, envelope_head, item_head
from tenantry.kube.objects import Object
from tenantry.storage.record import Record

_PIECE = 256
"""Records that are looked up between two checks of the clock."""
_BATCH_WEIGHT = 250
"""The weight of the records whose messages are made between two checks of the clock."""

Present = Callable[[Object], Object]


async def protobuf_message(call: Call, form: ProtobufForm, record: Record) -> bytes:
    """Makes the message of a stored object, which the scope shows as it is."""
    return await _weighed(call.scope.cluster or "", weigh(record.value), form, record)


async def protobuf_list(
    call: Call, representation: Representation, found: Sequence[Record], list_metadata: Object, present: Present | None
) -> Sequence[bytes]:
    """The body of a list of stored objects, in pieces. `present`: how the scope shows them, None for as they are."""
    form = ProtobufForm(call.definition, call.version, representation)
    items: list[bytes] = []
    for at in range(0, len(found), _PIECE):
        if at:
            await turns.rest()
        batch = found[at : at + _PIECE]
        if present is None:
            known = form.known(batch)
            there = [message for message in known if message is not None]
            items += there if len(there) == len(known) else await _made(call, form, batch, known)
        else:
            for record in batch:
                items.append(await _presented(call, form, record, present))
                await turns.rest()
    return await _whole(call, representation, list_metadata, items)


async def _made(call: Call, form: ProtobufForm, batch: Sequence[Record], known: Sequence[bytes | None]) -> list[bytes]:
    items: list[bytes] = []
    tenant, total = call.scope.cluster or "", 0
    for record, message in zip(batch, known, strict=True):
        if message is None:
            weight = weigh(record.value)
            message = form.make(record) if is_light(weight) else await _weighed(tenant, weight, form, record)
            total += weight
            if total >= _BATCH_WEIGHT:
                total = 0
                await turns.rest()
        items.append(message)
    return items


async def _weighed(tenant: str, weight: int, form: ProtobufForm, record: Record) -> bytes:
    return await run_weighed(tenant, weight, lambda: form.make(record))


async def _presented(call: Call, form: ProtobufForm, record: Record, present: Present) -> bytes:
    tenant, weight = call.scope.cluster or "", weigh(record.value)
    obj = await run_weighed(tenant, weight, lambda: records.decode(record, call.definition, call.version))
    shown = present(obj)
    return await run_weighed(tenant, weight, lambda: form.of_object(shown))


async def _whole(call: Call, representation: Representation, list_metadata: Object, items: list[bytes]) -> Sequence[bytes]:
    definition = call.definition
    if representation.transformation == PARTIAL_LIST:
        head = envelope_head(representation.api_version, PARTIAL_LIST)
    else:
        head = envelope_head(definition.api_version(call.version), definition.list_kind)
    metadata = encode_message(LIST, {"metadata": list_metadata})
    size = len(metadata)
    if len(items) <= _RUN:
        size += sum(map(len, items))
    else:
        for at in range(0, len(items), _RUN):
            size += sum(map(len, items[at : at + _RUN]))
            await turns.rest()
    before = b"%b%b%b" % (head, item_head(size), metadata)
    return await joined(Items(before, b"", NO_ENCODING, before + NO_ENCODING, _as_it_is), items)


_RUN = 10_000
"""Items whose sizes are summed up between two checks of the clock."""


def _as_it_is(obj: Object) -> bytes:
    raise AssertionError("the items are made already")
