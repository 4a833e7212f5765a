"""A fake of a process that others reach over HTTP: it notes what it is asked, and answers as it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tenantry.apiserver.negotiation import error_response
from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server
from tenantry.http.messages import Reply
from tenantry.kube.status import StatusError

_BODY_BYTES_MAX = 1 << 20


@dataclass
class Upstream:
    """`answers`: to the next requests, one for each; `answer`: to all others. A StatusError is answered, another exception is
    raised. `hangs`: nothing is answered before it is set."""

    answer: Reply | BaseException
    answers: list[Reply | BaseException] = field(default_factory=list)
    hangs: asyncio.Event | None = None
    requests: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        self.bodies.append(await request.read_body(_BODY_BYTES_MAX))
        answer = self.answers.pop(0) if self.answers else self.answer
        if self.hangs is not None:
            await self.hangs.wait()
        if isinstance(answer, StatusError):
            return error_response(answer, request)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Its URL."""
        server = http_server(self, tls=tls)
        port = await server.start("127.0.0.1", 0)
        try:
            yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
        finally:
            await server.stop()
