"""Passes a stream of another server on as WebSocket messages: that server sends it in chunks, as to any client."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from tenantry.http.chunks import ChunkPayload
from tenantry.http.client_connection import ClientConnection
from tenantry.http.sink import RelayTransport
from tenantry.http.websocket_frames import BINARY, TEXT, message

_LINES = re.compile(rb"content-type:[ \t]*application/json", re.IGNORECASE)
_LENGTH_BYTES = 4
_EVENT_LIMIT_BYTES = 64 << 20


class EventTooLarge(ValueError):
    """An event of the other server is larger than any object can be."""


class WebSocketRelay(RelayTransport):
    """The output of one relayed stream (`RelaySink`) to a WebSocket. `header`: the header lines of the answer.

    Events are lines of JSON, which become text messages. In any other format they are behind their length in four bytes, and
    become binary ones.
    """

    __slots__ = ("_chunks", "_kept", "_kept_bytes", "_lines", "_wanted_bytes")

    def __init__(
        self,
        connection: ClientConnection,
        transport: asyncio.WriteTransport,
        drain: Callable[[], Awaitable[None]],
        header: bytes,
    ) -> None:
        super().__init__(connection, transport, drain)
        self._lines = _LINES.search(header) is not None
        self._chunks = ChunkPayload()
        self._kept: list[bytes] = []
        """The pieces of an event that is not complete."""
        self._kept_bytes = 0
        self._wanted_bytes = _LENGTH_BYTES
        """How many bytes the next binary message needs, as far as its length is known."""

    def write(self, data: bytes) -> None:
        """Raises BadChunk, EventTooLarge."""
        payload = self._chunks.feed(data)
        self._kept.append(payload)
        self._kept_bytes += len(payload)
        if self._kept_bytes > _EVENT_LIMIT_BYTES:
            raise EventTooLarge(f"an event of more than {_EVENT_LIMIT_BYTES} bytes")
        if (b"\n" not in payload) if self._lines else (self._kept_bytes < self._wanted_bytes):
            return
        whole = b"".join(self._kept)
        frames, end = self._text(whole) if self._lines else self._binary(whole)
        self._kept, self._kept_bytes = [whole[end:]], len(whole) - end
        if frames:
            self.send(b"".join(frames))

    def _text(self, whole: bytes) -> tuple[list[bytes], int]:
        frames, at = [], 0
        while (end := whole.find(b"\n", at)) >= 0:
            frames.append(message(TEXT, whole[at : end + 1]))
            at = end + 1
        return frames, at

    def _binary(self, whole: bytes) -> tuple[list[bytes], int]:
        frames, at = [], 0
        self._wanted_bytes = _LENGTH_BYTES
        while len(whole) - at >= _LENGTH_BYTES:
            begin = at + _LENGTH_BYTES
            end = begin + int.from_bytes(whole[at:begin], "big")
            if end > len(whole):
                self._wanted_bytes = end - at
                break
            frames.append(message(BINARY, whole[begin:end]))
            at = end
        return frames, at
