"""Limits each client of a gRPC server to a share of its calls and a share of its streams."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import aclosing
from hashlib import blake2b
from typing import Any

import grpc

from tenantry.base.shares import Shares
from tenantry.rpc.error_details import over_quota, refuse, retry_after
from tenantry.rpc.wrapping import WrappingInterceptor

RETRY_SECONDS = 1.0
_CERTIFICATE = "x509_pem_cert"


class CallShares(WrappingInterceptor):
    """Answers RESOURCE_EXHAUSTED with RetryInfo to a client that has reached its share of `calls` or `streams`.

    Streams have no time limit, so they are counted separately from calls with one answer. A client is a certificate together with
    an address: processes with the same certificate on different machines have separate shares.
    """

    def __init__(self, calls: Shares, streams: Shares) -> None:
        super().__init__()
        self._calls = calls
        self._streams = streams

    def wrapped(self, handler: Any, method: str) -> Any:
        if handler.unary_unary is not None:
            changed = {"unary_unary": _one_answer(handler.unary_unary, self._calls)}
        elif handler.stream_unary is not None:
            changed = {"stream_unary": _one_answer(handler.stream_unary, self._streams)}
        elif handler.unary_stream is not None:
            changed = {"unary_stream": _many_answers(handler.unary_stream, self._streams)}
        else:
            changed = {"stream_stream": _many_answers(handler.stream_stream, self._streams)}
        return handler._replace(**changed)


def _one_answer(answer: Any, shares: Shares) -> Any:
    async def counted(request: Any, context: Any) -> Any:
        owners = await _take(shares, context)
        try:
            return await answer(request, context)
        finally:
            shares.give(owners)

    return counted


def _many_answers(answer: Any, shares: Shares) -> Any:
    """Wraps a handler that streams. `answer`: an async generator, or a coroutine that writes to its context itself."""

    # The wrapper is not a generator: a generator around another one would make each message slower.
    async def counted(request: Any, context: Any) -> None:
        owners = await _take(shares, context)
        try:
            answers = answer(request, context)
            if not hasattr(answers, "__aiter__"):
                await answers
                return
            async with aclosing(answers):
                async for message in answers:
                    await context.write(message)
        finally:
            shares.give(owners)

    return counted


async def _take(shares: Shares, context: Any) -> tuple[Hashable, ...]:
    owners = (_client(context),)
    if not shares.take(owners):
        text = f"this client uses {shares.held(owners[0])} of {shares.total} {shares.name}, which is its limit"
        await refuse(
            context,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"{text}; try again later, or ask another server",
            over_quota(shares.name, text),
            retry_after(RETRY_SECONDS),
        )
    return owners


def _client(context: Any) -> Hashable:
    certificates = context.auth_context().get(_CERTIFICATE, ())
    identity = blake2b(certificates[0], digest_size=16).digest() if certificates else b""
    # `ipv4:192.0.2.1:50000`. The port differs for each connection, so it is cut off.
    return identity, context.peer().rpartition(":")[0]
