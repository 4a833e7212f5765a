"""Errors with google.rpc's standard details (`grpc-status-details-bin`), which clients in every language can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "tenantry.dev"
TEXT_BYTES = 800
"""The longest text in an error, in bytes. All texts are in the trailers of the answer. Clients accept 8 KiB of trailers, and
input of the caller is repeated up to three times."""


async def refuse(context: Any, code: grpc.StatusCode, text: str, *details: Message) -> NoReturn:
    """Ends a call with an error. `context`: the ServicerContext of grpc.aio."""
    status = status_pb2.Status(code=code.value[0], message=short(text))
    for detail in details:
        status.details.add().Pack(detail)
    made = rpc_status.to_status(status)
    await context.abort(made.code, made.details, made.trailing_metadata)
    raise AssertionError("abort does not return")


def reason(name: str, metadata: Mapping[str, str] | None = None) -> Any:
    """An ErrorInfo: the reason of an error. `name`: the reason in UPPER_SNAKE_CASE. `metadata`: what it is about."""
    return error_details_pb2.ErrorInfo(reason=name, domain=DOMAIN, metadata={k: short(v) for k, v in (metadata or {}).items()})


def retry_after(seconds: float) -> Any:
    """A RetryInfo: after how many seconds the client may try again."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(round(seconds * 1000))
    return info


def missing(kind: str, name: str) -> Any:
    """A ResourceInfo: the resource that was not found."""
    return error_details_pb2.ResourceInfo(resource_type=kind, resource_name=short(name))


def bad_field(field: str, text: str) -> Any:
    """A BadRequest: the field of the request that is wrong, and why."""
    violation = error_details_pb2.BadRequest.FieldViolation(field=short(field), description=short(text))
    return error_details_pb2.BadRequest(field_violations=[violation])


def over_quota(subject: str, text: str) -> Any:
    """A QuotaFailure: the limit that was reached."""
    violation = error_details_pb2.QuotaFailure.Violation(subject=short(subject), description=short(text))
    return error_details_pb2.QuotaFailure(violations=[violation])


def short(text: str) -> str:
    """A text for an answer, cut to `TEXT_BYTES`."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= TEXT_BYTES:
        return text
    return f"{raw[:TEXT_BYTES].decode('utf-8', 'ignore')}… ({len(text)} characters)"
