"""The ConversionReview that a conversion webhook is sent, what is read of its answer, and what the answer may change of an object
(k8s.io/apiextensions-apiserver/pkg/apiserver/conversion). The texts are upstream's, as users see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from tenantry.kube.answer_tables import STATUS
from tenantry.kube.codec import json_codec
from tenantry.kube.codec.json_size import nests_too_deeply
from tenantry.kube.codec.json_syntax import MAX_STORED_DEPTH
from tenantry.kube.go_decode import Mismatch, normaliser
from tenantry.kube.go_text import quote
from tenantry.kube.label_selector_validation import label_errors
from tenantry.kube.message_tables import message
from tenantry.kube.metadata_validation import annotation_errors
from tenantry.kube.objects import CLUSTER_ANNOTATION, Object, cluster_of
from tenantry.kube.status import FieldError, StatusError
from tenantry.kube.webhook_answer import InvalidAnswer, answer_value, check_review_kind

GROUP = "apiextensions.k8s.io"
KIND = "ConversionReview"

CALL_FAILED = "conversion_webhook_call_failure"
MALFORMED = "conversion_webhook_malformed_response_failure"
PARTIAL = "conversion_webhook_partial_response_failure"
INVALID_OBJECT = "conversion_webhook_invalid_converted_object_failure"
"""The `failure_type` of metrics, with upstream's names."""

_RESPONSE = message(
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ConversionResponse",
    """
    1 uid    string(types.UID)
    3 result Status
    """,
    STATUS,
)
_REVIEW = message(
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ConversionReview",
    "2 response *ConversionResponse",
    _RESPONSE,
    root=True,
)
_check = normaliser(_REVIEW)
_GO_TYPES = {dict: "map[string]interface {}", list: "[]interface {}", str: "string", bool: "bool", int: "int64", float: "float64"}
_JSON_NAMES = {list: "array", str: "string", bool: "bool", int: "number", float: "number"}
_TOO_DEEP = "exceeded max depth"
_EMPTY_RESPONSE: Object = {"uid": "", "convertedObjects": None, "result": {"metadata": {}}}


class ConversionFailed(Exception):
    """Why objects are not converted. `failure`: for metrics. `about_objects`: it is what the webhook says about these objects,
    so that it may say something else about others. `place`: of the object that it is about, among those that were sent."""

    def __init__(self, text: str, failure: str, *, about_objects: bool = True) -> None:
        super().__init__(text)
        self.failure = failure
        self.about_objects = about_objects
        self.place = 0


class _Response(msgspec.Struct, gc=False):
    convertedObjects: list[msgspec.Raw] | None = None


class _Answer(msgspec.Struct, gc=False):
    response: _Response | None = None


_objects = msgspec.json.Decoder(_Answer)


def encode_review(review_version: str, uid: str, desired: str, objects: Sequence[Object]) -> bytes:
    """A ConversionReview with a request. `desired`: the apiVersion that is asked for."""
    return orjson.dumps(
        {
            "kind": KIND,
            "apiVersion": f"{GROUP}/{review_version}",
            "request": {"uid": uid, "desiredAPIVersion": desired, "objects": [_sorted(obj) for obj in objects]},
            "response": _EMPTY_RESPONSE,
        }
    )


def _sorted(obj: Object) -> orjson.Fragment:
    """The object with its fields in lexical order, as upstream sends it: errors may show what a webhook has made of it."""
    return orjson.Fragment(orjson.dumps(obj, option=orjson.OPT_SORT_KEYS))


def read_answer(body: bytes, review_version: str, uid: str, kind: str, count: int) -> Sequence[bytes]:
    """The texts of the converted objects in an answer. `kind`: of the objects that were sent, as upstream names it, and how many
    these are. Raises ConversionFailed."""
    failed = f"conversion webhook for {kind} failed: "
    try:
        value = answer_value(body)
        api_version, answered = check_review_kind(value, GROUP, KIND, review_version)
        response: Object | None = value.get("response")
        _check({"response": {name: response.get(name) for name in ("uid", "result")}} if isinstance(response, dict) else value)
        texts = _texts(body, value)
    except InvalidAnswer as error:
        raise ConversionFailed(failed + str(error), CALL_FAILED) from None
    except Mismatch as mismatch:
        raise ConversionFailed(failed + mismatch.text(), CALL_FAILED) from None
    if review_version == "v1" and (api_version, answered) != (f"{GROUP}/v1", KIND):
        given = f"{api_version or '/'}, Kind={answered}"
        raise ConversionFailed(f"{failed}expected webhook response of {GROUP}/v1, Kind={KIND}, got {given}", MALFORMED)
    if response is None:
        raise ConversionFailed(f"{failed}no response provided", MALFORMED)
    given = response.get("uid") or ""
    if review_version == "v1" and given != uid:
        raise ConversionFailed(f"{failed}expected response.uid={quote(uid)}, got {quote(given)}", MALFORMED)
    result: Object = response.get("result") or {}
    if result.get("status") != "Success":
        why = result.get("message") or f"response.result.status was '{result.get('status') or ''}', not 'Success'"
        raise ConversionFailed(failed + why, MALFORMED)
    if len(texts) != count:
        raise ConversionFailed(f"conversion webhook for {kind} returned {len(texts)} objects, expected {count}", PARTIAL)
    return texts


