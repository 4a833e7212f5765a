"""What can go wrong in asking, as types. Every text says what to do, where something can be done."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"


class ClientError(Exception):
    """Base of all. `reason` is the service's own name for the rule that refused (ErrorInfo), empty where it gave none."""

    def __init__(self, text: str, *, reason: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class NotFound(ClientError):
    """No tenant, export or shard of that name."""


class InvalidArgument(ClientError):
    """The question is malformed: asking again does not help."""


class NoOwner(ClientError):
    """The tenant exists, and no living shard serves it now, or none newer than the caller knows. Ask again after
    `retry_after_seconds`."""


class Unreachable(ClientError):
    """No gateway answered in time, or the service is overloaded."""


class Closed(ClientError):
    """The client was closed while something was waited for."""


class Refused(ClientError):
    """Anything else that the service says no to: missing rights, a failed precondition, an error of its own."""


_TYPES: dict[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAVAILABLE: Unreachable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unreachable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Unreachable,
}
_NO_OWNER = frozenset(("NO_OWNER", "STALE_GENERATION"))


def from_rpc(error: Any) -> ClientError:
    """`error` is a grpc.RpcError of a call that ended."""
    reason, retry_after = _details(error)
    kind = NoOwner if reason in _NO_OWNER else _TYPES.get(error.code(), Refused)
    text = error.details() or str(error.code())
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        text = f"what answers there is no gateway, or another version of one ({text})"
    return kind(text, reason=reason, retry_after_seconds=retry_after)


def from_failure(code: int, text: str) -> ClientError:
    """Of one tenant in a batch; `code` as google.rpc.Code."""
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
