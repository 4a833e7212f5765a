"""Classifies errors of etcd calls: final, retry with a new token, retry later, use another member, or outcome unknown.

gRPC gives a code and a text. etcd uses one code for many errors, so its texts (`etcdserver: …`) decide. They are the same in all
versions.
"""

from __future__ import annotations

import enum

import grpc

from tenantry.storage.store import Damaged, StoreError, TooLarge, Unavailable

Code = grpc.StatusCode


class NotPermitted(Unavailable):
    """etcd authenticated the user and does not permit the call."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"etcd does not permit this call to the configured user: {text}; grant that user the role root "
            "(before 3.6, reading and writing of every key is enough)"
        )


class CallOutcome(enum.Enum):
    """What an error means for a call.

    `FINAL`: it was refused, and a retry would be too. `RENEW`: it was refused because the token is not valid. `BUSY`: it was
    refused;
    retry later. `ELSEWHERE`: this member did not serve it and cannot; use another. `UNKNOWN`: it was sent, and its outcome is not
    known."""

    FINAL = enum.auto()
    RENEW = enum.auto()
    BUSY = enum.auto()
    ELSEWHERE = enum.auto()
    UNKNOWN = enum.auto()


COMPACTED_TEXT = "required revision has been compacted"
FULL_TEXT = "database space exceeded"
FUTURE_TEXT = "required revision is a future revision"
LEASE_GONE_TEXT = "requested lease not found"
TOO_LARGE_TEXT = "larger than max"
PERMISSION_TEXT = "permission denied"

_BY_TEXT = {
    "invalid auth token": CallOutcome.RENEW,
    "revision of auth store is old": CallOutcome.RENEW,
    "user name is empty": CallOutcome.RENEW,
    "too many requests": CallOutcome.BUSY,
    "no leader": CallOutcome.ELSEWHERE,
    "not capable": CallOutcome.ELSEWHERE,
    "rpc not supported for learner": CallOutcome.ELSEWHERE,
    "failed to connect to all addresses": CallOutcome.ELSEWHERE,
}
_UNKNOWN = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.UNKNOWN, Code.INTERNAL, Code.ABORTED}


def judge_text(text: str) -> CallOutcome | None:
    """Classifies a text without a code, such as the reason of a cancelled watch. None: the text is not known."""
    return next((verdict for known, verdict in _BY_TEXT.items() if known in text), None)


def judge(error: grpc.aio.AioRpcError) -> CallOutcome:
    found = judge_text(error.details() or "")
    if found is not None:
        return found
    if error.code() is Code.UNAUTHENTICATED:
        return CallOutcome.RENEW
    return CallOutcome.UNKNOWN if error.code() in _UNKNOWN else CallOutcome.FINAL


def describe(error: grpc.aio.AioRpcError) -> str:
    return f"{error.details() or 'no details'} ({error.code().name})"


def refusal(error: grpc.aio.AioRpcError) -> StoreError:
    """The exception of the store contract for a final error."""
    text = error.details() or ""
    if error.code() is Code.DATA_LOSS:
        return Damaged(f"etcd reports damaged data: {text}")
    if "request is too large" in text or TOO_LARGE_TEXT in text:
        return TooLarge(f"the commit is too large for etcd: {text}")
    if PERMISSION_TEXT in text:
        return NotPermitted(text)
    return Unavailable(f"etcd refused the call: {describe(error)}")
