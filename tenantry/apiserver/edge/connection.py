"""What aiohttp's low-level server is given in place of its own request and response classes, which do more than is needed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import ERROR, RequestHandler

from tenantry.apiserver.edge.sink import RelayTransport, TransportSink
from tenantry.kube.status import bad_request, too_large

log = logging.getLogger(__name__)


class Connection(RequestHandler):
    """One client connection. What is the same for all its requests is read once."""

    __slots__ = ("client_certificate", "remote")

    client_certificate: bytes | None
    remote: str

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self.remote = peer[0] if isinstance(peer, tuple) else ""
        tls = transport.get_extra_info("ssl_object")
        self.client_certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        super().connection_made(transport)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP. aiohttp would log and answer with the offending line, which may hold a credential."""
        log.info("malformed request", extra={"remote": self.remote, "error": type(exc).__name__})
        if isinstance(exc, LineTooLong):
            response = web.Response(status=431, text="431 Request Header Fields Too Large\n")
        else:
            response = web.Response(status=400, text="400 Bad Request\n")
        # In place of the library's and Python's versions.
        response.headers["Server"] = "tenantry"
        response.force_close()
        return response


class Exchange:
    """One request on a connection, in the shape that `RequestHandler` needs of a request object."""

    __slots__ = (
        "_task",
        "body_bytes",
        "body_limit_bytes",
        "connection",
        "deadline",
        "message",
        "payload",
        "sink",
        "task",
        "timed_out",
        "writer",
    )

    def __init__(
        self, message: RawRequestMessage, payload: StreamReader, connection: Connection, writer: AbstractStreamWriter, task: Any
    ) -> None:
        self.message = message
        self.payload = payload
        self.connection = connection
        self.writer = writer
        self.sink: TransportSink | RelayTransport | None = None
        self.task: asyncio.Task[Any] | None = None
        self.deadline = 0.0
        self.body_limit_bytes = 0
        self.body_bytes = 0
        self.timed_out = False
        self._task = task

    async def read_body(self, limit_bytes: int) -> bytes:
        payload = self.payload
        limit_bytes = min(limit_bytes, self.body_limit_bytes)
        declared = self.message.headers.get("content-length")
        if declared is not None and int(declared) > limit_bytes:
            raise too_large(limit_bytes)
        if payload.is_eof():
            body = payload.read_nowait()
        else:
            self._invite()
            chunks: list[bytes] = []
            size = 0
            try:
                while chunk := await payload.readany():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > limit_bytes:
                        break
            except web.RequestPayloadError as error:
                raise bad_request(f"the body of the request could not be read: {error}") from error
            body = b"".join(chunks)
        if len(body) > limit_bytes:
            raise too_large(limit_bytes)
        return body

    async def read_some(self) -> bytes:
        declared = self.message.headers.get("content-length")
        if declared is not None and int(declared) > self.body_limit_bytes:
            raise too_large(self.body_limit_bytes)
        if not self.body_bytes and not self.payload.is_eof():
            self._invite()
        try:
            piece = await self.payload.readany()
        except web.RequestPayloadError as error:
            raise bad_request(f"the body of the request could not be read: {error}") from error
        self.body_bytes += len(piece)
        if self.body_bytes > self.body_limit_bytes:
            raise too_large(self.body_limit_bytes)
        return piece

    def _invite(self) -> None:
        """`100 Continue` for a client that waits for it before it sends a body (RFC 9110 §10.1.1; curl does with big ones)."""
        message, transport = self.message, self.connection.transport
        if message.headers.get("expect", "").lower() == "100-continue" and message.version >= (1, 1) and transport is not None:
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _finish(self) -> None:
        """Called by aiohttp when the handler returned."""

    def _cancel(self, error: BaseException) -> None:
        """Called by aiohttp when the client went away."""
        self.payload.set_exception(error)
        if self.sink is not None:
            self.sink.end()


class Written:
    """Tells aiohttp that the answer has been written already."""

    __slots__ = ("keep_alive",)

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, request: Any) -> None:
        return None

    async def write_eof(self) -> None:
        return None


KEPT = Written(True)
CLOSED = Written(False)


class ConnectionFactory(web.Server):
    """aiohttp's low-level server with the two classes above. Malformed requests still go through aiohttp's own."""

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)

    def _make_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        if message is ERROR or not isinstance(protocol, Connection):
            return super()._make_request(message, payload, protocol, writer, task)
        return Exchange(message, payload, protocol, writer, task)  # type: ignore[return-value]
