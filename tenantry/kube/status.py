"""Kubernetes Status errors as exceptions.

Every error that a client may see is a `StatusError`. The API server turns it into the Status object and code of the API
conventions (metav1.Status). The functions below make errors with the texts that clients match on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

from tenantry.kube.go_text import quote
from tenantry.kube.objects import GroupResource, Object

CAUSES_MAX = 200
"""The most causes that a Status shows. Upstream shows all of them, each with the whole value."""
_NAME_CHARACTERS = 2048
TEXT_CHARACTERS = 24 * 1024
"""The most characters of a Status's message, and again of all its causes. The first cause is always shown, cut to this length."""


def cut(text: str, characters: int) -> str:
    """The text, cut to a length, with a sign where it was cut."""
    return text if len(text) <= characters else f"{text[:characters]}..."


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of `details.causes`; `reason` is a metav1.CauseType such as FieldValueInvalid, or empty."""

    reason: str
    message: str
    field: str = ""

    def to_object(self) -> Object:
        out: Object = {"reason": self.reason, "message": self.message} if self.reason else {"message": self.message}
        if self.field:
            out["field"] = self.field
        return out


@dataclass(frozen=True, slots=True)
class FieldError:
    """A validation failure: `field` is a path as Go's field.Path prints it, `detail` the text after the value.

    `kind` is one of Required, Invalid, NotSupported, Duplicate, Forbidden, TypeInvalid, TooLong, TooMany, NotFound, Internal.
    `text` is the whole message without the field, for example `Invalid value: "x": must be …`.
    """

    kind: str
    field: str
    text: str

    @property
    def message(self) -> str:
        return f"{self.field}: {self.text}"

    def to_cause(self) -> Cause:
        return Cause("InternalError" if self.kind == "Internal" else f"FieldValue{self.kind}", self.text, self.field)


class StatusError(Exception):
    """An error that is answered with a Status (`status: Failure`).

    `details` is the wire form of metav1.StatusDetails. `headers` are sent with the answer (Retry-After, Allow).
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        headers: dict[str, str] | None = None,
        list_metadata: Object | None = None,
    ) -> None:
        message = cut(message, TEXT_CHARACTERS)
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}
        self.list_metadata = list_metadata or {}

    def __copy__(self) -> Self:
        """A copy to raise in place of a cached error: a raised error refers to the stack frames that it passed."""
        other = type(self).__new__(type(self), *self.args)
        other.__dict__.update(self.__dict__)
        return other

    def to_object(self) -> Object:
        out: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.list_metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            out["reason"] = self.reason
        if self.details is not None:
            out["details"] = self.details
        out["code"] = self.code
        return out


class PlainError(StatusError):
    """An error that is answered in plain text and not as a Status: errors of handlers outside of the API machinery (proxies,
    unknown paths)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, "", message)


def bounded_causes(causes: Iterable[Cause]) -> list[Object]:
    """Causes in their wire form, as many as a Status shows."""
    out: list[Object] = []
    left = TEXT_CHARACTERS
    for cause in islice(causes, CAUSES_MAX):
        left -= len(cause.message) + len(cause.field)
        if left < 0 and out:
            break
        out.append(Cause(cause.reason, cut(cause.message, TEXT_CHARACTERS), cut(cause.field, TEXT_CHARACTERS)).to_object())
    return out


def _details(group: str, kind: str, name: str = "", **more: Any) -> Object:
    out: Object = {}
    if name:
        out["name"] = cut(name, _NAME_CHARACTERS)
    if group:
        out["group"] = cut(group, _NAME_CHARACTERS)
    out["kind"] = cut(kind, _NAME_CHARACTERS)
    out.update(more)
    return out


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: GroupResource, name: str, why: str, *, causes: Sequence[Cause] = ()) -> StatusError:
    """403 `<resource> "<name>" is forbidden: <why>`."""
    message = f"{resource} {quote(name)} is forbidden: {why}" if name else f"{resource} is forbidden: {why}"
    details = _details(resource.group, resource.resource, name)
    if causes:
        details["causes"] = bounded_causes(causes)
    return StatusError(403, "Forbidden", message, details=details)


def not_found(resource: GroupResource, name: str) -> StatusError:
    return StatusError(
        404, "NotFound", f"{resource} {quote(name)} not found", details=_details(resource.group, resource.resource, name)
    )


def generic_not_found() -> StatusError:
    """404 for a resource that a served group version does not have."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def method_not_allowed(resource: GroupResource, verb: str) -> StatusError:
    return StatusError(
        405,
        "MethodNotAllowed",
        f'{verb} is not supported on resources of kind "{resource}"',
        details=_details(resource.group, resource.resource),
    )