def _texts(body: bytes, value: Object) -> Sequence[bytes]:
    """The converted objects as they were sent: errors show them. An answer in YAML has no such texts. Raises InvalidAnswer."""
    try:
        answer = _objects.decode(body)
        raw = answer.response.convertedObjects if answer.response is not None else None
        return [bytes(each) for each in raw or ()]
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass
    listed: Any = (value.get("response") or {}).get("convertedObjects")
    if listed is None:
        return ()
    if not isinstance(listed, list):
        found = _JSON_NAMES.get(type(listed), "object")
        where = "Go struct field ConversionResponse.response.convertedObjects of type []runtime.RawExtension"
        raise InvalidAnswer(f"json: cannot unmarshal {found} into {where}")
    if nests_too_deeply(listed):
        raise InvalidAnswer(_TOO_DEEP)
    return [orjson.dumps(each) for each in listed]


def converted(original: Object, text: bytes, desired: str, kind: str) -> Object:
    """The object that a webhook has made of `original`: complete, and with the metadata of the original but for labels and
    annotations. `desired`: its apiVersion; `kind`: as in `read_answer`. Raises ConversionFailed."""
    made = _read(text)
    subject = f"conversion webhook for {kind} returned invalid"
    version, wanted = made.get("apiVersion"), desired
    if not isinstance(version, str):
        version = ""
    if version != wanted:
        raise _invalid(f"{subject} object at index 0: invalid groupVersion (expected {wanted}, received {version})")
    if made.get("kind") != original["kind"]:
        raise _invalid(
            f"{subject} object at index 0: invalid kind (expected {original['kind']}, received {made.get('kind') or ''})"
        )
    metadata: Any = made.get("metadata")
    own: Object = original["metadata"]
    for field, name in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        expected, found = own.get(field) or "", _text(metadata, field)
        if expected != found:
            raise _invalid(f"{subject} object: must have the same {name}: {expected} != {found}")
    try:
        made["metadata"] = _restored(own, made)
    except ValueError as error:
        raise _invalid(f"{subject} metadata: {error}") from None
    return made


def _invalid(text: str) -> ConversionFailed:
    return ConversionFailed(text, INVALID_OBJECT)


def _read(text: bytes) -> Object:
    """Raises ConversionFailed for what is no object with a kind (upstream's unstructured scheme)."""
    try:
        value: Any = json_codec.decode(text)[0]
    except StatusError as error:
        raise _invalid(error.message) from None
    if value is None:
        raise _invalid("unexpected end of JSON input")
    if text.count(b"{") + text.count(b"[") > MAX_STORED_DEPTH and nests_too_deeply(value):
        # Deeper than a body of a client may be: it could not be written.
        raise _invalid(_TOO_DEEP)
    if not isinstance(value, dict):
        raise _invalid(f"json: cannot unmarshal {_JSON_NAMES[type(value)]} into Go value of type map[string]interface {{}}")
    version = value.get("apiVersion")
    if not isinstance(value.get("kind"), str) or not value["kind"] or (isinstance(version, str) and version.count("/") > 1):
        raise _invalid(f"Object 'Kind' is missing in '{text.decode(errors='replace')}'")
    return value


def _text(metadata: Any, field: str) -> str:
    value = metadata.get(field) if isinstance(metadata, dict) else None
    return value if isinstance(value, str) else ""


def _restored(own: Object, made: Object) -> Object:
    """The metadata of a converted object. The server's annotation is never lost. Raises ValueError."""
    if "metadata" not in made:
        raise ValueError("missing metadata in converted object")
    metadata = made["metadata"]
    if not isinstance(metadata, dict):
        raise ValueError(f"invalid metadata of type {_go_type(metadata)} in converted object")
    restored: Object = dict(own)
    for field in ("labels", "annotations"):
        found = metadata.get(field)
        if found is None:
            restored.pop(field, None)
            continue
        if not isinstance(found, dict):
            raise ValueError(f"invalid metadata.{field} of type {_go_type(found)} in converted object")
        for key, value in found.items():
            if not isinstance(value, str):
                raise ValueError(f"metadata.{field}[{key}] must be a string, but is {_go_type(value)} in converted object")
        if found != own.get(field, {}) and (errors := _entry_errors(field, found)):
            texts = list(dict.fromkeys(error.message for error in errors))
            raise ValueError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
        restored[field] = found
    cluster = cluster_of({"metadata": own})
    if cluster:
        restored["annotations"] = {**(restored.get("annotations") or {}), CLUSTER_ANNOTATION: cluster}
    return restored


def _entry_errors(field: str, entries: Mapping[str, str]) -> list[FieldError]:
    # Upstream names the field of annotations without its last letter.
    return label_errors(entries, "metadata.labels") if field == "labels" else annotation_errors(entries, "metadata.annotation")


def _go_type(value: Any) -> str:
    return "<nil>" if value is None else _GO_TYPES[type(value)]
