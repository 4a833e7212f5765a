"""Requests and answers as values, which the HTTP server and its handler exchange. They do not depend on a server library."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl

T = TypeVar("T")


class BodyReader(Protocol):
    """Reads the body of a request."""

    async def __call__(self, limit_bytes: int) -> bytes:
        """Reads the whole body. Raises HttpError: BodyTooLarge (above the limit), BodyTimeout, TooManyRequests, BadRequest."""
        ...


async def no_body(limit_bytes: int) -> bytes:
    """The `BodyReader` of a request without a body."""
    return b""


def credential_of(authorization: str) -> bytes:
    """`Request.credential` for an Authorization header."""
    return hashlib.sha256(authorization.encode("utf-8", "surrogateescape")).digest() if authorization else b""


class Place(Protocol):
    """The place of a request among those in progress."""

    @property
    def owners(self) -> tuple[Hashable, ...]:
        """For whom the request counts: the tenant and the user. None for the platform's own."""
        ...

    async def wait(self, waiter: asyncio.Future[None]) -> None:
        """Waits for what else the request needs before it may go on, and gives its place to another request meanwhile. Raises
        TooManyRequests if too many requests wait, or if it takes too long; then `waiter` may have its result."""
        ...

    async def away(self, work: Awaitable[T]) -> T:
        """Awaits what has a deadline of its own, such as the answer of another server, and gives its place to another request
        meanwhile. Returns the result. Raises what the work raises, and TooManyRequests if too many requests wait."""
        ...


@dataclass(slots=True, eq=False)
class Request:
    """One HTTP request.

    `path`: decoded, without the query. `headers`: use lower-case names for look-ups. The mapping ignores case, so lower the names
    when you iterate over it. `header_values` finds repeated headers.

    `client_certificate`: the client's certificate in DER, verified by TLS, None if there is none. `remote`: the client's address.
    `request_id`: sent back as `Audit-Id`. `verb`: set by the handler, for logs and metrics. `known_credential`: the value of
    `credential` if it is known already. `place`: None for requests that no server has counted. `header_lines`: set by the
    handler: header lines of the answer, each ended by CRLF, also where the answer is an error.

    `websocket`: the client asks to switch to WebSocket, so that a stream answers it in messages (`tenantry.http.websocket`).

    A handler that needs more fields uses a subclass (`make` of the server).
    """

    method: str
    path: str
    raw_query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    read_body: BodyReader = no_body
    client_certificate: bytes | None = None
    remote: str = ""
    request_id: str = ""
    verb: str = ""
    known_credential: bytes | None = None
    websocket: bool = False
    place: Place | None = None
    header_lines: str = ""
    _query: dict[str, list[str]] | None = None

    @property
    def credential(self) -> bytes:
        """The SHA-256 of the Authorization header, which stands for it in caches. Empty if there is none."""
        if self.known_credential is None:
            self.known_credential = credential_of(self.headers.get("authorization", ""))
        return self.known_credential

    @property
    def query(self) -> dict[str, list[str]]:
        """The decoded parameters of the query: all values of each, in the order of the query."""
        if self._query is None:
            self._query = {}
            for key, value in parse_qsl(self.raw_query, keep_blank_values=True):
                self._query.setdefault(key, []).append(value)
        return self._query

    def replace_headers(self, values: Mapping[str, str]) -> None:
        """Sets headers of this request to one value each."""
        copy = getattr(self.headers, "copy", None)
        headers = copy() if copy is not None else dict(self.headers)
        for name, value in values.items():
            headers[name] = value
        self.headers = headers

    def prepare_websocket(self) -> None:
        """Called when the head of a request that asks for WebSocket was read. A subclass reads credentials there that come by
        way of the handshake."""

    def accepts_origin(self, origin: str) -> bool:
        """Whether a page of this origin may open a WebSocket. `origin`: the header, empty if there is none."""
        return True

    def parameter(self, name: str) -> str:
        """The first value of a query parameter, empty if there is none."""
        values = self.query.get(name) if self.raw_query else None
        return values[0] if values else ""

    def header(self, name: str) -> str:
        """The first value of a header, empty if there is none. `name`: in lower case."""
        return self.headers.get(name, "")

    def header_values(self, name: str) -> list[str]:
        """All values of a header that may be repeated, in the order of the request. `name`: in lower case."""
        every = getattr(self.headers, "getall", None)
        if every is not None:
            return list(every(name, ()))
        value = self.headers.get(name)
        return [] if value is None else [value]


