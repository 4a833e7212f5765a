"""The scale subresource: an autoscaling/v1 Scale that shows and sets the replicas of an object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from tenantry.apiserver import records
from tenantry.apiserver.body_decoding import BODY_LIMIT_BYTES, parse
from tenantry.apiserver.conversion.errors import reading
from tenantry.apiserver.negotiation import (
    APPLY_PATCH,
    MERGE_PATCH,
    YAML,
    Representation,
    body_media_type,
    negotiate,
    patch_media_type,
)
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.compute import update_outcome
from tenantry.apiserver.verbs.converted import reader, with_managers
from tenantry.apiserver.verbs.create import target_of
from tenantry.apiserver.verbs.get import find
from tenantry.apiserver.verbs.metadata import check_name, check_namespace
from tenantry.apiserver.verbs.options import WriteOptions, write_options
from tenantry.apiserver.verbs.patch import merged, parse_patch, refused_patch
from tenantry.apiserver.verbs.preconditions import check_version
from tenantry.apiserver.verbs.respond import object_response
from tenantry.apiserver.verbs.translated import managed_picture, picture, translated_update
from tenantry.apiserver.verbs.write import Outcome, Steps, Target, run
from tenantry.apiserver.worker_threads import weigh
from tenantry.http.messages import Reply
from tenantry.kube.admission_matching import GroupVersionKind
from tenantry.kube.columns import AGE, NAME
from tenantry.kube.definition import Column, ResourceDefinition, ScalePaths, Version
from tenantry.kube.field_errors import invalid as invalid_field
from tenantry.kube.go_decode import Mismatch, normaliser
from tenantry.kube.objects import Object
from tenantry.kube.scale import SCALE, SCALE_KIND, integer_at, text_at
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import StatusError, bad_request, internal, invalid, not_found
from tenantry.storage.record import Record

API_VERSION = "autoscaling/v1"
_SCALE = ResourceDefinition(
    group="autoscaling",
    plural="scales",
    singular="scale",
    kind="Scale",
    list_kind="ScaleList",
    namespaced=True,
    versions={
        "v1": Version(
            name="v1",
            schema=Schema(),
            columns=(
                NAME,
                Column(
                    name="Desired",
                    type="integer",
                    description="Number of desired replicas",
                    cell=lambda obj, now: obj["spec"].get("replicas"),
                ),
                Column(
                    name="Available",
                    type="integer",
                    description="Number of actual replicas",
                    cell=lambda obj, now: obj["status"].get("replicas"),
                ),
                replace(AGE, type="date"),
            ),
        )
    },
    storage_version="v1",
    custom=True,
)
"""The type of the answers, for Tables."""


async def get_scale(call: Call) -> Reply:
    """The Scale of the named object. Raises StatusError."""
    representation = _representation(call)
    with reading():
        definition, (record,) = await call.scope.converter.shown((find(call),), call.definition, call.version)
    obj = records.decode(record, definition, call.version)
    obj = _presented(call, obj)
    paths = _paths(call)
    if _replicas_at(obj, paths.spec_replicas) is None:
        raise internal(f'the spec replicas field "{paths.spec_replicas}" does not exist')
    return _response(call, representation, scale_of(obj, paths))


async def update_scale(call: Call) -> Reply:
    """PUT of a Scale. Raises StatusError."""
    options = write_options(call.request, "UpdateOptions")
    value, _ = await parse(
        await call.request.read_body(BODY_LIMIT_BYTES),
        body_media_type(call.request),
        "Scale",
        tenant=call.cluster,
        api_version=API_VERSION,
    )
    if call.request.audit is not None:
        call.request.audit.sent_value(value)
    scale = _checked(value, _unreadable)
    return await _write(call, target_of(call, options), lambda current: scale)


async def patch_scale(call: Call) -> Reply:
    """PATCH of a Scale. Raises StatusError."""
    media_type = patch_media_type(call.request, custom=True)
    options = write_options(call.request, "PatchOptions", apply=media_type == APPLY_PATCH)
    body = await call.request.read_body(BODY_LIMIT_BYTES)
    call.weight = weigh(body)
    target = target_of(call, options)
    if media_type == APPLY_PATCH:
        config, _ = await parse(body, YAML, "Scale", tenant=call.cluster)
        if call.request.audit is not None:
            call.request.audit.sent_value(config)
        return await _apply(call, target, _checked(config, _unreadable), options)
    parsed = await parse_patch(call, body, media_type)

    def patched(current: Object) -> Object:
        result = parsed.apply(current)
        # Before it is checked, which changes it.
        shown = (
            parsed.text(result) if media_type != MERGE_PATCH or not isinstance(result, dict) else _merged_text(current, result)
        )
        return _checked(result, lambda problem: refused_patch(shown, problem))

    return await _write(call, target, patched)


def _merged_text(current: Object, result: Object) -> str:
    """The result of a merge patch as upstream prints it: what the patch touched is sorted, and the rest is in Go's order."""
    shown = {
        name: orjson.Fragment(orjson.dumps(value, option=0 if value == current.get(name) else orjson.OPT_SORT_KEYS))
        for name, value in result.items()
    }
    return orjson.dumps(shown, option=orjson.OPT_SORT_KEYS).decode()


