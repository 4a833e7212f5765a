"""patch: JSON patch, merge patch, strategic merge patch and server-side apply."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from tenantry.apiserver.body_decoding import BODY_LIMIT_BYTES, check_values, parse, weigh_body
from tenantry.apiserver.decoding import normalise, unknown_in_another_version
from tenantry.apiserver.negotiation import APPLY_PATCH, JSON, JSON_PATCH, MERGE_PATCH, YAML, patch_media_type
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs import metadata
from tenantry.apiserver.verbs.compute import create_outcome, update_outcome
from tenantry.apiserver.verbs.converted import reader, with_managers
from tenantry.apiserver.verbs.create import target_of
from tenantry.apiserver.verbs.managers import known_versions, reset_fields
from tenantry.apiserver.verbs.metadata import check_name, check_namespace, check_type, unnamed
from tenantry.apiserver.verbs.options import IGNORE, STRICT, WriteOptions, write_options
from tenantry.apiserver.verbs.preconditions import check_version
from tenantry.apiserver.verbs.respond import outcome_response, representation_of
from tenantry.apiserver.verbs.translated import managed_picture, picture, translated_create, translated_update
from tenantry.apiserver.verbs.write import OFF_LOOP, ON_LOOP, Outcome, Steps, Target, run
from tenantry.apiserver.worker_threads import run_weighed, weigh
from tenantry.http.messages import Reply
from tenantry.kube.apply.other_versions import OtherVersions
from tenantry.kube.apply.server_side import apply, unconverted
from tenantry.kube.codec import json_codec
from tenantry.kube.field_errors import VALUE_CHARACTERS
from tenantry.kube.field_paths import ReportedPaths
from tenantry.kube.go_decode import Mismatch
from tenantry.kube.go_text import plain, quote
from tenantry.kube.json_equality import same_json
from tenantry.kube.numbers import canonicalise
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.patch import json_patch, merge_patch, restored, strategic_patch
from tenantry.kube.status import FieldError, StatusError, bad_request, conflict, cut, internal, invalid, not_found
from tenantry.storage.record import Record

_SCHEME = 'in scheme "pkg/runtime/scheme.go:111"'
_ROOT_FIELD = re.compile(r"[.\[]")
_NO_OBJECT = "json: cannot unmarshal {} into Go value of type map[string]interface {{}}"


class ParsedPatch(NamedTuple):
    """A decoded patch. `apply` computes the patched object from the current one, which it does not change. `text` is the patch or
    its result as upstream prints it in errors. `repeated` are the paths of duplicate keys. `problem` finds what is wrong with the
    result, before it is decoded. `copies`: the result shares nothing with the current object, and may be changed."""

    apply: Callable[[Object], Any]
    text: Callable[[Object], str]
    repeated: Sequence[str] = ()
    problem: Callable[[Object], str] | None = None
    copies: bool = False


async def patch(call: Call) -> Reply:
    """200 with the object, or 201 where an apply created it. Raises StatusError."""
    media_type = patch_media_type(call.request, custom=call.definition.custom)
    representation = representation_of(call)
    options = write_options(call.request, "PatchOptions", apply=media_type == APPLY_PATCH)
    body = await call.request.read_body(BODY_LIMIT_BYTES)
    call.weight = weigh_body(body, _written_in(body) if media_type == APPLY_PATCH else JSON)
    target = target_of(call, options)
    if media_type == APPLY_PATCH:
        outcome = await _apply(call, target, body, options)
    else:
        parsed = await parse_patch(call, body, media_type)
        outcome = await run(target, lambda record: _patched(target, parsed, options, record))
    return await outcome_response(call, representation, outcome)


async def parse_patch(call: Call, body: bytes, media_type: str) -> ParsedPatch:
    """Raises StatusError 400 for a body that is not JSON."""
    return await run_weighed(call.cluster, weigh(body), lambda: _parse_patch(call, body, media_type), begins=True)


def _parse_patch(call: Call, body: bytes, media_type: str) -> ParsedPatch:
    value, repeated = _decode(body, media_type)
    if call.request.audit is not None:
        call.request.audit.sent_value(value)
    if media_type == JSON_PATCH:
        return ParsedPatch(lambda current: json_patch.apply(current, value), _whole)
    if media_type == MERGE_PATCH:
        return ParsedPatch(lambda current: _merged(current, value), _whole, repeated, copies=True)
    schema, message = call.shape.schema, call.shape.message
    return ParsedPatch(
        lambda current: strategic_patch.apply(current, value, schema),
        lambda _: plain(value),
        repeated,
        None if message is None else lambda result: restored.problem(message, result),
    )


def _merged(current: Object, patch: Any) -> Any:
    """The result of a merge patch. Where it leaves managedFields as they are, these are shared with the current object: they are
    often the largest part of it, and no write changes the sets in them (`kube/apply/field_set.py`)."""
    before, changed = current["metadata"], patch.get("metadata", {}) if isinstance(patch, dict) else None
    if "managedFields" not in before or not isinstance(changed, dict) or "managedFields" in changed:
        return merge_patch.apply(current, patch)
    managed = before.pop("managedFields")
    try:
        merged = merge_patch.apply(current, patch)
    finally:
        before["managedFields"] = managed
    merged["metadata"]["managedFields"] = managed
    return merged


def _patched(target: Target, parsed: ParsedPatch, options: WriteOptions, record: Record | None) -> Steps:
    if record is None:
        raise not_found(target.group_resource, target.name)
    translation = target.translation
    if translation is None:
        read = yield from reader(target, record)
        current = read()
    else:
        # Without managedFields that the view hides: a patch can test and copy what is in its input.
        current = yield from picture(target, translation, record)
    obj = parsed.apply(current)
    managed = None if translation is not None else current["metadata"].get("managedFields")
    _check_result(target, obj, parsed, options, record, managed)
    if translation is not None:
        check_version(target, _version(obj), record, unconditional=target.definition.strategy.unconditional_update)
        return (yield from translated_update(target, translation, obj, record))
    # The result is changed later, and where it shares parts with its input, these have changed by now.
    return (yield from update_outcome(target, obj, current if parsed.copies else read(), record, checked=False))


def _version(obj: Object) -> Any:
    return obj["metadata"].get("resourceVersion")


def _check_result(
    target: Target, obj: Any, parsed: ParsedPatch, options: WriteOptions, record: Record, managed: Any = None
) -> None:
    """Decodes the result of a patch as a body is decoded, in place. `managed`: managedFields as they are stored, if they are
    known."""
    definition, text, repeated = target.definition, parsed.text, parsed.repeated
    if not isinstance(obj, dict):
        raise refused_patch(text(obj), f"couldn't get version/kind; json parse error: {_NO_OBJECT.format(_json_name(obj))}")
    if parsed.problem is not None and (why := parsed.problem(obj)):
        raise refused_patch(text(obj), why)
    if parsed.problem is not None:
        # The result is put into an object of the type, whatever type it names.
        obj["apiVersion"], obj["kind"] = target.api_version, definition.kind
    if obj.get("apiVersion") != target.api_version or obj.get("kind") != definition.kind:
        shown = text(obj) if options.validation == STRICT else ""
        texts = unknown_in_another_version(definition, target.version, obj) if options.validation != IGNORE else []
        if texts and options.validation == STRICT:
            raise refused_patch(shown, f"strict decoding error: {', '.join(texts)}")
        target.warnings += texts
        _check_kind(target, obj, text)
    if obj.get("metadata") is None:
        obj["metadata"] = {}
    shown = text(obj) if options.validation == STRICT else ""
    try:
        unknown = _normalised(target, obj, record, managed)
    except Mismatch as mismatch:
        raise refused_patch(shown or text(obj), mismatch.text()) from None
    if (unknown or repeated) and options.validation != IGNORE:
        texts = [f'duplicate field "{path}"' for path in repeated] + [f'unknown field "{path}"' for path in unknown]
        texts = texts[: ReportedPaths.MAX]
        if options.validation == STRICT:
            raise refused_patch(shown, f"strict decoding error: {', '.join(texts)}")
        target.warnings += texts
    check_name(obj, target.name)
    check_namespace(obj, target.namespace)


def _normalised(target: Target, obj: Object, record: Record | None, managed: Any, *, keeps_nulls: bool = False) -> list[str]:
    """`normalise` for the result of a patch. managedFields that the server wrote (`managed`) are the largest part of many
    objects, and are not looked at again."""
    metadata = obj["metadata"]
    if not managed or not isinstance(metadata, dict) or metadata.get("managedFields") != managed:
        return normalise(target.definition, target.shape, obj, record, keeps_nulls=keeps_nulls)
    del metadata["managedFields"]
    try:
        return normalise(target.definition, target.shape, obj, record, keeps_nulls=keeps_nulls)
    finally:
        metadata["managedFields"] = managed


def _check_kind(target: Target, obj: Object, text: Callable[[Object], str]) -> None:
    definition = target.definition
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    for field, value in (("apiVersion", api_version), ("kind", kind)):
        if value is not None and not isinstance(value, str):
            problem = f"json: cannot unmarshal {_json_name(value)} into Go struct field .{field} of type string"
            raise refused_patch(text(obj), f"couldn't get version/kind; json parse error: {problem}")
    if api_version and api_version.count("/") > 1:
        raise refused_patch(text(obj), f"unexpected GroupVersion string: {api_version}")
    if not definition.custom:
        if api_version == target.api_version and not kind:
            obj["kind"] = definition.kind
            return
        if api_version:
            where = f'version "{api_version}"'
        elif kind and kind != definition.kind:
            where = 'the internal version of group ""'
        else:
            # Upstream decodes it as the internal type then, whose fields have no names in JSON.
            raise unnamed(target.name)
        raise refused_patch(text(obj), f'no kind "{kind or definition.kind}" is registered for {where} {_SCHEME}')
    if not kind:
        shown = cut(_whole(obj), VALUE_CHARACTERS)
        raise refused_patch(text(obj), f"Object 'Kind' is missing in '{shown}'")
    if not api_version:
        raise internal("Object 'apiVersion' is missing in 'object has no apiVersion field'")
    if api_version != target.api_version:
        check_type(obj, definition, target.api_version)


def _json_name(value: Any) -> str:
    return {list: "array", dict: "object", str: "string", bool: "bool"}.get(type(value), "number")


def _whole(obj: Any) -> str:
    """The object in a text: without the annotation that names its logical cluster, as clients of kube-apiserver know it."""
    return orjson.dumps(metadata.without_cluster(obj), option=orjson.OPT_SORT_KEYS).decode()


def refused_patch(value: str, why: str) -> StatusError:
    """422 for a patch whose result cannot be decoded. `value`: the patch or its result as upstream prints it."""
    error = invalid("", "", "", [FieldError("Invalid", "patch", f"Invalid value: {quote(cut(value, VALUE_CHARACTERS))}: {why}")])
    details = {"causes": (error.details or {}).get("causes")}
    return StatusError(error.code, error.reason, error.message, details=details)


def _decode(body: bytes, media_type: str) -> tuple[Any, list[str]]:
    check_values(body)
    try:
        return json_codec.decode(body, duplicates=True)
    except json_codec.OutOfRange as error:
        if media_type == JSON_PATCH:
            raise bad_request("invalid JSON patch") from None
        raise bad_request(f"error decoding patch: {error.message}" if media_type == MERGE_PATCH else error.message) from None
    except StatusError:
        raise bad_request("invalid JSON patch") from None


async def _apply(call: Call, target: Target, body: bytes, options: WriteOptions) -> Outcome:
    config = await _config(target, body, options)
    audit = call.request.audit
    if audit is not None:
        await run_weighed(call.cluster, call.weight, lambda: audit.sent_value(config))

    def compute(record: Record | None) -> Steps:
        if record is None and target.subresource:
            raise not_found(target.group_resource, target.name)
        definition, translation = target.definition, target.translation
        live: Object | None = None
        if translation is not None:
            translation.check(config)
        if record is not None and translation is not None:
            live = yield from managed_picture(target, translation, record)
        elif record is not None:
            read = yield from reader(target, record)
            live = read()
        obj, counts = yield from with_managers(target, live, lambda others: merged(target, config, live, options, record, others))
        check_name(obj, target.name)
        check_namespace(obj, target.namespace)
        if record is not None:
            if translation is not None:
                check_version(target, _version(obj), record, unconditional=definition.strategy.unconditional_update)
                return (yield from translated_update(target, translation, obj, record, applied=True))
            return (yield from update_outcome(target, obj, read(), record, applied=True, checked=False, counts=counts))
        uid = obj["metadata"].get("uid")
        if uid:
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise conflict(target.group_resource, target.name, why)
        yield ON_LOOP
        call.require_create()
        yield OFF_LOOP
        if translation is not None:
            return (yield from translated_create(target, translation, obj, None, applied=True))
        return (yield from create_outcome(target, obj, None, applied=True))

    return await run(target, compute)


def _written_in(body: bytes) -> str:
    """The format that is tried first for an apply. Clients send JSON, which is also YAML, and JSON is read much faster. YAML does
    not have all escapes of JSON."""
    return JSON if body.startswith(b"{") and _NO_ESCAPE_OF_YAML.match(body) is None else YAML


_NO_ESCAPE_OF_YAML = re.compile(rb"(?:[^\\]++|\\(?:[^/u]|u(?:[^dD]|[dD][0-7])))*+\\(?:/|u[dD][89a-fA-F])")
"""Matches a text with an escaped slash or half of a surrogate pair."""
_FRACTION = re.compile(rb"[0-9][.eE]|[0-9]{19}")
"""Finds a number with a fraction or an exponent, or of more than 63 bits, or a text that looks like one."""


async def _config(target: Target, body: bytes, options: WriteOptions) -> Object:
    duplicates = options.validation != IGNORE
    written_in = _written_in(body)
    try:
        config, repeated = await parse(body, written_in, duplicates=duplicates, tenant=target.cluster)
        if written_in == JSON and _FRACTION.search(body) is not None:
            # A number of YAML that is whole is an integer, however it is written.
            await run_weighed(target.cluster, weigh(body), lambda: canonicalise([config]))
    except StatusError:
        # Any body of this media type is YAML, and errors have the YAML decoder's text.
        try:
            config, repeated = await parse(body, YAML, duplicates=duplicates, tenant=target.cluster)
        except StatusError as error:
            problem = error.message.partition("unrecognized: ")[2].rpartition(" (")[0] or error.message
            # Upstream does not look at JSON before it applies it.
            is_json = body.lstrip().startswith(b"{")
            when = "decoding patch: error converting YAML to JSON" if is_json else "encoding patch"
            raise bad_request(f"error {when}: {problem}") from None
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise bad_request(
            f"error decoding patch: error unmarshaling JSON: while decoding JSON: {_NO_OBJECT.format(_json_name(config))}"
        )
    if repeated:
        if options.validation == STRICT:
            raise bad_request(f"error strict decoding YAML: {', '.join(repeated)}")
        target.warnings += repeated
    if isinstance(config.get("metadata"), dict):
        metadata.remove_cluster(config)
    return config


def merged(
    target: Target,
    config: Object,
    live: Object | None,
    options: WriteOptions,
    record: Record | None = None,
    others: OtherVersions | None = None,
) -> tuple[Object, bool]:
    """The object after applying `config`, and whether a part of it was pruned that counts for its generation: upstream counts
    before it prunes what it stores. `live` is the object of `record` and is changed. Raises StatusError, and NotConverted, where
    there are `others`."""
    shape = target.shape
    if live is not None:
        metadata.remove_cluster(live)
    obj = apply(
        live,
        config,
        manager=target.manager,
        force=options.force,
        api_version=target.api_version,
        schema=shape.schema,
        subresource=target.subresource,
        now=timestamp(),
        reset_fields=reset_fields(target.definition, shape, target.subresource),
        kind=target.definition.kind,
        versions=known_versions(target.definition),
        others=others,
    )
    message = shape.message
    if message is None:
        # The metadata of a custom resource is not decoded as a whole, and the server sets this in any case.
        obj["metadata"].pop("creationTimestamp", None)
        if live is not None and "creationTimestamp" in live["metadata"]:
            obj["metadata"]["creationTimestamp"] = live["metadata"]["creationTimestamp"]
    elif why := restored.problem(message, obj):
        raise unconverted(config, why)
    if live is not None and target.definition.conversion is not None and _is_same(live, obj):
        # What a webhook has made of an object has no defaults of this version. An apply that changes nothing adds none.
        return obj, False
    try:
        pruned = _normalised(target, obj, record, obj["metadata"].get("managedFields"), keeps_nulls=True)
    except Mismatch as mismatch:
        raise unconverted(config, mismatch.conversion_text()) from None
    apart = ("metadata", "status") if "status" in shape.subresources else ("metadata",)
    return obj, message is None and any(_ROOT_FIELD.split(path, 1)[0] not in apart for path in pruned)


def _is_same(live: Object, obj: Object) -> bool:
    """Whether two objects differ in their managers at most."""
    one, other = ({**each, "metadata": {**each["metadata"], "managedFields": None}} for each in (live, obj))
    return same_json(one, other)
