"""What one client may have of a gRPC server at a time, and that it is given back however a call ends."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from tests.rpc.echo import SERVICE, Echo, stream, unary
from tests.support.rpc import RpcOnSocket, details
from tests.support.waiting import eventually


async def refused(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return caught.value


async def test_one_client_has_half_of_the_calls_at_most(served: RpcOnSocket, echo: Echo) -> None:
    calls, _ = served.server.shares
    async with served.channel() as greedy, served.channel() as other:
        under_way = [asyncio.ensure_future(unary(greedy, "Wait")(b"%d" % number)) for number in range(2)]
        await eventually(lambda: echo.waiting == 2)
        found = details(await refused(unary(greedy, "Say")(b"more")))
        assert found["QuotaFailure"].violations[0].subject == "grpc_calls"
        assert found["RetryInfo"].retry_delay.ToMilliseconds() == 1000
        assert await unary(other, "Say")(b"mine") == b"mine"
        assert (calls.used, calls.refused) == (2, 1)
        echo.gate.set()
        assert await asyncio.gather(*under_way) == [b"0", b"1"]
        assert await unary(greedy, "Say")(b"more") == b"more"
    await eventually(lambda: calls.used == 0)


async def test_connections_with_one_certificate_share(served: RpcOnSocket, echo: Echo) -> None:
    """Another connection, with another port, is the same client."""
    who = served.credentials()
    tls = grpc.ssl_channel_credentials(who.ca, who.key, who.certificate)
    apart = [("grpc.use_local_subchannel_pool", 1)]
    async with (
        grpc.aio.secure_channel(served.address, tls, options=apart) as one,
        grpc.aio.secure_channel(served.address, tls, options=apart) as two,
    ):
        under_way = [asyncio.ensure_future(unary(channel, "Wait")(b"")) for channel in (one, two)]
        await eventually(lambda: echo.waiting == 2)
        for channel in (one, two):
            await refused(unary(channel, "Say")(b""))
        echo.gate.set()
        await asyncio.gather(*under_way)


@pytest.mark.parametrize("method", ["Break", "Refuse"])
async def test_a_call_that_fails_gives_its_share_back(served: RpcOnSocket, method: str) -> None:
    calls, _ = served.server.shares
    async with served.channel() as channel:
        for _ in range(3):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(channel, method)(b"thing")
            assert caught.value.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED
        await eventually(lambda: calls.used == 0)
        assert calls.refused == 0


async def test_a_call_that_its_client_leaves_gives_its_share_back(served: RpcOnSocket, echo: Echo) -> None:
    calls, _ = served.server.shares
    async with served.channel() as channel:
        left = unary(channel, "Wait")(b"")
        await eventually(lambda: echo.waiting == 1)
        left.cancel()
        await eventually(lambda: (echo.waiting, calls.used) == (0, 0))
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await unary(channel, "Wait")(b"", timeout=0.05)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(lambda: (echo.waiting, calls.used) == (0, 0))


@pytest.mark.parametrize("method", ["Follow", "Write"])
async def test_streams_are_counted_apart_from_calls(served: RpcOnSocket, echo: Echo, method: str) -> None:
    calls, streams = served.server.shares
    async with served.channel() as greedy, served.channel() as other:
        followed = [stream(greedy, method) for _ in range(3)]
        assert [[await call.read(), await call.read()] for call in followed] == [[b"1", b"2"]] * 3
        await refused(stream(greedy, method).read())
        assert await unary(greedy, "Say")(b"x") == b"x"
        another = stream(other, method)
        assert await another.read() == b"1"
        assert (streams.used, streams.refused) == (4, 1)
        another.cancel()
        await eventually(lambda: (streams.used, calls.used) == (3, 0))
        echo.gate.set()
        for call in followed:
            assert [await call.read(), await call.read()] == [b"3", grpc.aio.EOF]
        await eventually(lambda: streams.used == 0)


async def test_streams_of_requests_are_streams(served: RpcOnSocket) -> None:
    _, streams = served.server.shares
    async with served.channel() as channel:
        collecting = channel.stream_unary(f"/{SERVICE}/Collect")()
        talking = channel.stream_stream(f"/{SERVICE}/Talk")()
        await talking.write(b"a")
        assert await talking.read() == b"a"
        await collecting.write(b"b")
        await eventually(lambda: streams.used == 2)
        await talking.done_writing()
        assert await talking.read() == grpc.aio.EOF
        await collecting.write(b"c")
        await collecting.done_writing()
        assert await collecting == b"bc"
        await eventually(lambda: streams.used == 0)
