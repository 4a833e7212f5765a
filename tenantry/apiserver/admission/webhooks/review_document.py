"""AdmissionReviews as they are sent, and what is read of the answers (k8s.io/apiserver/pkg/admission/plugin/webhook/request)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import orjson

from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.worker_threads import weigh
from tenantry.kube.admission_matching import AdmissionRequest, GroupVersionKind, GroupVersionResource, MatchedResource
from tenantry.kube.answer_tables import STATUS
from tenantry.kube.codec.json_syntax import syntax_error
from tenantry.kube.go_decode import Mismatch, normaliser
from tenantry.kube.go_text import quote
from tenantry.kube.message_tables import message
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.kube.webhook_answer import InvalidAnswer, answer_value, check_review_kind

GROUP = "admission.k8s.io"
_KIND = "AdmissionReview"
_CODE_MAX = 999
"""What a status line of HTTP can have; Go panics on a larger one."""
_RESPONSE = message(
    "io.k8s.api.admission.v1.AdmissionResponse",
    """
    1 uid              string(types.UID)
    2 allowed          bool always
    3 status           *Status
    4 patch            bytes
    5 patchType        *string(v1.PatchType)
    6 auditAnnotations map[]string
    7 warnings         []string
    """,
    STATUS,
)
_REVIEW = message("io.k8s.api.admission.v1.AdmissionReview", "2 response *AdmissionResponse", _RESPONSE, root=True)
_check = normaliser(_REVIEW)


class InvalidPatch(Exception):
    """What is wrong with the patch of an answer, in upstream's words."""


class AdmissionResponse(NamedTuple):
    """`status`: the metav1.Status of a denial. `operations`: those of a JSON patch, of that `weight` (`worker_threads.weigh`)."""

    allowed: bool
    status: Object | None
    operations: Sequence[Any]
    weight: int
    annotations: Mapping[str, str]
    warnings: list[str]


def request_values(review: Review, request: AdmissionRequest, matched: MatchedResource) -> Object:
    """An AdmissionRequest without uid and objects. `request`: `review.request`; `matched`: what it was matched as."""
    own = request.matched
    values: Object = {"kind": _kind(matched.kind), "resource": _resource(matched.resource)}
    if request.subresource:
        values["subResource"] = request.subresource
    values |= {"requestKind": _kind(own.kind), "requestResource": _resource(own.resource)}
    if request.subresource:
        values["requestSubResource"] = request.subresource
    if request.name:
        values["name"] = request.name
    if request.namespace:
        values["namespace"] = request.namespace
    return values | {
        "operation": review.operation,
        "userInfo": review.user_info,
        "dryRun": review.dry_run,
        "options": review.operation_options,
    }


def encode_review(version: str, uid: str, values: Object, obj: Object | None, old: Object | None) -> bytes:
    """An AdmissionReview with a request. It may run in a thread."""
    return orjson.dumps(
        {
            "kind": _KIND,
            "apiVersion": f"{GROUP}/{version}",
            "request": {"uid": uid, **values, "object": obj, "oldObject": old},
        }
    )


def decode_response(body: bytes, *, version: str, uid: str, mutating: bool) -> AdmissionResponse:
    """The response in an AdmissionReview. It may run in a thread. Raises InvalidAnswer and InvalidPatch."""
    ordinary = _ordinary(body, uid) if version == "v1" else None
    if ordinary is not None:
        patch = ordinary.patch
        _check_patch(patch, ordinary.patchType, mutating=mutating)
        operations = _operations(patch, ordinary.patchType or "") if mutating else ()
        return AdmissionResponse(True, None, operations, weigh(patch), ordinary.auditAnnotations, ordinary.warnings)
    value = answer_value(body)
    api_version, kind = check_review_kind(value, GROUP, _KIND, version)
    try:
        _check(value)
    except Mismatch as mismatch:
        raise InvalidAnswer(mismatch.text(), read=False) from None
    response: Object | None = value.get("response")
    if response is None:
        raise InvalidAnswer("webhook response was absent")
    patch = base64.b64decode(response.get("patch") or "")
    patch_type: str | None = response.get("patchType")
    if version == "v1":
        _check_v1(response, api_version, kind, uid)
        _check_patch(patch, patch_type, mutating=mutating)
    elif mutating and patch:
        patch_type = "JSONPatch"
    return AdmissionResponse(
        bool(response.get("allowed")),
        response.get("status") if not response.get("allowed") else None,
        _operations(patch, patch_type or "") if mutating and response.get("allowed") else (),
        weigh(patch),
        response.get("auditAnnotations") or {},
        response.get("warnings") or [],
    )


