"""The HTTP front door between processes: each request goes on to the shard that owns its range, over mutual TLS.

Bytes pass as they come, both ways. What is tried again, for a bounded time: what never went out; reads; and what a shard refused
because it does not own the range (`NOT_OWNER`). A write that went out and was not answered may have been carried out, so its
client is told so, and decides.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.figures import ProxyFigures
from gateway.routing import Router
from tenantry.apiserver.authentication.client_certificate import ClientCertificates
from tenantry.apiserver.edge.forwarded import request_head
from tenantry.apiserver.edge.upstream_connection import Answer, UpstreamError
from tenantry.apiserver.endpoints.health import KINDS, Health
from tenantry.apiserver.http import NOT_OWNER, Relay, RelaySink, Reply, Request, frame
from tenantry.apiserver.user import User
from tenantry.kube.status import StatusError, unavailable
from tenantry.tenancy.directory import RangeInfo
from tenantry.tenancy.owners import Owners, Use

_REPLAYED_UP_TO_BYTES = 256 * 1024
"""Bodies up to here are read first, so that they can be sent again; longer ones go on as they come."""
_FIRST_PAUSE_SECONDS = 0.02
_LAST_PAUSE_SECONDS = 0.25
_READS = frozenset(("GET", "HEAD", "OPTIONS"))
_NOT_OWNER = NOT_OWNER.lower().encode()
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(slots=True, eq=False)
class Body:
    """Of a request. `whole` is None for one that is sent as it comes, which can happen once."""

    whole: bytes | None
    length: int | None
    request: Request
    begun: bool = False

    async def pieces(self) -> AsyncIterator[bytes]:
        self.begun = True
        while piece := await self.request.read_some():
            yield piece if self.length is not None else frame(piece)
        if self.length is None:
            yield _LAST_CHUNK


class Proxy:
    """A request handler.

    `identities` knows callers by their client certificates; None where there are none. `patience_seconds`: for how long a request
    waits for its range to have an owner that serves it.
    """

    def __init__(
        self,
        router: Router,
        owners: Owners,
        *,
        identities: ClientCertificates | None,
        health: Health,
        patience_seconds: float = 5.0,
        figures: ProxyFigures | None = None,
    ) -> None:
        self._router = router
        self._owners = owners
        self._identities = identities
        self._health = health
        self._patience_seconds = patience_seconds
        self.figures = figures or ProxyFigures()

    async def __call__(self, request: Request) -> Reply:
        request.verb = request.method.lower()
        if request.path.strip("/").partition("/")[0] in KINDS:
            return self._health.serve(request, request.path)
        user = None
        if self._identities is not None and request.client_certificate is not None:
            user = request.user = self._identities.authenticate_request(request)
        body = await _body(request)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_seconds
        pause = _FIRST_PAUSE_SECONDS
        fresh = False
        while True:
            info = self._router.range_of(request)
            why = "nobody owns the range"
            at_once = False
            if info is not None:
                try:
                    reply = await self._attempt(info, request, user, body, fresh)
                except UpstreamError as error:
                    if error.sent and request.method not in _READS:
                        self.figures.unknown_outcomes += 1
                        raise _unknown_outcome(info, error) from error
                    why = str(error)
                    # A kept connection that the shard had closed meanwhile says nothing about the shard.
                    at_once = error.sent and not fresh
                    fresh = True
                else:
                    if reply is not None:
                        return reply
                    why = f"shard {info.shard} does not serve it yet, or not any more" if info.shard else why
            if loop.time() >= deadline or body.begun:
                name = info.name if info is not None else "of this tenant"
                raise unavailable(f"range {name} is not served at the moment: {why}")
            self.figures.retries += 1
            if not at_once:
                # Many wait at the same time: not all should come back at the same time.
                await self._owners.changed(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, _LAST_PAUSE_SECONDS)

    async def _attempt(self, info: RangeInfo, request: Request, user: User | None, body: Body, fresh: bool) -> Reply | None:
        """None where another attempt may be made, and nothing was done. Raises UpstreamError, StatusError."""
        upstream = self._owners.of(info)
        if upstream is None:
            return None
        streamed = body.whole is None
        sent = request_head(request, user, length=body.length, chunked=streamed and body.length is None)
        connection = await upstream.connection(fresh=fresh)
        use = self._owners.begin(info, connection)
        kept = False
        try:
            answer = await connection.exchange(
                sent + body.whole if body.whole else sent,
                body.pieces() if streamed else None,
                head_only=request.method == "HEAD",
            )
            if answer.status == 503 and _NOT_OWNER in answer.fields:
                if answer.rest is not None:
                    answer.rest.abort()
                return None
            kept = answer.rest is not None
            return self._reply(request, answer, use)
        finally:
            if not kept:
                self._owners.end(use)

    def _reply(self, request: Request, answer: Answer, use: Use) -> Relay:
        rest = answer.rest
        if rest is None:
            return Relay(answer.status, answer.header, answer.body)
        if answer.chunked:
            request.verb = "watch"

        async def run(sink: RelaySink) -> bool:
            try:
                return await rest.pump(sink)
            finally:
                self._owners.end(use)

        def close() -> None:
            rest.abort()
            self._owners.end(use)

        return Relay(answer.status, answer.header, b"", run, answer.chunked, close)


async def _body(request: Request) -> Body:
    headers = request.headers
    declared = headers.get("content-length")
    if declared is None:
        if "transfer-encoding" in headers:
            return Body(None, None, request)
        return Body(b"", None, request)
    length = int(declared)
    if length <= _REPLAYED_UP_TO_BYTES:
        return Body(await request.read_body(_REPLAYED_UP_TO_BYTES) if length else b"", length, request)
    return Body(None, length, request)


def _unknown_outcome(info: RangeInfo, error: UpstreamError) -> StatusError:
    """502 and no Retry-After: client-go would send it again by itself."""
    return StatusError(
        502, "", f"shard {info.shard} went away before it answered; the request may or may not have been carried out ({error})"
    )
