"""The HTTP front door between processes: each request goes on to the shard that owns its range, over mutual TLS.

Bytes pass as they come, both ways.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.routing import Router
from tenantry.apiserver.authentication.client_certificate import ClientCertificates
from tenantry.apiserver.edge.forwarded import request_head
from tenantry.apiserver.edge.upstream_connection import Answer, UpstreamConnection
from tenantry.apiserver.endpoints.health import KINDS, Health
from tenantry.apiserver.http import Reply, Request, frame
from tenantry.tenancy.forwarding import Forwarding

_REPLAYED_UP_TO_BYTES = 256 * 1024
"""Bodies up to here are read first, so that they can be sent again; longer ones go on as they come."""
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
    """A request handler. `identities` knows callers by their client certificates; None where there are none."""

    def __init__(self, router: Router, forwarding: Forwarding, *, identities: ClientCertificates | None, health: Health) -> None:
        self._router = router
        self._identities = identities
        self._health = health
        self._forwarding = forwarding

    async def __call__(self, request: Request) -> Reply:
        request.verb = request.method.lower()
        if request.path.strip("/").partition("/")[0] in KINDS:
            return self._health.serve(request, request.path)
        user = None
        if self._identities is not None and request.client_certificate is not None:
            user = request.user = self._identities.authenticate_request(request)
        body = await _body(request)
        streamed = body.whole is None
        head = request_head(request, user, length=body.length, chunked=streamed and body.length is None)

        async def exchange(connection: UpstreamConnection) -> Answer:
            return await connection.exchange(
                head + body.whole if body.whole else head,
                body.pieces() if streamed else None,
                head_only=request.method == "HEAD",
            )

        return await self._forwarding.send(
            request, lambda: self._router.range_of(request), exchange, repeatable=lambda: not body.begun
        )


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