class _Status(msgspec.Struct, forbid_unknown_fields=True):
    metadata: _Empty = msgspec.field(default_factory=lambda: _Empty())
    status: str = ""
    message: str = ""
    reason: str = ""
    code: Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)] = 0


class _Empty(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Ordinary(msgspec.Struct, forbid_unknown_fields=True):
    """A response of the types that its fields should have."""

    uid: str
    allowed: bool
    status: _Status | None = None
    patch: bytes = b""
    patchType: str | None = None
    auditAnnotations: dict[str, str] = {}
    warnings: list[str] = []


class _OrdinaryReview(msgspec.Struct, forbid_unknown_fields=True):
    apiVersion: Literal["admission.k8s.io/v1"]
    kind: Literal["AdmissionReview"]
    response: _Ordinary


_ordinary_review = msgspec.json.Decoder(_OrdinaryReview)


def _ordinary(body: bytes, uid: str) -> _Ordinary | None:
    """The response of an answer that allows the write, as nearly all do; None for others, which may be wrong in many ways."""
    try:
        response = _ordinary_review.decode(body).response
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return response if response.allowed and response.uid == uid else None


def _operations(patch: bytes, patch_type: str) -> Sequence[Any]:
    """The operations of a JSON patch. Raises InvalidPatch."""
    if not patch:
        return ()
    undecodable = "received undecodable patch in webhook response: "
    try:
        operations = orjson.loads(patch)
    except ValueError:
        raise InvalidPatch(undecodable + syntax_error(patch)) from None
    if operations is None:
        return ()
    wrong = (
        operations
        if not isinstance(operations, list)
        else next((each for each in operations if not isinstance(each, dict) and each is not None), None)
    )
    if wrong is not None:
        found = {dict: "object", list: "array", str: "string", bool: "bool"}.get(type(wrong), "number")
        target = "jsonpatch.Patch" if wrong is operations else "jsonpatch.Operation"
        why = f"json: cannot unmarshal {found} into Go value of type {target}"
        raise InvalidPatch(undecodable + why)
    if operations and patch_type != "JSONPatch":
        raise InvalidPatch(f'unsupported patch type "{patch_type}"')
    listed: Sequence[Any] = operations
    return listed


def denial(webhook: str, status: Object | None) -> StatusError:
    """The error for a write that a webhook has denied. A code that HTTP does not have is answered with 500: upstream panics."""
    found = status or {}
    text = f'admission webhook "{webhook}" denied the request'
    why = found.get("message") or found.get("reason") or ""
    code = found.get("code") or 0
    details: Object | None = found.get("details")
    headers = {}
    retry = (details or {}).get("retryAfterSeconds")
    if retry:
        headers["Retry-After"] = str(retry)
    return StatusError(
        max(400, code) if code <= _CODE_MAX else 500,
        found.get("reason") or "",
        f"{text}: {why}" if why else f"{text} without explanation",
        details=details,
        headers=headers,
        list_metadata=found.get("metadata") or None,
    )


def _check_v1(response: Object, api_version: str, kind: str, uid: str) -> None:
    answered = response.get("uid") or ""
    if answered != uid:
        raise InvalidAnswer(f"expected response.uid={quote(uid)}, got {quote(answered)}")
    if api_version != f"{GROUP}/v1" or kind != _KIND:
        given = api_version or "/"
        raise InvalidAnswer(f"expected webhook response of {GROUP}/v1, Kind={_KIND}, got {given}, Kind={kind}")


def _check_patch(patch: bytes, patch_type: str | None, *, mutating: bool) -> None:
    if not mutating:
        if patch:
            raise InvalidAnswer("validating webhook may not return response.patch")
        if patch_type is not None:
            raise InvalidAnswer("validating webhook may not return response.patchType")
        return
    if patch and patch_type is None:
        raise InvalidAnswer("webhook returned response.patch but not response.patchType")
    if not patch and patch_type is not None:
        raise InvalidAnswer("webhook returned response.patchType but not response.patch")
    if patch_type == "":
        raise InvalidAnswer('webhook returned invalid response.patchType of ""')


def _kind(kind: GroupVersionKind) -> Object:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _resource(resource: GroupVersionResource) -> Object:
    return {"group": resource.group, "version": resource.version, "resource": resource.resource}
