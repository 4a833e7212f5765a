"""One client connection of the server. It answers one request after the other.

aiohttp's parser (llhttp) reads the bytes. The protocol around it is our own: see docs/decisions/0016-http-on-aiohttps-parser.md.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress

from aiohttp import StreamReader
from aiohttp.http import HttpProcessingError, HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import LineTooLong

from tenantry.base.loop_turns import turns_of_loop
from tenantry.http.body_limits import Bodies
from tenantry.http.connections import Connections
from tenantry.http.exchange import Exchange, MalformedBody
from tenantry.http.messages import credential_of

logger = logging.getLogger(__name__)

Serve = Callable[[Exchange], Awaitable[bool]]
"""Answers a request. Returns whether the connection may be reused for the next one."""

_REMEMBERED_CHARACTERS = 4096
"""The longest Authorization header that a connection remembers. Tokens have up to a few thousand characters, and there are many
connections."""
_READ_BYTES = 256 * 1024
"""How many bytes of a body may be unread before reading pauses. It is also the most that one read returns."""
_QUEUED_REQUESTS = 32
"""How many requests may be read ahead of the present one before reading pauses. It continues at half of them."""
_READING = ("reading from a connection",)
_PLAIN = "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}\n"


def _refusal(status: str) -> bytes:
    return _PLAIN.format(status, len(status) + 1, status).encode()


_MALFORMED = _refusal("400 Bad Request")
_TOO_LONG = _refusal("431 Request Header Fields Too Large")


class ServerConnection(asyncio.Protocol):
    """One connection of a client. `serve`: answers its requests. `pool`: counts it. It has no task while it is idle."""

    __slots__ = (
        "__weakref__",
        "_authorization",
        "_bodies",
        "_credential",
        "_current",
        "_drained",
        "_ended",
        "_full",
        "_idle_since",
        "_idle_timer",
        "_loop",
        "_messages",
        "_on_hold",
        "_parser",
        "_pool",
        "_reading_paused",
        "_receive",
        "_serve",
        "_tail",
        "client_certificate",
        "counted",
        "head_bytes",
        "head_owners",
        "owners",
        "proven",
        "remote",
        "task",
        "transport",
        "writing_paused",
    )

    def __init__(self, serve: Serve, pool: Connections, bodies: Bodies[Exchange]) -> None:
        self._loop = loop = asyncio.get_running_loop()
        limits = pool.limits
        self._parser: HttpRequestParser | None = HttpRequestParser(
            self,  # type: ignore[arg-type] # it asks for `connected`, `pause_reading` and `resume_reading`
            loop,
            _READ_BYTES,
            max_line_size=limits.header_line_bytes,
            max_field_size=limits.header_line_bytes,
            max_headers=limits.headers,
            payload_exception=MalformedBody,
            auto_decompress=False,
            max_msg_queue_size=_QUEUED_REQUESTS,
        )
        self._serve = serve
        self._pool = pool
        self._bodies = bodies
        self._messages: deque[tuple[RawRequestMessage, StreamReader] | HttpProcessingError] = deque()
        self._tail: bytes | None = None
        """The bytes after a request to switch to another protocol, until it is answered. None: there is no such request."""
        self._receive: Callable[[bytes], None] | None = None
        """Takes all received bytes once the protocol was switched."""
        self._current: Exchange | None = None
        self.task: asyncio.Task[None] | None = None
        """Answers the received requests. None while there are none."""
        self._ended = False
        """Whether the connection is being closed. Received bytes are dropped."""
        self._reading_paused = False
        """Reading is paused by the body: too many of its bytes are unread."""
        self._full = False
        """Reading is paused because too many requests wait for their answers."""
        self._on_hold = False
        self.writing_paused = False
        self._drained: asyncio.Future[None] | None = None
        self._idle_since = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None
        self.remote = ""
        self.client_certificate: bytes | None = None
        self._authorization = ""
        self._credential = b""
        self.counted = False
        self.proven = False
        """Whether credentials were accepted on this connection."""
        self.owners: tuple[Hashable, ...] = ()
        self.head_bytes = 0
        self.head_owners: tuple[Hashable, ...] = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self.remote = peer[0] if isinstance(peer, tuple) else ""
        tls = transport.get_extra_info("ssl_object")
        self.client_certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        plain = transport.get_extra_info("socket")
        if plain is not None:
            with suppress(OSError):
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._idle_since = self._loop.time()
        self._look_again(self._pool.limits.idle_timeout_seconds)
        self._pool.add(self, self._idle_since)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._pool.remove(self)
        self._ended = True
        self.transport = None
        self._parser = None
        self._receive = None
        self._messages.clear()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._current is not None:
            self._current.abandon(exc or ConnectionResetError("the client went away"))
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        began = time.perf_counter()
        if self._receive is not None:
            self._receive(data)
            turns_of_loop.worked(time.perf_counter() - began, _READING)
            return
        current = self._current
        within_body = current is not None and not current.payload.is_eof()
        if self._tail is not None:
            self._tail += data
            came = False
        else:
            came = self._parse(data)
        if came:
            if self.head_bytes:
                self._pool.head_ended(self)
            if self.task is None:
                self.task = self._loop.create_task(self._work())
        elif data and not within_body and (current is not None or self.task is None):
            # `Exchange` counts the bytes of a body. A request that waits for its task may have one.
            self._head_received(data)
        turns_of_loop.worked(time.perf_counter() - began, _READING)

    def eof_received(self) -> bool | None:
        """Returns None, which closes the transport: a client that closes its side gets no more answers."""
        return None

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    async def drained(self) -> None:
        """Waits until the client has read most of the written bytes, or the connection is closed."""
        while self.writing_paused and self.transport is not None:
            if self._drained is None or self._drained.done():
                self._drained = self._loop.create_future()
            await self._drained

    @property
    def connected(self) -> bool:
        return self.transport is not None

    def pause_reading(self) -> None:
        """Called by the body when too many of its bytes are unread."""
        self._reading_paused = True
        if self._parser is not None:
            self._parser.pause_reading()
        self._pause_transport()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Called by the body for each piece that was read, even if reading is not paused."""
        if not self._reading_paused:
            return
        self._reading_paused = False
        if resume_parser:
            # Parses what the parser kept when it was paused.
            self.data_received(b"")
        self._resume_transport()

    def hold_reading(self) -> None:
        """Pauses reading and decrypting until `go_on_reading`. What does not fit into the buffers of the connection stays with
        the client, and the end of the client may be noticed late."""
        self._on_hold = True
        self._pause_transport()

    def go_on_reading(self) -> None:
        self._on_hold = False
        self._resume_transport()

    @property
    def busy(self) -> bool:
        """Whether a request is in progress and the server is not waiting for the client."""
        current = self._current
        return current is not None and (current.paced or current.payload.is_eof())

    def credential(self, authorization: str) -> bytes:
        """`Request.credential` for an Authorization header. It remembers the last one: most clients send the same one each
        time."""
        if authorization == self._authorization:
            return self._credential
        found = credential_of(authorization)
        if len(authorization) <= _REMEMBERED_CHARACTERS:
            self._authorization, self._credential = authorization, found
        return found

    def close(self) -> None:
        """Closes the connection after the present answer."""
        self._ended = True
        if self.task is None and self.transport is not None:
            self.transport.close()

    def force_close(self) -> None:
        """Closes the connection after the written bytes are sent."""
        self._ended = True
        if self.transport is not None:
            self.transport.close()

    def cut(self) -> None:
        """Aborts the connection. Written bytes may not be sent."""
        self._ended = True
        if self.transport is not None:
            self.transport.abort()

    async def _work(self) -> None:
        """Answers the received requests, one after the other."""
        kept = True
        try:
            while self._messages and kept and not self._ended:
                found = self._messages.popleft()
                if isinstance(found, HttpProcessingError):
                    self._refuse(found)
                    kept = False
                    continue
                if self._parser is not None:
                    self._parser.message_consumed()
                if self._full and len(self._messages) <= _QUEUED_REQUESTS // 2:
                    self._read_on()
                exchange = self._current = Exchange(*found, self, self._bodies, self._pool.limits.body_bytes)
                try:
                    kept = await self._serve(exchange) and exchange.payload.is_eof()
                finally:
                    self._current = None
                if self._tail is not None and kept and not self._messages:
                    self._go_on_with_http()
        except ConnectionError:
            kept = False
        except Exception:  # an error ends only this connection
            logger.exception("connection failed", extra={"remote": self.remote})
            kept = False
        except BaseException:
            self.force_close()
            raise
        finally:
            self.task = None
        if not kept or self._ended:
            self.force_close()
        else:
            self._idle_since = self._loop.time()

    def _parse(self, data: bytes) -> bool:
        """Parses bytes. Returns whether there is a new request (or an error to answer)."""
        if self._parser is None:
            return False
        messages: Sequence[tuple[RawRequestMessage, StreamReader]]
        try:
            messages, other_protocol, tail = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._messages.append(error)
            self._pause_transport()
            return True
        if other_protocol:
            self._tail = tail
        if not messages:
            return False
        self._messages.extend(messages)
        if self._current is not None and any(message.method == "OPTIONS" and message.path == "*" for message, _ in messages):
            self._current.end_watch()
        if len(self._messages) >= _QUEUED_REQUESTS and not self._full:
            self._full = True
            self._pause_transport()
        return True

    def switch(self, receive: Callable[[bytes], None]) -> None:
        """Switches to another protocol, as the present request asks for: `receive` takes all bytes after it."""
        if self.head_bytes:
            self._pool.head_ended(self)
        tail, self._tail = self._tail, None
        self._receive = receive
        if tail:
            receive(tail)

    def _go_on_with_http(self) -> None:
        """Continues after a request to switch protocols that was answered without doing so: the bytes after it are requests."""
        tail, self._tail = self._tail, None
        if self._parser is not None and tail is not None:
            self._parser.set_upgraded(False)
            self.data_received(tail)

    def _read_on(self) -> None:
        """Resumes reading, starting with the bytes that the parser kept."""
        self._full = False
        self.data_received(b"")
        self._resume_transport()

    def _refuse(self, error: HttpProcessingError) -> None:
        """Answers a malformed request. The wrong line is neither logged nor sent back, because it may contain a credential."""
        logger.info("malformed request", extra={"remote": self.remote, "error": type(error).__name__})
        if self.transport is not None:
            self.transport.write(_TOO_LONG if isinstance(error, LineTooLong) else _MALFORMED)

    def _head_received(self, data: bytes) -> None:
        """Counts a piece of an incomplete head. Closes the connection if there are too many bytes."""
        if not self._pool.head_piece(self, len(data), self._loop.time()):
            logger.info("request head too large or too many pipelined requests", extra={"remote": self.remote})
            if self.transport is not None and self._current is None:
                self.transport.write(_TOO_LONG)
            self.force_close()

    def _pause_transport(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def _resume_transport(self) -> None:
        transport = self.transport
        if transport is not None and not (self._reading_paused or self._full or self._on_hold or transport.is_closing()):
            transport.resume_reading()

    def _look_again(self, after_seconds: float) -> None:
        self._idle_timer = self._loop.call_later(after_seconds, self._idle)

    def _idle(self) -> None:
        """Closes the connection if it has been idle for too long. Otherwise checks again when it may have been."""
        limit = self._pool.limits.idle_timeout_seconds
        left = self._idle_since + limit - self._loop.time() if self.task is None else limit
        if left > 0:
            self._look_again(left)
        else:
            self.force_close()
