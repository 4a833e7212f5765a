"""A load client for HTTP/1.1 over TLS with a minimum of overhead: one process, uvloop, keep-alive."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

DEADLINE_SECONDS = 60.0
JSON = "Content-Type: application/json\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Failed(Exception):
    """An unexpected answer, which a measurement must not count."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`head`: the status line and the headers."""

    status: int
    body: bytes
    head: bytes = b""

    @property
    def etag(self) -> str:
        for line in self.head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"etag":
                return value.strip().decode()
        raise Failed(f"an answer without an ETag: {self.head!r}")


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time, or one watch until it ends."""

    def __init__(self, host: str, token: str) -> None:
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        self._fixed = f" HTTP/1.1\r\nHost: {host}\r\n{bearer}".encode()
        self._buffer = bytearray()
        self._open = False
        self._waiting: asyncio.Future[Answer] | None = None
        self._on_event: Callable[[int], None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self._waiting, self._started):
            if future is not None and not future.done():
                future.set_exception(error or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        if self._on_event is not None and self._started is not None and self._started.done():
            self._count(data)
            return
        self._buffer += data
        if self._started is not None:
            self._watch_head()
        else:
            self._whole_answer()

    async def request(self, method: str, path: str, body: bytes = b"", headers: str = "") -> Answer:
        """Sends a request and waits for the whole answer. `headers`: complete lines with line ends."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self._transport.write(f"{method} {path}".encode() + self._fixed + f"{headers}{length}\r\n".encode() + body)
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self._waiting

    async def half(self, path: str, seconds: float) -> int:
        """Sends the head of a request and half of its body. Returns the status of the answer, or 0 if there is none in
        `seconds`."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(f"GET {path}".encode() + self._fixed + b"Content-Length: 10\r\n\r\nhalf ")
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                return (await self._waiting).status
        except TimeoutError:
            return 0

    async def watch(self, path: str, on_event: Callable[[int], None]) -> None:
        """Starts a watch and returns when it has begun. `on_event` is called with the number of events in each received piece."""
        assert self._transport is not None
        self._started = asyncio.get_running_loop().create_future()
        self._on_event = on_event
        self._transport.write(f"GET {path}".encode() + self._fixed + b"\r\n")
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self._started

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _whole_answer(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        said = bytes(self._buffer[:end])
        head = said.lower()
        mark = head.find(b"content-length:")
        if mark < 0:
            if head[9:12] == b"304":
                self._answered(304, b"", said)
                return
            if b"transfer-encoding: chunked" not in head:
                raise Failed(f"an answer without a length: {head!r}")
            if self._buffer.endswith(_LAST_CHUNK):
                self._answered(int(head[9:12]), _unchunked(self._buffer[end + 4 :]), said)
            return
        length = int(head[mark + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) < end + 4 + length:
            return
        self._answered(int(head[9:12]), bytes(self._buffer[end + 4 : end + 4 + length]), said)

    def _answered(self, status: int, body: bytes, head: bytes) -> None:
        self._buffer.clear()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Answer(status, body, head))

    def _watch_head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        status = int(self._buffer[9:12])
        assert self._started is not None
        if status != 200:
            self._started.set_exception(Failed(f"the watch was answered with {status}: {bytes(self._buffer[end:])!r}"))
            return
        rest = bytes(self._buffer[end + 4 :])
        self._buffer.clear()
        self._started.set_result(None)
        if rest:
            self._count(rest)

    def _count(self, data: bytes) -> None:
        # Each event ends with a line end, and JSON has no other one. A piece may end between the two bytes of the mark.
        found = data.count(b"}\n") + (self._open and data.startswith(b"\n"))
        self._open = data.endswith(b"}")
        if found and self._on_event is not None:
            self._on_event(found)


def _unchunked(data: bytearray) -> bytes:
    out = bytearray()
    begin = 0
    while size := int(data[begin : (end := data.index(b"\r\n", begin))], 16):
        out += data[end + 2 : end + 2 + size]
        begin = end + 4 + size
    return bytes(out)


class Client:
    """Makes connections to one server with one token. An empty token: no credentials."""

    def __init__(self, url: str, token: str, ca: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._token = token
        self._tls = ssl.create_default_context(cafile=ca)

    async def connect(self, kind: type[Connection] = Connection) -> Connection:
        loop = asyncio.get_running_loop()
        connection = kind(f"{self._host}:{self._port}", self._token)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await loop.create_connection(lambda: connection, self._host, self._port, ssl=self._tls, server_hostname=self._host)
        return connection


def must(answer: Answer, *allowed: int) -> Answer:
    if answer.status not in allowed:
        raise Failed(f"expected {allowed}, got {answer.status}: {answer.body[:300]!r}")
    return answer