@dataclass(slots=True, eq=False)
class Response:
    """A complete answer. `warnings`: sent as `Warning: 299` headers."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    compressible: bool = False
    """Whether the server may gzip the body, if it is large and the client accepts it."""
    more: Sequence[bytes] = ()
    """Further pieces of the body after `body`, if the whole is too long to be copied at once."""


class Sink(Protocol):
    """The output of a stream, in chunks; for a request with `websocket` in WebSocket frames. Its methods do not wait: the writer
    checks `buffered_bytes` and drops slow clients itself."""

    def send(self, framed: bytes) -> None:
        """Writes an HTTP chunk made by `frame`, or for a WebSocket whole frames. The same bytes may be sent to any number of
        sinks."""
        ...

    @property
    def buffered_bytes(self) -> int:
        """How many bytes wait for the client to read them."""
        ...

    @property
    def buffer_limit_bytes(self) -> int:
        """How many bytes may wait before the client counts as too slow."""
        ...

    @property
    def closed(self) -> asyncio.Event:
        """Set when the client has closed the connection or the server drains."""
        ...

    def abort(self) -> None:
        """Aborts the connection (slow client)."""
        ...


def frame(payload: bytes) -> bytes:
    """Makes one chunk of HTTP/1.1 chunked coding (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


@dataclass(slots=True, eq=False)
class Stream:
    """A streamed answer of unknown length. `run`: writes to the sink and returns when the stream is over. It must not block the
    loop, and it is cancelled when the client closes the connection. `dropped`: called if it is dropped before `run` began,
    with the answer in its place, None where the client has gone."""

    run: Callable[[Sink], Coroutine[Any, Any, None]]
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    dropped: Callable[[Response | None], None] | None = None


class RelaySink(Protocol):
    """The output for a relayed answer of another server."""

    def write(self, data: bytes) -> None:
        """Writes bytes of the answer as they are."""
        ...

    async def drain(self) -> None:
        """Waits while the client has much left to read. After the response time-out it aborts the connection."""
        ...

    @property
    def lags(self) -> bool:
        """Whether the client has much left to read, so that `drain` would wait."""
        ...

    @property
    def ending(self) -> bool:
        """Whether the client has closed the connection or the server drains. Then stop after a complete chunk."""
        ...

    def on_ending(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once when `ending` becomes true."""
        ...


@dataclass(slots=True, eq=False)
class Relay:
    """A relayed answer of another server. The server adds only what a connection needs.

    `header`: header lines, each ended by CRLF, with the framing (Content-Length or Transfer-Encoding), without hop-by-hop
    headers.
    `body`: the part of the framed body that is known. `run`: writes the rest. It returns True if that was all, False if it
    stopped between two chunks, and raises if it stopped elsewhere. It is cancelled when the client closes the connection.
    `chunked`: the answer counts as a watch. `close`: called if the answer is dropped before `run` began.
    """

    status: int
    header: bytes
    body: bytes = b""
    run: Callable[[RelaySink], Awaitable[bool]] | None = None
    chunked: bool = False
    close: Callable[[], None] | None = None


RequestT = TypeVar("RequestT", bound=Request)
Reply = Response | Stream | Relay
Handler = Callable[[RequestT], Coroutine[Any, Any, Reply]]
"""Answers requests. The server's `Refusal` makes the answers for its errors."""
