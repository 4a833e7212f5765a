"""The one place that writes past aiohttp's response classes: bytes straight to the transport.

A watch event is framed once and written to every watcher's transport; a task, a queue and a response writer for each watcher cost
three times the CPU for the same deliveries.
"""

from __future__ import annotations

import asyncio

LAST_CHUNK = b"0\r\n\r\n"


class TransportSink:
    """Where one stream writes. Writing after the client went away is silently nothing."""

    __slots__ = ("_closed", "_transport", "buffer_limit_bytes")

    def __init__(self, transport: asyncio.WriteTransport, buffer_limit_bytes: int) -> None:
        self._transport = transport
        self.buffer_limit_bytes = buffer_limit_bytes
        self._closed = asyncio.Event()

    def send(self, framed: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(framed)

    @property
    def buffered_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    @property
    def closed(self) -> asyncio.Event:
        return self._closed

    def abort(self) -> None:
        self._closed.set()
        self._transport.abort()

    def __repr__(self) -> str:
        state = "closed" if self._closed.is_set() else "open"
        return f"<TransportSink {state}, {self.buffered_bytes} bytes waiting>"