def not_acceptable(accepted: Iterable[str]) -> StatusError:
    return StatusError(
        406,
        "NotAcceptable",
        f"only the following media types are accepted: {', '.join(accepted)}",
    )


def already_exists(resource: GroupResource, name: str, *, deleting: bool = False) -> StatusError:
    before = "object is being deleted: " if deleting else ""
    return StatusError(
        409,
        "AlreadyExists",
        f"{before}{resource} {quote(name)} already exists",
        details=_details(resource.group, resource.resource, name),
    )


def conflict(resource: GroupResource, name: str, why: str = "") -> StatusError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    return StatusError(
        409,
        "Conflict",
        f"Operation cannot be fulfilled on {resource} {quote(name)}: {why}",
        details=_details(resource.group, resource.resource, name),
    )


def expired(message: str, *, continue_token: str = "") -> StatusError:
    """410 Expired. With `continue_token` a client can continue with an inconsistent list."""
    return StatusError(410, "Expired", message, list_metadata={"continue": continue_token} if continue_token else None)


def too_large(limit_bytes: int) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit_bytes}")


def too_many_values(limit: int) -> StatusError:
    """413; the values are counted in `kube.codec.json_size`."""
    message = f"Request entity too large: an object may hold {limit} objects, lists, strings, numbers and literals"
    return StatusError(413, "RequestEntityTooLarge", message)


def unsupported_media_type(accepted: Iterable[str]) -> StatusError:
    return StatusError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}",
    )


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422. Here `details.kind` is the Kind and not the plural resource."""
    # An update validates metadata twice upstream: each cause is listed twice, but its message said once.
    shown = list(islice(errors, CAUSES_MAX))
    messages = list(dict.fromkeys(e.message for e in shown))
    text = messages[0] if len(messages) == 1 else "[" + ", ".join(messages) + "]"
    qualified = cut(f"{kind}.{group}" if group else kind, _NAME_CHARACTERS)
    return StatusError(
        422,
        "Invalid",
        f"{qualified} {quote(cut(name, _NAME_CHARACTERS))} is invalid: {text}",
        details=_details(group, kind, name, causes=bounded_causes(e.to_cause() for e in shown)),
    )


def too_many_requests(message: str, retry_after_seconds: int = 1) -> StatusError:
    return StatusError(
        429,
        "TooManyRequests",
        message,
        details={"retryAfterSeconds": retry_after_seconds},
        headers={"Retry-After": str(retry_after_seconds)},
    )


def internal(message: str) -> StatusError:
    details = {"causes": [{"message": cut(message, TEXT_CHARACTERS)}]}
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", details=details)


def unavailable(message: str, retry_after_seconds: int = 1) -> StatusError:
    return StatusError(
        503,
        "ServiceUnavailable",
        message,
        details={"retryAfterSeconds": retry_after_seconds},
        headers={"Retry-After": str(retry_after_seconds)},
    )


def timeout(message: str, *, causes: Sequence[Cause] = (), retry_after_seconds: int = 1) -> StatusError:
    details: Object = {"retryAfterSeconds": retry_after_seconds}
    if causes:
        details["causes"] = bounded_causes(causes)
    return StatusError(504, "Timeout", message, details=details, headers={"Retry-After": str(retry_after_seconds)})


def request_timed_out() -> StatusError:
    """504 for a request that took too long, in upstream's words."""
    why = "request did not complete within requested timeout - context deadline exceeded"
    return StatusError(504, "Timeout", f"Timeout: {why}", details={})


_UID_DIGITS = 32
_DRAWN_AT_ONCE = 128
"""For so many UIDs random bytes are drawn at once. A draw is a system call that releases the interpreter lock, and each release
wakes a thread that waits for the lock and rarely gets it."""


class _RandomDigits:
    """The hexadecimal digits of UIDs, drawn and not used yet. Threads share them: `next` is atomic. Processes must not."""

    def __init__(self) -> None:
        self._left: Iterator[str] = iter(())
        os.register_at_fork(after_in_child=self._forget)

    def take(self) -> str:
        return next(self._left, "") or self._draw()

    def _draw(self) -> str:
        digits = os.urandom(_DRAWN_AT_ONCE * _UID_DIGITS // 2).hex()
        left = iter([digits[at : at + _UID_DIGITS] for at in range(0, len(digits), _UID_DIGITS)])
        first = next(left)
        self._left = left
        return first

    def _forget(self) -> None:
        self._left = iter(())


_random = _RandomDigits()


def new_uid() -> str:
    """metadata.uid: a random UUID (RFC 9562 version 4). May be called in any thread."""
    # `uuid.uuid4` makes an integer and an object of it first, which takes three times as long.
    digits = _random.take()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[int(digits[16], 16) & 3]}{digits[17:20]}-{digits[20:]}"
