"""The errors of the clients, as types. A text says what to do, if something can be done."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"


class ClientError(Exception):
    """The base class. `reason`: of google.rpc.ErrorInfo, the service's name for the cause; empty if there is none.

    `retry_after_seconds`: of google.rpc.RetryInfo; None if there is none.
    """

    def __init__(self, text: str, *, reason: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class NotFound(ClientError):
    """There is no tenant, export or shard with this name."""


class InvalidArgument(ClientError):
    """The request is malformed. A retry does not help."""


class NoOwner(ClientError):
    """The tenant exists, but no living shard serves it now, or the gateway knows no newer location than the caller.

    Call again after `retry_after_seconds`.
    """


class Unreachable(ClientError):
    """No gateway answered in time, or the service is overloaded."""


class Closed(ClientError):
    """The client was closed during a call."""


class Refused(ClientError):
    """Any other error of the service: missing permissions, a failed precondition, an internal error."""


_TYPES: dict[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAVAILABLE: Unreachable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unreachable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Unreachable,
}
_NO_OWNER = frozenset(("NO_OWNER", "STALE_GENERATION"))


def from_rpc(error: Any) -> ClientError:
    """The error of a failed call. `error`: its grpc.RpcError."""
    reason, retry_after = _details(error)
    kind = NoOwner if reason in _NO_OWNER else _TYPES.get(error.code(), Refused)
    text = error.details() or str(error.code())
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        text = f"the server there is not a gateway, or of another version ({text})"
    return kind(text, reason=reason, retry_after_seconds=retry_after)


def from_failure(code: int, text: str) -> ClientError:
    """The error of one tenant in a batch. `code`: google.rpc.Code."""
    return {3: InvalidArgument, 5: NotFound, 14: NoOwner}.get(code, Refused)(text)


def _details(error: Any) -> tuple[str, float | None]:
    reason, retry_after = "", None
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS:
            continue
        try:
            status = status_pb2.Status.FromString(value)
        except DecodeError:
            return "", None
        for detail in status.details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
                reason = info.reason
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                retry = error_details_pb2.RetryInfo()
                detail.Unpack(retry)
                retry_after = retry.retry_delay.ToMilliseconds() / 1000
    return reason, retry_after
