"""Decodes the body of a write into an object: format, kind, types, unknown and duplicate fields, defaults, with upstream's error
texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenantry.apiserver.body_decoding import BODY_LIMIT_BYTES, parse_at_once, weigh_body
from tenantry.apiserver.negotiation import JSON, body_media_type
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.options import IGNORE, STRICT
from tenantry.apiserver.worker_threads import run_weighed
from tenantry.kube import decode
from tenantry.kube.api_set import ApiSet
from tenantry.kube.codec import json_codec
from tenantry.kube.codec.json_codec import OutOfRange, holds_beyond
from tenantry.kube.codec.json_size import nests_too_deeply
from tenantry.kube.codec.stored import refuses_defaults
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.field_errors import VALUE_CHARACTERS
from tenantry.kube.field_paths import ReportedPaths
from tenantry.kube.go_decode import Mismatch
from tenantry.kube.objects import Object, group_version
from tenantry.kube.schema.default import default
from tenantry.kube.schema.embedded import decode_embedded
from tenantry.kube.schema.prune import prune
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import StatusError, bad_request, cut
from tenantry.storage.record import Record

_SCHEME = 'in scheme "pkg/runtime/scheme.go:111"'
_JSON_NAMES: dict[type, str] = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_NOTHING = Schema(type="object", properties={name: Schema(preserve_unknown=True) for name in ("apiVersion", "kind", "metadata")})
_META_KINDS = frozenset(
    ("Status", "DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions", "ListOptions", "WatchEvent")
)


async def read_object(call: Call, validation: str, stored: Callable[[], Record | None] = lambda: None) -> Object:
    """The object in the body of a POST or PUT, decoded and defaulted, in the shape of the call's version.

    `stored` gives the record that the object replaces. `validation` is the fieldValidation parameter: Ignore, Warn (adds to the
    call's warnings) or Strict. Raises StatusError.
    """
    media_type = body_media_type(call.request)
    body = await call.request.read_body(BODY_LIMIT_BYTES)
    call.weight = weigh_body(body, media_type)
    # A thread may read only immutable values of the scope.
    apis = call.scope.apis()
    record = stored()
    tenant = call.scope.cluster or ""
    return await run_weighed(tenant, call.weight, lambda: _object(call, apis, body, media_type, validation, record), begins=True)


def _object(call: Call, apis: ApiSet, body: bytes, media_type: str, validation: str, record: Record | None) -> Object:
    definition, shape = call.definition, call.shape
    api_version = group_version(definition.group, call.version)
    beyond = ""
    try:
        value, problems = parse_at_once(body, media_type, definition.kind, validation != IGNORE, api_version=api_version)
    except OutOfRange as refused:
        # A built-in type says where the number is, or does not look at it. In a custom one any number is read.
        if shape.message is None or nests_too_deeply(refused.value):
            raise
        value, problems, beyond = refused.value, [], refused.message
    try:
        obj = _check_kind(call, apis, value, body)
    except StatusError:
        if validation != IGNORE and (texts := unknown_in_another_version(definition, call.version, value)):
            if validation == STRICT:
                what = f'{definition.kind} in version "{value["apiVersion"].rpartition("/")[2]}" cannot be handled as a'
                raise bad_request(f"{what} {definition.kind}: strict decoding error: {', '.join(texts)}") from None
            call.warnings += texts
        raise
    try:
        unknown = normalise(definition, shape, obj, record)
    except Mismatch as mismatch:
        text = _text_of(mismatch, shape, body, media_type)
        raise bad_request(f"{_cannot_be_handled(call, obj)}: {text}") from None
    if beyond and holds_beyond(obj):
        raise bad_request(beyond)
    if validation != IGNORE and (problems or unknown):
        if problems and unknown and media_type == JSON and shape.message is not None:
            texts = json_codec.strict_problems(body, unknown)
        else:
            texts = (problems + [f'unknown field "{path}"' for path in unknown])[: ReportedPaths.MAX]
        if validation == STRICT:
            raise bad_request(f"{_cannot_be_handled(call, obj)}: strict decoding error: {', '.join(texts)}")
        call.warnings += texts
    if call.request.audit is not None:
        call.request.audit.sent(obj)
    return obj


def _text_of(mismatch: Mismatch, shape: Version, body: bytes, media_type: str) -> str:
    """Go's text. It shows a number of JSON as it was written."""
    written = json_codec.with_literals(body) if media_type == JSON and mismatch.is_fraction else None
    if isinstance(written, dict):
        try:
            decode.normalise(written, shape)
        except Mismatch as again:
            return again.text()
    return mismatch.text()


def unknown_in_another_version(definition: ResourceDefinition, version: str, value: Any) -> list[str]:
    """The warnings about a body in another version of a custom type than `version`, and the body without unknown fields: upstream
    prunes it by the schema of its own version before it refuses it. A version that does not exist has no fields."""
    if not definition.custom or not isinstance(value, dict) or value.get("kind") != definition.kind:
        return []
    group, _, name = str(value.get("apiVersion")).rpartition("/")
    if group != definition.group or name == version:
        return []
    known = definition.versions.get(name)
    unknown = prune(value, known.schema if known is not None else _NOTHING)
    return [f'unknown field "{path}"' for path in unknown][: ReportedPaths.MAX]


def normalise(
    definition: ResourceDefinition,
    shape: Version,
    obj: Object,
    record: Record | None = None,
    *,
    keeps_nulls: bool = False,
) -> list[str]:
    """Brings a decoded object into the form in which it is stored, in place: checks types, removes unknown fields, adds defaults.

    Where the defaults add more bytes than allowed, the write is refused, unless the stored object (`record`) has the same
    problem. Then no defaults are added: after a change of the schema, an object can still be repaired and its finalizers can be
    removed. `keeps_nulls`: see `default`; so is the result of an apply (upstream).

    Returns the paths of unknown fields. Raises Mismatch, with Go's text, for a value of a wrong type.
    """
    metadata = obj.get("metadata")
    forgets = isinstance(metadata, dict) and metadata.get("managedFields") == []
    decode.normalise(obj, shape)
    if forgets:
        # An empty list removes all managers; a missing list keeps them.
        obj["metadata"]["managedFields"] = []
    if shape.message is not None:
        unknown = decode.unknown_fields(obj, shape.schema)
    else:
        decode_embedded(obj, shape.schema)
        unknown = prune(obj, shape.schema)
        if obj.get("kind", definition.kind) != definition.kind:
            # The schema says nothing about another kind, which is refused later.
            unknown = [path for path in unknown if path.startswith("metadata.")]
        try:
            default(obj, shape.schema, keeps_nulls=keeps_nulls)
        except StatusError:
            if record is None or not refuses_defaults(record.value, definition):
                raise
    definition.strategy.default(obj)
    return unknown


def _check_kind(call: Call, apis: ApiSet, value: Any, body: bytes) -> Object:
    definition = call.definition
    api_version, kind = group_version(definition.group, call.version), definition.kind
    if value is None:
        if definition.custom:
            raise json_codec.unrecognized(definition.kind, "Object 'Kind' is missing in 'null'", body)
        value = {}
    if not isinstance(value, dict):
        found = _JSON_NAMES[type(value)]
        raise json_codec.unrecognized(
            definition.kind,
            f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type {_TYPE_META}",
            body,
        )
    given_version, given_kind = value.get("apiVersion"), value.get("kind")
    if given_version != api_version or given_kind != kind:
        for field, given in (("apiVersion", given_version), ("kind", given_kind)):
            if given is not None and not isinstance(given, str):
                raise json_codec.unrecognized(
                    definition.kind,
                    f"couldn't get version/kind; json parse error: json: cannot unmarshal {_JSON_NAMES[type(given)]} "
                    f"into Go struct field .{field} of type string",
                    body,
                )
        if given_version and given_version.count("/") > 1:
            raise json_codec.unrecognized(definition.kind, f"unexpected GroupVersion string: {given_version}", body)
        if definition.custom:
            _check_custom_type(definition, given_version or "", given_kind or "", api_version, body)
            # Another kind is refused where the object is validated (`compute`).
            kind = given_kind or kind
        else:
            _check_built_in_kind(call, apis, given_version or api_version, given_kind or kind, api_version)
    if value.get("metadata") is None:
        value["metadata"] = {}
    value["apiVersion"], value["kind"] = api_version, kind
    return value


def _check_custom_type(
    definition: ResourceDefinition, given_version: str, given_kind: str, api_version: str, body: bytes
) -> None:
    if not given_kind:
        text = cut(body.decode(errors="replace"), VALUE_CHARACTERS)
        raise json_codec.unrecognized(definition.kind, f"Object 'Kind' is missing in '{text}'", body)
    if given_version != api_version:
        raise bad_request(
            f"the API version in the data ({given_version}) does not match the expected API version ({api_version})"
        )


def _check_built_in_kind(call: Call, apis: ApiSet, given_version: str, given_kind: str, api_version: str) -> None:
    if given_version == api_version and given_kind == call.definition.kind:
        return
    version = given_version.rpartition("/")[2]
    what = f'{given_kind} in version "{version}" cannot be handled as a {call.definition.kind}'
    known = given_kind in _META_KINDS
    for definition in apis:
        if not definition.custom and given_kind in (definition.kind, definition.list_kind):
            known = known or any(group_version(definition.group, name) == given_version for name in definition.versions)
    if known:
        internal = call.definition.group.partition(".")[0] or "core"
        raise bad_request(
            f"{what}: converting ({version}.{given_kind}) to ({internal}.{call.definition.kind}): unknown conversion"
        )
    raise bad_request(f'{what}: no kind "{given_kind}" is registered for version "{given_version}" {_SCHEME}')


def _cannot_be_handled(call: Call, obj: Object) -> str:
    return f'{cut(obj["kind"], VALUE_CHARACTERS)} in version "{call.version}" cannot be handled as a {call.definition.kind}'
