"""create: POST on a collection."""

from __future__ import annotations

import orjson

from tenantry.apiserver.decoding import read_object
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs import metadata
from tenantry.apiserver.verbs.compute import create_outcome
from tenantry.apiserver.verbs.metadata import NAMES_TRIED, check_namespace
from tenantry.apiserver.verbs.options import WriteOptions, manager_of, write_options
from tenantry.apiserver.verbs.request_selection import visible_to
from tenantry.apiserver.verbs.respond import outcome_response, representation_of
from tenantry.apiserver.verbs.translated import translated_create
from tenantry.apiserver.verbs.write import Outcome, Steps, Target, run
from tenantry.http.messages import Reply
from tenantry.kube.codec import json_slices
from tenantry.kube.objects import Object, name_of
from tenantry.kube.status import StatusError, forbidden
from tenantry.storage.record import Record


async def create(call: Call) -> Reply:
    """201 with the new object. Raises StatusError."""
    representation = representation_of(call)
    options = write_options(call.request, "CreateOptions")
    obj = await read_object(call, options.validation)
    check_namespace(obj, call.namespace)
    if call.definition.terminating:
        why = "create not allowed while custom resource definition is terminating"
        raise forbidden(call.group_resource, name_of(obj), why)
    return await outcome_response(call, representation, await create_object(target_of(call, options), obj))


def target_of(call: Call, options: WriteOptions) -> Target:
    """The target of a write, from the call."""
    translation = call.scope.translation
    return Target(
        scope=call.scope,
        definition=call.definition,
        version=call.version,
        cluster=call.cluster,
        namespace=call.namespace,
        name=call.name,
        subresource=call.subresource,
        user=call.acting_user(),
        manager=manager_of(call.request, options.manager),
        dry_run=options.dry_run,
        options=options.sent,
        visible=visible_to(call),
        translation=translation(call.definition, call.user) if translation is not None else None,
        warnings=call.warnings,
        weight=call.weight,
        audit_annotations=call.audit_annotations,
    )


class ObjectCopies:
    """Gives a copy of a decoded object to each computation of a write, because computations change their object."""

    def __init__(self, obj: Object) -> None:
        self._obj: Object | None = obj
        self._pristine = b""

    def take(self) -> Object:
        obj, self._obj = self._obj, None
        if obj is None:
            obj = json_slices.loads(self._pristine)
        elif not self._pristine:
            self._pristine = orjson.dumps(obj)
        return obj


async def create_object(target: Target, obj: Object) -> Outcome:
    """Creates a decoded object. The object must not be used afterwards. Where a generated name is taken, generates another one.
    Raises StatusError."""
    base = "" if obj["metadata"].get("name") else obj["metadata"].get("generateName", "")
    name = obj["metadata"].get("name", "")
    fresh = ObjectCopies(obj)

    def compute(record: Record | None) -> Steps:
        mine = fresh.take()
        mine["metadata"]["name"] = name
        if target.translation is not None:
            return (yield from translated_create(target, target.translation, mine, record))
        return (yield from create_outcome(target, mine, record))

    target.named = not base
    for left in range(NAMES_TRIED - 1 if base else 0, -1, -1):
        if base:
            name = metadata.generate_name(base)
        target.name = name
        # An existing name is refused, also where the caller cannot see the object: visibility only hides it from readers.
        try:
            return await run(target, compute)
        except StatusError as error:
            if error.reason != "AlreadyExists" or not base:
                raise
            if not left:
                message = f"{error.message}, the server was not able to generate a unique name for the object"
                details = {**(error.details or {}), "retryAfterSeconds": 1}
                raise StatusError(409, error.reason, message, details=details, headers={"Retry-After": "1"}) from None
    raise AssertionError("every attempt returns or raises")
