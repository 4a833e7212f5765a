"""Statuses of calls as errors of the library."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc import status_pb2

from tenantry.client.errors import ClientError, InvalidArgument, NoOwner, NotFound, Refused, Unreachable, from_failure, from_rpc
from tenantry.rpc.error_details import reason, retry_after


def failed(code: grpc.StatusCode, text: str = "", trailers: tuple[tuple[str, bytes], ...] | None = ()) -> Any:
    metadata = None if trailers is None else grpc.aio.Metadata(*trailers)
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, text)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidArgument),
        (grpc.StatusCode.UNAVAILABLE, Unreachable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Unreachable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Unreachable),
        (grpc.StatusCode.PERMISSION_DENIED, Refused),
        (grpc.StatusCode.INTERNAL, Refused),
    ],
)
def test_each_code_has_its_type(code: grpc.StatusCode, kind: type[ClientError]) -> None:
    error = from_rpc(failed(code, "why"))
    assert (type(error), str(error), error.reason, error.retry_after_seconds) == (kind, "why", "", None)


def test_the_reason_decides_before_the_code() -> None:
    status = status_pb2.Status(code=grpc.StatusCode.UNAVAILABLE.value[0])
    for detail in (reason("STALE_GENERATION"), retry_after(0.25)):
        status.details.add().Pack(detail)
    trailers = (("other", b"x"), ("grpc-status-details-bin", status.SerializeToString()))
    error = from_rpc(failed(grpc.StatusCode.UNAVAILABLE, "not yet", trailers))
    assert (type(error), error.reason, error.retry_after_seconds) == (NoOwner, "STALE_GENERATION", 0.25)


@pytest.mark.parametrize("trailers", [None, (("grpc-status-details-bin", b"\xff\xff"),)])
def test_details_that_are_none_are_left_out(trailers: Any) -> None:
    error = from_rpc(failed(grpc.StatusCode.NOT_FOUND, "no such tenant", trailers))
    assert (type(error), error.reason) == (NotFound, "")


def test_a_server_that_is_no_gateway_is_named() -> None:
    error = from_rpc(failed(grpc.StatusCode.UNIMPLEMENTED, "unknown service"))
    assert str(error) == "the server there is not a gateway, or of another version (unknown service)"


def test_failures_in_a_batch() -> None:
    kinds = [type(from_failure(code, "why")) for code in (3, 5, 14, 13)]
    assert kinds == [InvalidArgument, NotFound, NoOwner, Refused]
