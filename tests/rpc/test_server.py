"""A gRPC server on a real socket: who may call, what it says of itself, and how it ends."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tenantry.rpc.server import serve
from tests.rpc.echo import SERVICE, Echo, unary
from tests.support.rpc import RpcOnSocket
from tests.support.waiting import eventually

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def health(channel: grpc.aio.Channel, service: str = SERVICE) -> int:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    status: int = answer.status
    return status


async def test_it_names_its_services_and_says_that_they_serve(served: RpcOnSocket) -> None:
    async with served.channel() as channel:
        assert [await health(channel, name) for name in ("", SERVICE)] == [SERVING, SERVING]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health(channel, "tests.Nothing")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        asking = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        )
        listed = [service.name async for answer in asking for service in answer.list_services_response.service]
    assert sorted(listed) == sorted([SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"])


async def test_a_method_that_does_not_exist_is_not_kept(served: RpcOnSocket) -> None:
    async with served.channel() as channel:
        for number in range(3):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(channel, f"Nothing{number}")(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert await unary(channel, "Say")(b"x") == b"x"


async def test_a_message_above_the_limit_is_refused(served: RpcOnSocket) -> None:
    async with served.channel() as channel:
        fits = b"x" * (63 * 1024)
        assert await unary(channel, "Say")(fits) == fits
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel, "Say")(b"x" * (65 * 1024))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_who_comes_without_tls_is_not_heard(served: RpcOnSocket) -> None:
    async with grpc.aio.insecure_channel(served.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel, "Say")(b"x", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_address_that_is_taken_is_an_error_with_its_name(served: RpcOnSocket) -> None:
    pair = served.authority.issue_serving(["127.0.0.1"])
    with pytest.raises(OSError, match=f"cannot listen for gRPC on {served.address}: .*; choose another port"):
        await serve({}, served.address, ca=served.authority.certificate, certificate=pair.certificate, key=pair.key)


async def test_its_end_waits_for_calls_under_way(served: RpcOnSocket, echo: Echo) -> None:
    async with served.channel() as channel, served.channel() as another:
        watch = health_pb2_grpc.HealthStub(another).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == SERVING
        under_way = asyncio.ensure_future(unary(channel, "Wait")(b"answered"))
        await eventually(lambda: echo.waiting == 1)
        ending = asyncio.create_task(served.server.stop(30))
        assert (await watch.read()).status == NOT_SERVING, "who watches its health learns it first"
        watch.cancel()
        echo.gate.set()
        assert await under_way == b"answered"
        await ending
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel, "Say")(b"x", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_its_end_does_not_wait_for_ever(served: RpcOnSocket, echo: Echo) -> None:
    async with served.channel() as channel:
        under_way = asyncio.ensure_future(unary(channel, "Wait")(b""))
        await eventually(lambda: echo.waiting == 1)
        await served.server.stop(0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await under_way
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
