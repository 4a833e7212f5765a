"""update: PUT of a whole object or of a subresource."""

from __future__ import annotations

from tenantry.apiserver.decoding import read_object
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.compute import create_outcome, update_outcome
from tenantry.apiserver.verbs.converted import reader
from tenantry.apiserver.verbs.create import ObjectCopies, target_of
from tenantry.apiserver.verbs.metadata import check_name, check_namespace
from tenantry.apiserver.verbs.options import WriteOptions, write_options
from tenantry.apiserver.verbs.preconditions import check_uid, check_version
from tenantry.apiserver.verbs.respond import outcome_response, representation_of
from tenantry.apiserver.verbs.translated import translated_create, translated_update
from tenantry.apiserver.verbs.write import OFF_LOOP, ON_LOOP, Outcome, Steps, Target, current_record, run
from tenantry.http.messages import Reply
from tenantry.kube.objects import Object
from tenantry.kube.status import not_found
from tenantry.storage.cell import NotOwned
from tenantry.storage.record import Record
from tenantry.storage.store import StoreError


async def update(call: Call) -> Reply:
    """200 with the object, or 201 where the type is created by a PUT. Raises StatusError."""
    representation = representation_of(call)
    options = write_options(call.request, "UpdateOptions")
    obj = await read_object(call, options.validation, lambda: _stored(call, options))
    check_name(obj, call.name)
    check_namespace(obj, call.namespace)
    return await outcome_response(call, representation, await _replace(call, target_of(call, options), obj))


def _stored(call: Call, options: WriteOptions) -> Record | None:
    try:
        return current_record(target_of(call, options))
    except (StoreError, NotOwned):
        # The write itself raises this error.
        return None


async def _replace(call: Call, target: Target, obj: Object) -> Outcome:
    strategy = target.definition.strategy
    fresh = ObjectCopies(obj)

    def compute(record: Record | None) -> Steps:
        mine = fresh.take()
        if record is None:
            if not strategy.create_on_update or target.subresource:
                raise not_found(target.group_resource, target.name)
            yield ON_LOOP
            call.require_create()
            yield OFF_LOOP
            mine["metadata"].pop("resourceVersion", None)
            if target.translation is not None:
                return (yield from translated_create(target, target.translation, mine, None))
            return (yield from create_outcome(target, mine, None))
        check_uid(target, mine, record)
        if target.translation is not None:
            check_version(target, mine["metadata"].get("resourceVersion"), record, unconditional=strategy.unconditional_update)
            return (yield from translated_update(target, target.translation, mine, record))
        old = (yield from reader(target, record))()
        return (yield from update_outcome(target, mine, old, record, checked=False))

    return await run(target, compute)
