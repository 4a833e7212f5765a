"""What a caller learns of an error that a handler did not foresee, and what the log does."""

from __future__ import annotations

import logging

import grpc
import pytest

from tests.rpc.echo import SERVICE, unary
from tests.support.rpc import RpcOnSocket, details


async def test_the_caller_learns_that_there_was_one(served: RpcOnSocket, caplog: pytest.LogCaptureFixture) -> None:
    async with served.channel() as channel:
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(channel, "Break")(b"")
            assert caught.value.code() is grpc.StatusCode.INTERNAL
            assert caught.value.details() == "an internal error occurred; the log of the server has the cause"
            assert details(caught.value)["ErrorInfo"].reason == "INTERNAL"
    records = [record for record in caplog.records if record.name == "tenantry.rpc.internal_errors"]
    assert [(vars(record)["method"], record.levelno) for record in records] == [(f"/{SERVICE}/Break", logging.ERROR)] * 2
    assert "a secret of the inside" in caplog.text


async def test_a_refusal_is_no_error(served: RpcOnSocket, caplog: pytest.LogCaptureFixture) -> None:
    async with served.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel, "Refuse")(b"thing")
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "no thing")
    assert not [record for record in caplog.records if record.name == "tenantry.rpc.internal_errors"]
