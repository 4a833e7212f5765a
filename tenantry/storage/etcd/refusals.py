"""What an error of a call means: whether it was done, and what to do next.

gRPC gives a code and a text. etcd uses few codes for much, so its texts (`etcdserver: …`) decide; all versions have the same.
"""

from __future__ import annotations

import enum

import grpc

from tenantry.storage.store import Damaged, StoreError, TooLarge, Unavailable

Code = grpc.StatusCode


class NotPermitted(Unavailable):
    """etcd knows who asks, and does not let that user do it."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"etcd does not permit this to the user that it knows us as: {text}; grant that user the role root "
            "(before 3.6, reading and writing of every key is enough)"
        )


class Verdict(enum.Enum):
    """`FINAL`: refused, and would be again. `RENEW`: refused for want of a valid token. `BUSY`: refused, ask again in a moment.
    `ELSEWHERE`: this member cannot serve it, and has not. `UNKNOWN`: it was sent, and there is no word of it."""

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
    "invalid auth token": Verdict.RENEW,
    "revision of auth store is old": Verdict.RENEW,
    "user name is empty": Verdict.RENEW,
    "too many requests": Verdict.BUSY,
    "no leader": Verdict.ELSEWHERE,
    "not capable": Verdict.ELSEWHERE,
    "rpc not supported for learner": Verdict.ELSEWHERE,
    "failed to connect to all addresses": Verdict.ELSEWHERE,
}
_UNKNOWN = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.UNKNOWN, Code.INTERNAL, Code.ABORTED}


def judge_text(text: str) -> Verdict | None:
    """What a text alone says, as in the reason of a cancelled watch."""
    return next((verdict for known, verdict in _BY_TEXT.items() if known in text), None)


def judge(error: grpc.aio.AioRpcError) -> Verdict:
    found = judge_text(error.details() or "")
    if found is not None:
        return found
    if error.code() is Code.UNAUTHENTICATED:
        return Verdict.RENEW
    return Verdict.UNKNOWN if error.code() in _UNKNOWN else Verdict.FINAL


def describe(error: grpc.aio.AioRpcError) -> str:
    return f"{error.details() or 'no details'} ({error.code().name})"


def refusal(error: grpc.aio.AioRpcError) -> StoreError:
    """The exception for an error that is final and nothing more special."""
    text = error.details() or ""
    if error.code() is Code.DATA_LOSS:
        return Damaged(f"etcd says that its data is damaged: {text}")
    if "request is too large" in text or TOO_LARGE_TEXT in text:
        return TooLarge(f"etcd takes no commit of this size: {text}")
    if PERMISSION_TEXT in text:
        return NotPermitted(text)
    return Unavailable(f"etcd refuses: {describe(error)}")
