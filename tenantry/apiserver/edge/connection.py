"""What aiohttp's low-level server is given in place of its own request and response classes, which do more than is needed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import ERROR, RequestHandler

from tenantry.apiserver.edge.bodies import Bodies
from tenantry.apiserver.edge.callers import Caller
from tenantry.apiserver.edge.connections import Connections
from tenantry.apiserver.edge.gate import Seat
from tenantry.apiserver.edge.sink import RelayTransport, TransportSink
from tenantry.apiserver.http import credential_of
from tenantry.kube.status import StatusError, bad_request, too_large
from tenantry.loop_turns import turns_of_loop

log = logging.getLogger(__name__)

_REMEMBERED_CHARACTERS = 4096
"""Of an Authorization header that a connection remembers: tokens have some thousand at most, and connections are many."""
_LARGE_BYTES = 64 * 1024
"""From here on a body is large, and waits for others (`Pacing`, `LargeBodies`)."""
_READING = ("reading from a connection",)
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Connection(RequestHandler):
    """One client connection. What is the same for all its requests is read once."""

    __slots__ = (
        "_authorization",
        "_credential",
        "_pool",
        "client_certificate",
        "counted",
        "head_bytes",
        "head_owners",
        "owners",
        "proven",
        "remote",
    )

    client_certificate: bytes | None
    remote: str

    def __init__(self, manager: ConnectionFactory, **options: Any) -> None:
        super().__init__(manager, **options)
        self._pool = manager.pool
        self._authorization = ""
        self._credential = b""
        self.counted = False
        self.proven = False
        """Its caller's credentials were accepted."""
        self.owners: tuple[Hashable, ...] = ()
        self.head_bytes = 0
        self.head_owners: tuple[Hashable, ...] = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self.remote = peer[0] if isinstance(peer, tuple) else ""
        tls = transport.get_extra_info("ssl_object")
        self.client_certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        super().connection_made(transport)
        self._pool.made(self, self._loop.time())

    def connection_lost(self, exc: BaseException | None) -> None:
        self._pool.lost(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        began = time.perf_counter()
        before = self._request_count
        current = self._current_request
        within_body = isinstance(current, Exchange) and not current.payload.is_eof()
        super().data_received(data)
        if self._request_count != before:
            if self.head_bytes:
                self._pool.head_ended(self)
        elif data and not within_body:
            # A body is counted as it is read. aiohttp passes on nothing at all when it resumes a paused connection.
            self._head_received(data, current)
        turns_of_loop.worked(time.perf_counter() - began, _READING)

    def _head_received(self, data: bytes, current: object) -> None:
        """A piece of a head that is not whole yet."""
        if current is None:
            waiter = self._waiter
            if waiter is None or waiter.done():
                # Of a request whose handling is about to begin.
                return
        if not self._pool.head_piece(self, len(data), self._loop.time()):
            log.info("too long a head, or too many", extra={"remote": self.remote})
            if self.transport is not None and current is None:
                self.transport.write(_TOO_LONG)
            self.force_close()

    @property
    def busy(self) -> bool:
        """A request is carried out, and it is not the client who is waited for."""
        current = self._current_request
        return isinstance(current, Exchange) and (current.paced or current.payload.is_eof())

    def hold_reading(self) -> None:
        """Nothing is decrypted until `go_on_reading`; what does not fit into the buffers of the connection stays with the client,
        and that one's end may be noticed late."""
        self._pause_transport_reading()

    def go_on_reading(self) -> None:
        # Its own reasons to wait are aiohttp's.
        if not self._reading_paused and not self._buffer_paused:
            self._resume_transport_reading()

    def credential(self, authorization: str) -> bytes:
        """`Request.credential` of an Authorization header: most clients send the same with each request of a connection."""
        if authorization == self._authorization:
            return self._credential
        found = credential_of(authorization)
        if len(authorization) <= _REMEMBERED_CHARACTERS:
            self._authorization, self._credential = authorization, found
        return found

    def cut(self) -> None:
        """Ends the connection now."""
        if self.transport is not None:
            self.transport.abort()

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


class SlowBody(Exception):
    """A body did not come in the time that it may take."""


class Exchange:
    """One request on a connection, in the shape that `RequestHandler` needs of a request object."""

    __slots__ = (
        "_task",
        "bodies",
        "body_bytes",
        "body_limit_bytes",
        "caller",
        "connection",
        "crowded",
        "deadline",
        "message",
        "paced",
        "payload",
        "receiving_since",
        "seat",
        "sink",
        "task",
        "timed_out",
        "worked_bytes",
        "writer",
    )

    bodies: Bodies
    caller: Caller
    seat: Seat

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
        """What of the body was read, and is counted."""
        self.worked_bytes = 0
        """Of a large body that is worked on."""
        self.receiving_since = 0.0
        self.timed_out = False
        self.paced = False
        """Its body waits for others'."""
        self.crowded = False
        """Its caller has too many connections: this one ends with the answer."""
        self._task = task

    async def read_body(self, limit_bytes: int) -> bytes:
        """The whole body. While it is on its way the request has no seat among those that are carried out."""
        payload = self.payload
        limit_bytes = min(limit_bytes, self.body_limit_bytes)
        declared = self.message.headers.get("content-length")
        if declared is not None and int(declared) > limit_bytes:
            raise too_large(limit_bytes)
        if payload.is_eof():
            body = payload.read_nowait()
            self.bodies.keep(self, len(body))
            if _LARGE_BYTES < len(body) <= limit_bytes:
                self.seat.leave()
                await self.pace(len(body))
        else:
            self.bodies.begin(self, asyncio.get_running_loop().time())
            self.seat.leave()
            try:
                body = await self._receive(limit_bytes)
            finally:
                self.bodies.end(self)
        if len(body) > limit_bytes:
            raise too_large(limit_bytes)
        if len(body) > _LARGE_BYTES and not self.caller.exempt:
            await self.bodies.work(self, len(body))
        await self.seat.take()
        return body

    async def _receive(self, limit_bytes: int) -> bytes:
        self._invite()
        chunks: list[bytes] = []
        try:
            while chunk := await self.payload.readany():
                self.bodies.keep(self, len(chunk))
                chunks.append(chunk)
                if self.body_bytes > limit_bytes:
                    break
                if self.body_bytes > _LARGE_BYTES:
                    await self.pace(len(chunk))
        except SlowBody as error:
            raise StatusError(408, "Timeout", str(error)) from error
        except web.RequestPayloadError as error:
            raise bad_request(f"the body of the request could not be read: {error}") from error
        return b"".join(chunks)

    async def discard(self) -> None:
        """Reads what is left of the body, which nobody wants, at its pace; for a client that reads its answer only then."""
        size = 0
        try:
            while chunk := await self.payload.readany():
                size += len(chunk)
                if size > _LARGE_BYTES:
                    await self.pace(len(chunk))
        except (SlowBody, ConnectionError, web.RequestPayloadError):
            return

    async def pace(self, size: int) -> None:
        """Waits as others' bodies want it, after a piece of so many bytes."""
        if self.caller.exempt:
            await asyncio.sleep(0)
            return
        self.connection.hold_reading()
        try:
            await self.bodies.pace(self, size)
        finally:
            self.connection.go_on_reading()

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

    def __init__(self, handler: Any, connections: Connections, **options: Any) -> None:
        super().__init__(handler, **options)
        self.pool = connections

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