def scale_of(obj: Object, paths: ScalePaths) -> Object:
    """The Scale of an object."""
    metadata = obj["metadata"]
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = _replicas_at(obj, paths.spec_replicas)
    status: Object = {"replicas": _replicas_at(obj, paths.status_replicas) or 0}
    try:
        if paths.selector is not None:
            selector = paths.selector(obj)
        else:
            selector = text_at(obj, paths.label_selector) if paths.label_selector else ""
    except ValueError as error:
        raise StatusError(500, "", str(error)) from None
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": API_VERSION,
        "metadata": {name: metadata[name] for name in names if name in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


async def _write(call: Call, target: Target, change: Callable[[Object], Any]) -> Reply:
    representation = _representation(call)
    paths = _paths(call)

    def compute(record: Record | None) -> Steps:
        if record is None:
            raise not_found(call.group_resource, call.name)
        translation = target.translation
        if translation is None:
            read = yield from reader(target, record)
            old = read()
        else:
            old = yield from picture(target, translation, record)
        scale = change(scale_of(old, paths))
        replicas = _replicas(target, scale, paths) or 0
        if translation is not None:
            check_version(target, scale["metadata"].get("resourceVersion"), record, unconditional=True)
            _put(old, paths.spec_replicas, replicas)
            return (yield from translated_update(target, translation, old, record))
        obj = read()
        _put(obj, paths.spec_replicas, replicas)
        return (yield from _updated(target, paths, obj, old, record, scale))

    outcome = await run(target, compute)
    return _response(call, representation, scale_of(_presented(call, await _written(target, outcome)), paths))


async def _apply(call: Call, target: Target, config: Object, options: WriteOptions) -> Reply:
    """Applies a Scale. This is an apply of the replicas to the object itself, because its managedFields are there."""
    representation = _representation(call)
    paths = _paths(call)
    wanted: Object = {
        "apiVersion": target.api_version,
        "kind": target.definition.kind,
        "metadata": config["metadata"],
    }
    replicas = _replicas(target, config, paths)
    if replicas is not None:
        _put(wanted, paths.spec_replicas, replicas)

    def compute(record: Record | None) -> Steps:
        if record is None:
            raise not_found(call.group_resource, call.name)
        translation = target.translation
        if translation is None:
            read = yield from reader(target, record)
            live = read()
        else:
            translation.check(wanted)
            live = yield from managed_picture(target, translation, record)
        obj, _ = yield from with_managers(target, live, lambda others: merged(target, wanted, live, options, record, others))
        if translation is not None:
            check_version(target, obj["metadata"].get("resourceVersion"), record, unconditional=True)
            return (yield from translated_update(target, translation, obj, record, applied=True))
        return (yield from _updated(target, paths, obj, read(), record, obj, applied=True))

    outcome = await run(target, compute)
    return _response(call, representation, scale_of(_presented(call, await _written(target, outcome)), paths))


async def _written(target: Target, outcome: Outcome) -> Object:
    """The object as the write has left it, in the target's version."""
    if outcome.record is None:
        return outcome.to_object(target)
    definition, (record,) = await target.scope.converter.shown((outcome.record,), target.definition, target.version)
    return records.decode(record, definition, target.version)


class _ScaleForm:
    """What dynamic admission sees of an object whose scale is written."""

    kind = GroupVersionKind(*SCALE_KIND)

    def __init__(self, target: Target, paths: ScalePaths) -> None:
        self._target = target
        self._paths = paths

    def show(self, obj: Object) -> Object:
        return scale_of(obj, self._paths)

    def take(self, obj: Object, changed: Object) -> None:
        scale = _checked(changed, internal)
        _put(obj, self._paths.spec_replicas, _replicas(self._target, scale, self._paths) or 0)


def _updated(
    target: Target, paths: ScalePaths, obj: Object, old: Object, record: Record, sent: Object, *, applied: bool = False
) -> Steps:
    """Writes an object with other replicas. `sent`: the object with the metadata of the request."""
    given: Object = dict(sent["metadata"])
    if not applied and not _is_owned(old, paths.spec_replicas):
        # The Scale of an object has the managers of its replicas. Without any it is not tracked, as other objects.
        target = replace(target, manager="")
    obj["metadata"]["resourceVersion"] = given.get("resourceVersion")
    form = _ScaleForm(target, paths)
    return (yield from update_outcome(target, obj, old, record, applied=applied, checked=False, form=form, sent=given))


def _is_owned(obj: Object, path: str) -> bool:
    """Whether a manager owns a field of an object."""
    names = [f"f:{name}" for name in path.strip(".").split(".")]
    for entry in obj["metadata"].get("managedFields") or ():
        fields: Any = entry.get("fieldsV1")
        for name in names:
            fields = fields.get(name) if isinstance(fields, dict) else None
        if fields is not None:
            return True
    return False


def _presented(call: Call, obj: Object) -> Object:
    """The object as the scope shows it."""
    present = call.scope.present(call.definition, call.user)
    return present(obj) if present is not None else obj


def _checked(value: Any, refusal: Callable[[str], StatusError]) -> Object:
    """The body, if it is a Scale. It is normalised. `refusal`: the error of a value of a wrong type, from Go's text. Raises
    StatusError."""
    if isinstance(value, dict) and value.get("kind", "Scale") == "Scale" and value.get("apiVersion", API_VERSION) == API_VERSION:
        try:
            normaliser(SCALE)(value)
        except Mismatch as mismatch:
            raise refusal(mismatch.text()) from None
        return value
    raise bad_request('no kind is registered for the type v1.Scale in scheme "pkg/runtime/scheme.go:111"')


def _unreadable(problem: str) -> StatusError:
    return bad_request(f'Scale in version "v1" cannot be handled as a Scale: {problem}')


def _replicas(target: Target, scale: Object, paths: ScalePaths) -> int | None:
    """The replicas that a Scale asks for, None where it has none. Raises StatusError."""
    check_name(scale, target.name)
    check_namespace(scale, target.namespace)
    replicas: int | None = (scale.get("spec") or {}).get("replicas")
    if replicas is None:
        return None
    if replicas < 0:
        if not target.definition.custom:
            error = invalid_field("spec.replicas", replicas, "must be greater than or equal to 0")
            raise invalid(_SCALE.group, _SCALE.kind, target.name, [error])
        error = invalid_field(paths.spec_replicas, replicas, "should be a non-negative integer")
        raise invalid(target.definition.group, target.definition.kind, target.name, [error])
    return replicas


def _representation(call: Call) -> Representation:
    # A Scale has a message of its own, whatever the type that it is of.
    return negotiate(call.request.header("accept"), protobuf=True)


def _response(call: Call, representation: Representation, scale: Object) -> Reply:
    return object_response(replace(call, definition=_SCALE, version="v1"), representation, scale)


def _paths(call: Call) -> ScalePaths:
    paths = call.shape.scale
    assert paths is not None
    return paths


def _replicas_at(obj: Object, path: str) -> int | None:
    """Raises StatusError 500 for what is no integer, as upstream: the type got its scale after the object was stored."""
    try:
        return integer_at(obj, path)
    except ValueError as error:
        raise StatusError(500, "", str(error)) from None


def _put(obj: Object, path: str, value: Any) -> None:
    *parents, last = path.strip(".").split(".")
    for name in parents:
        below = obj.get(name)
        if not isinstance(below, dict):
            below = obj[name] = {}
        obj = below
    obj[last] = value
