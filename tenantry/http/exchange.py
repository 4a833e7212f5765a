"""One request on a connection, from its head to the end of its answer: body, seat and deadline."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiohttp import StreamReader
from aiohttp.http import RawRequestMessage

from tenantry.http.body_limits import Bodies
from tenantry.http.callers import Caller
from tenantry.http.client_connection import ClientConnection
from tenantry.http.errors import BadRequest, BodyTimeout, BodyTooLarge, HttpError
from tenantry.http.gate import Seat
from tenantry.http.sink import RelayTransport, TransportSink

_LARGE_BYTES = 64 * 1024
"""From which size a body is large, so that it waits for others (`Pacing`, `LargeBodies`)."""


class SlowBody(Exception):
    """A body did not arrive in time."""


class MalformedBody(Exception):
    """The parser found a body that is not valid HTTP."""


class Exchange:
    """One request and its answer. `message`: the head. `payload`: the stream of the body. `bodies`: counts the body.

    The server sets `caller` and `seat` when it has read the request, before the body can be asked for.
    """

    __slots__ = (
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
    )

    caller: Caller
    seat: Seat

    def __init__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        connection: ClientConnection,
        bodies: Bodies[Exchange],
        body_limit_bytes: int,
    ) -> None:
        self.message = message
        self.payload = payload
        self.connection = connection
        self.bodies = bodies
        self.body_limit_bytes = body_limit_bytes
        self.sink: TransportSink | RelayTransport | None = None
        self.task: asyncio.Task[Any] | None = None
        self.deadline = 0.0
        self.body_bytes = 0
        """How many bytes of the body were read and are counted (`Bodies`)."""
        self.worked_bytes = 0
        """The size of a large body while the request is processed, else 0."""
        self.receiving_since = 0.0
        self.timed_out = False
        self.paced = False
        """Whether its body waits for bodies of others (`Pacing`)."""
        self.crowded = False
        """Whether its caller has too many connections, so that this one is closed after the answer."""

    async def read_body(self, limit_bytes: int) -> bytes:
        """Reads the whole body (`BodyReader`). The request has no seat while its body is received."""
        payload = self.payload
        limit_bytes = min(limit_bytes, self.body_limit_bytes)
        declared = self.message.headers.get("content-length")
        if declared is not None and int(declared) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        if payload.is_eof():
            body = payload.read_nowait()
            self.bodies.keep(self, len(body))
            if len(body) <= min(_LARGE_BYTES, limit_bytes):
                # It has its seat all the time.
                return body
            if len(body) <= limit_bytes:
                self.seat.leave()
                await self.pace(len(body))
        else:
            self.bodies.begin(self, asyncio.get_running_loop().time())
            self.seat.leave()
            self._invite()
            try:
                body = await self._receive(limit_bytes)
            finally:
                self.bodies.end(self)
        if len(body) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        if len(body) > _LARGE_BYTES and not self.caller.exempt:
            await self.bodies.work(self, len(body))
        await self.seat.take()
        return body

    async def discard(self) -> None:
        """Reads the rest of the body at its pace and drops it. Some clients read the answer only after they have sent
        everything."""
        with suppress(HttpError, ConnectionError):
            await self._receive(None)

    async def _receive(self, limit_bytes: int | None) -> bytes:
        """Reads the rest of the body at its pace. With a limit, the bytes are counted and returned, up to the first piece above
        the limit. Without one (None), they are dropped."""
        size = 0
        chunks: list[bytes] = []
        try:
            while chunk := await self.payload.readany():
                size += len(chunk)
                if limit_bytes is not None:
                    self.bodies.keep(self, len(chunk))
                    chunks.append(chunk)
                    if size > limit_bytes:
                        break
                if size > _LARGE_BYTES:
                    await self.pace(len(chunk))
        except SlowBody as error:
            raise BodyTimeout(str(error)) from error
        except MalformedBody as error:
            raise BadRequest(f"the body of the request could not be read: {error}") from error
        return b"".join(chunks)

    async def pace(self, size: int) -> None:
        """Waits until a piece of `size` bytes may be used and the next one read (`Pacing`)."""
        if self.caller.exempt:
            await asyncio.sleep(0)
            return
        self.connection.hold_reading()
        try:
            await self.bodies.pace(self, size)
        finally:
            self.connection.go_on_reading()

    def _invite(self) -> None:
        """Sends `100 Continue` if the client waits for it before it sends a body (RFC 9110 §10.1.1). curl does for large
        bodies."""
        message, transport = self.message, self.connection.transport
        if message.headers.get("expect", "").lower() == "100-continue" and message.version >= (1, 1) and transport is not None:
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def end_watch(self) -> None:
        """Ends the answer if it is a watch. Called when its client has sent `OPTIONS *` after it."""
        if self.sink is not None:
            self.sink.end()

    def abandon(self, error: BaseException) -> None:
        """Called when the client has closed the connection."""
        self.payload.set_exception(error)
        if self.sink is not None:
            self.sink.end()
