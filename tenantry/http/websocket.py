"""The server's side of a WebSocket that carries a stream (RFC 6455): the handshake, and what the client sends meanwhile.

A stream is the same as in chunks, with a message for each event. The client has nothing to say: its messages are dropped, pings
are answered, and a close frame ends the stream. The rules of the handshake are those of golang.org/x/net/websocket, which
kube-apiserver uses.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from contextlib import suppress
from dataclasses import dataclass

from tenantry.http.client_connection import ClientConnection
from tenantry.http.messages import Request, Response
from tenantry.http.sink import StreamOutput
from tenantry.http.websocket_frames import NORMAL, ClientFrames, close_frame

_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = "13"
_BYTES_PER_SECOND = 256 << 10
"""How fast a client's frames are read. They have no use, and reading and decrypting them costs time of the loop."""
_PIECE_BYTES = 16 << 10
"""How much is read before the client has to wait."""
_CLOSING_SECONDS = 1.0
"""How long a client may take to answer a close frame."""
_UNREAD_BYTES = 64 << 10
"""From how many bytes on that the client has not read its pings are not answered."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """An accepted handshake. `accept`: the value of Sec-WebSocket-Accept. `protocol`: the subprotocol, empty if the client named
    none."""

    accept: str
    protocol: str

    def head(self) -> bytes:
        """The whole head of the answer."""
        text = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {self.accept}\r\n"
        )
        if self.protocol:
            text += f"Sec-WebSocket-Protocol: {self.protocol}\r\n"
        return (text + "\r\n").encode("utf-8", "surrogateescape")


def subprotocols(request: Request) -> list[str]:
    """The subprotocols that the client offers, in its order. Several headers are one list (RFC 6455 §11.3.4)."""
    text = ",".join(request.header_values("sec-websocket-protocol"))
    return [part.strip() for part in text.split(",")] if text.strip() else []


def handshake(request: Request) -> Handshake | Response:
    """The handshake for a stream, or its refusal: 400 without a key, for another version than 13, and where the client leaves a
    choice of subprotocols; 403 for an origin that the request does not accept."""
    key = request.header("sec-websocket-key")
    if not key:
        return _refusal(400)
    if request.header("sec-websocket-version") != _VERSION:
        return _refusal(400, {"Sec-WebSocket-Version": _VERSION})
    if not request.accepts_origin(request.header("origin")):
        return _refusal(403)
    offered = subprotocols(request)
    if len(offered) > 1:
        return _refusal(400)
    digest = hashlib.sha1(key.encode("utf-8", "surrogateescape") + _KEY_SUFFIX, usedforsecurity=False).digest()
    return Handshake(base64.b64encode(digest).decode(), offered[0] if offered else "")


def _refusal(code: int, headers: dict[str, str] | None = None) -> Response:
    return Response(code, b"", "", headers or {})


class WebSocketClient:
    """What the client of one stream sends: `received` takes it. `output`: of the stream, which is ended when the client closes
    the connection or breaks a rule."""

    __slots__ = ("_closed", "_connection", "_frames", "_loop", "_output")

    def __init__(self, connection: ClientConnection, output: StreamOutput) -> None:
        self._connection = connection
        self._output = output
        self._frames = ClientFrames(self._pong)
        self._closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def received(self, data: bytes) -> None:
        frames = self._frames
        if frames.close_code:
            return
        frames.feed(data)
        if frames.close_code:
            self._output.end()
            self._closed.set()
        elif len(data) >= _PIECE_BYTES:
            self._connection.hold_reading()
            self._loop.call_later(len(data) / _BYTES_PER_SECOND, self._connection.go_on_reading)

    async def close(self) -> None:
        """Sends the close frame with which the stream ends. The client answers it with its own before the connection is closed
        (RFC 6455 §7.1.1), unless it takes too long."""
        self._output.send(close_frame(self._frames.close_code or NORMAL))
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._closed.wait()

    def _pong(self, frame: bytes) -> None:
        if self._output.buffered_bytes < _UNREAD_BYTES:
            self._output.send(frame)
