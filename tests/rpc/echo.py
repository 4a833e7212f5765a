"""A gRPC service whose methods take bytes and give them back, without a contract of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from tenantry.rpc.error_details import missing, reason, refuse

SERVICE = "tests.Echo"


class Echo:
    """`Say` gives back what it got, `Wait` after `gate`; `Break` fails, and `Refuse` refuses.

    `Follow` and `Write` are streams, the one a generator and the other not: they send two messages, wait for `gate`, and send a
    third.
    """

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.waiting = 0

    def add_to(self, server: grpc.aio.Server) -> None:
        handlers = {
            **{name: grpc.unary_unary_rpc_method_handler(getattr(self, name)) for name in ("Say", "Wait", "Break", "Refuse")},
            **{name: grpc.unary_stream_rpc_method_handler(getattr(self, name)) for name in ("Follow", "Write")},
            "Collect": grpc.stream_unary_rpc_method_handler(self.Collect),
            "Talk": grpc.stream_stream_rpc_method_handler(self.Talk),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def Say(self, request: bytes, context: Any) -> bytes:
        return request

    async def Wait(self, request: bytes, context: Any) -> bytes:
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        return request

    async def Break(self, request: bytes, context: Any) -> bytes:
        raise KeyError("a secret of the inside")

    async def Refuse(self, request: bytes, context: Any) -> bytes:
        await refuse(context, grpc.StatusCode.NOT_FOUND, f"no {request.decode()}", reason("NONE"), missing("thing", "x"))

    async def Follow(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield request
        yield b"2"
        await self.gate.wait()
        yield b"3"

    async def Write(self, request: bytes, context: Any) -> None:
        async for message in self.Follow(request, context):
            await context.write(message)

    async def Collect(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([request async for request in requests])

    async def Talk(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request


def unary(channel: grpc.aio.Channel, method: str) -> Any:
    return channel.unary_unary(f"/{SERVICE}/{method}")


def stream(channel: grpc.aio.Channel, method: str) -> Any:
    return channel.unary_stream(f"/{SERVICE}/{method}")(b"1")
