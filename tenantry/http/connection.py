"""One client connection of the server: requests one after the other, each answered before the next one begins.

The bytes are read by aiohttp's parser (llhttp), and the protocol around it is our own: see
docs/decisions/0016-http-on-aiohttps-parser.md.
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
from tenantry.http.connections import Connections
from tenantry.http.exchange import Exchange, MalformedBody
from tenantry.http.messages import credential_of

log = logging.getLogger(__name__)

Serve = Callable[[Exchange], Awaitable[bool]]
"""Answers a request; whether the connection is kept for the next one."""

_REMEMBERED_CHARACTERS = 4096
"""The longest Authorization header that a connection remembers. Tokens have some thousand characters, and connections are
many."""
_READ_BYTES = 256 * 1024
"""How much of a body may be unread before the connection pauses. One read brings as much at most."""
_QUEUED_REQUESTS = 32
"""Requests that may be read ahead of the one that is answered; half of them, and reading goes on."""
_READING = ("reading from a connection",)
_PLAIN = "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}\n"


def _refusal(status: str) -> bytes:
    return _PLAIN.format(status, len(status) + 1, status).encode()


_MALFORMED = _refusal("400 Bad Request")
_TOO_LONG = _refusal("431 Request Header Fields Too Large")


class Connection(asyncio.Protocol):
    """`serve` answers its requests; `pool` counts it. While it is idle it has no task."""

    __slots__ = (
        "__weakref__",
        "_authorization",
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

    def __init__(self, serve: Serve, pool: Connections) -> None:
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
        self._messages: deque[tuple[RawRequestMessage, StreamReader] | HttpProcessingError] = deque()
        self._tail: bytes | None = None
        """The bytes behind a request to switch to another protocol, until it is answered; None without such a request."""
        self._current: Exchange | None = None
        self.task: asyncio.Task[None] | None = None
        """Answers the requests that came; None while there are none."""
        self._ended = False
        """What comes from now on is dropped."""
        self._reading_paused = False
        """Reading is paused by the body, of which more came than was used."""
        self._full = False
        """Reading is paused since too many requests wait for their answers."""
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
        """Its caller's credentials were accepted."""
        self.owners: tuple[Hashable, ...] = ()
        self.head_bytes = 0
        self.head_owners: tuple[Hashable, ...] = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of asyncio's classes.
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
            # The bytes of a body are counted as they are read. A request that waits for its task may have one.
            self._head_received(data)
        turns_of_loop.worked(time.perf_counter() - began, _READING)

    def eof_received(self) -> bool | None:
        """None closes the transport: a client that ends its side gets no more answers."""
        return None

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    async def drained(self) -> None:
        """Waits until the client has read most of what was written, or is gone."""
        while self.writing_paused and self.transport is not None:
            if self._drained is None or self._drained.done():
                self._drained = self._loop.create_future()
            await self._drained

    @property
    def connected(self) -> bool:
        return self.transport is not None

    def pause_reading(self) -> None:
        """Asked for by the body, of which more came than was used."""
        self._reading_paused = True
        if self._parser is not None:
            self._parser.pause_reading()
        self._pause_transport()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Asked for by the body for each piece that was used, whether it had paused or not."""
        if not self._reading_paused:
            return
        self._reading_paused = False
        if resume_parser:
            # What the parser kept when it was paused.
            self.data_received(b"")
        self._resume_transport()

    def hold_reading(self) -> None:
        """Nothing is decrypted until `go_on_reading`; what does not fit into the buffers of the connection stays with the client,
        and that one's end may be noticed late."""
        self._on_hold = True
        self._pause_transport()

    def go_on_reading(self) -> None:
        self._on_hold = False
        self._resume_transport()

    @property
    def busy(self) -> bool:
        """A request is carried out, and it is not the client who is waited for."""
        current = self._current
        return current is not None and (current.paced or current.payload.is_eof())

    def credential(self, authorization: str) -> bytes:
        """`Request.credential` of an Authorization header: most clients send the same with each request of a connection."""
        if authorization == self._authorization:
            return self._credential
        found = credential_of(authorization)
        if len(authorization) <= _REMEMBERED_CHARACTERS:
            self._authorization, self._credential = authorization, found
        return found

    def close(self) -> None:
        """Ends the connection, after the answer that is under way."""
        self._ended = True
        if self.task is None and self.transport is not None:
            self.transport.close()

    def force_close(self) -> None:
        """Ends the connection; what was written is sent."""
        self._ended = True
        if self.transport is not None:
            self.transport.close()

    def cut(self) -> None:
        """Ends the connection now."""
        self._ended = True
        if self.transport is not None:
            self.transport.abort()

    async def _work(self) -> None:
        """Answers what came, one request after the other."""
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
                exchange = self._current = Exchange(*found, self)
                try:
                    kept = await self._serve(exchange) and exchange.payload.is_eof()
                finally:
                    self._current = None
                if self._tail is not None and kept and not self._messages:
                    self._go_on_with_http()
        except ConnectionError:
            kept = False
        except Exception:  # it ends this connection alone
            log.exception("a connection failed", extra={"remote": self.remote})
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
        """Whether another request begins."""
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

    def _go_on_with_http(self) -> None:
        """Other protocols are not spoken: the bytes behind a request to switch are the next request."""
        tail, self._tail = self._tail, None
        if self._parser is not None and tail is not None:
            self._parser.set_upgraded(False)
            self.data_received(tail)

    def _read_on(self) -> None:
        """Reads on, with what the parser kept meanwhile."""
        self._full = False
        self.data_received(b"")
        self._resume_transport()

    def _refuse(self, error: HttpProcessingError) -> None:
        """Answers what is no HTTP. The wrong line, which may hold a credential, is neither logged nor sent back."""
        log.info("malformed request", extra={"remote": self.remote, "error": type(error).__name__})
        if self.transport is not None:
            self.transport.write(_TOO_LONG if isinstance(error, LineTooLong) else _MALFORMED)

    def _head_received(self, data: bytes) -> None:
        """A piece of a head that is not whole yet."""
        if not self._pool.head_piece(self, len(data), self._loop.time()):
            log.info("too long a head, or too many", extra={"remote": self.remote})
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
        """Closes the connection if it waited too long for a request; else looks again when it may have."""
        limit = self._pool.limits.idle_timeout_seconds
        left = self._idle_since + limit - self._loop.time() if self.task is None else limit
        if left > 0:
            self._look_again(left)
        else:
            self.force_close()
