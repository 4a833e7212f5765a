"""The outputs of streams and relayed answers. They write directly to the transport.

A watch event is framed once and written to the transport of every watcher. With a task, a queue and a response writer for each
watcher, the same deliveries took three times the CPU.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from tenantry.http.client_connection import ClientConnection

LAST_CHUNK = b"0\r\n\r\n"


class StreamOutput(Protocol):
    """What the outputs of streams and of relayed answers have in common."""

    def send(self, framed: bytes) -> None:
        """Writes bytes as they are, after what was written before."""
        ...

    @property
    def buffered_bytes(self) -> int:
        """How many bytes wait for the client to read them."""
        ...

    def end(self) -> None:
        """Ends the stream or the answer, after what is complete."""
        ...


class TransportSink:
    """The output of one stream (`Sink`). Bytes that are written after the client closed the connection are dropped.

    `head`: of the answer. It is sent with the first bytes of the stream, or by `send_head` if these take longer: one TLS record
    and one system call less for each watch that is opened.
    """

    __slots__ = ("_closed", "_head", "_transport", "buffer_limit_bytes")

    def __init__(self, transport: asyncio.WriteTransport, buffer_limit_bytes: int, head: bytes = b"") -> None:
        self._transport = transport
        self.buffer_limit_bytes = buffer_limit_bytes
        self._closed = asyncio.Event()
        self._head = head

    def send(self, framed: bytes) -> None:
        if self._head:
            framed = self._head + framed
            self._head = b""
        if not self._transport.is_closing():
            self._transport.write(framed)

    def send_head(self) -> None:
        """Sends the head of the answer, if it is not sent yet."""
        if self._head:
            self.send(b"")

    @property
    def buffered_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    @property
    def closed(self) -> asyncio.Event:
        return self._closed

    def end(self) -> None:
        """Ends the stream: sets `closed`."""
        self._closed.set()

    def abort(self) -> None:
        self._closed.set()
        self._transport.abort()

    def __repr__(self) -> str:
        state = "closed" if self._closed.is_set() else "open"
        return f"<TransportSink {state}, {self.buffered_bytes} bytes waiting>"


class RelayTransport:
    """The output of one relayed answer (`RelaySink`)."""

    __slots__ = ("_callback", "_connection", "_drain", "_transport", "ending")

    def __init__(
        self, connection: ClientConnection, transport: asyncio.WriteTransport, drain: Callable[[], Awaitable[None]]
    ) -> None:
        self.ending = False
        self._connection = connection
        self._transport = transport
        self._drain = drain
        self._callback: Callable[[], None] | None = None

    def write(self, data: bytes) -> None:
        self.send(data)

    def send(self, framed: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(framed)

    @property
    def buffered_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    @property
    def lags(self) -> bool:
        return self._connection.writing_paused

    async def drain(self) -> None:
        await self._drain()

    def on_ending(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        if self.ending:
            self.end()

    def end(self) -> None:
        """Ends the answer after a complete chunk: sets `ending`, and calls the callback."""
        self.ending = True
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def __repr__(self) -> str:
        return f"<RelayTransport {'ending' if self.ending else 'open'}, {self.buffered_bytes} bytes waiting>"
