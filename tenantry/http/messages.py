"""Requests and answers as values: what the HTTP server and its handler exchange. Nothing here names a server library."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl


class BodyReader(Protocol):
    """Reads the body of a request."""

    async def __call__(self, limit_bytes: int) -> bytes:
        """The whole body. Raises HttpError: BodyTooLarge above the limit, BodyTimeout, TooManyRequests, BadRequest."""
        ...


async def no_body(limit_bytes: int) -> bytes:
    """The `BodyReader` of a request without a body."""
    return b""


def credential_of(authorization: str) -> bytes:
    """`Request.credential` of an Authorization header."""
    return hashlib.sha256(authorization.encode("utf-8", "surrogateescape")).digest() if authorization else b""


@dataclass(slots=True, eq=False)
class Request:
    """One HTTP request.

    `path` is decoded and has no query. `headers` is asked with lower-case names. The headers that the server read ignore case, so
    whoever iterates over them lowers the names first; `header_values` finds repeated ones.

    `client_certificate` is the client's certificate in DER, which TLS verified, None where there is none. `remote` is the
    client's address. `request_id` is sent back as `Audit-Id`. `verb` is set by the handler: what the request does, in a word, for
    logs and metrics. `known_credential` is `credential`, where it is known already.

    A handler that needs more fields has the server make requests of a class of its own that extends this one.
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
    _query: dict[str, list[str]] | None = None

    @property
    def credential(self) -> bytes:
        """What an Authorization header is remembered by: its SHA-256, empty where there is none."""
        if self.known_credential is None:
            self.known_credential = credential_of(self.headers.get("authorization", ""))
        return self.known_credential

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters of the query, decoded: every value of each, in the order sent."""
        if self._query is None:
            self._query = {}
            for key, value in parse_qsl(self.raw_query, keep_blank_values=True):
                self._query.setdefault(key, []).append(value)
        return self._query

    def parameter(self, name: str) -> str:
        """The first value of a query parameter, empty where it is missing."""
        values = self.query.get(name) if self.raw_query else None
        return values[0] if values else ""

    def header(self, name: str) -> str:
        """The value of a header (the first one), empty where it is missing. `name` is in lower case."""
        return self.headers.get(name, "")

    def header_values(self, name: str) -> list[str]:
        """Every value of a header that may be repeated, in the order sent."""
        every = getattr(self.headers, "getall", None)
        if every is not None:
            return list(every(name, ()))
        value = self.headers.get(name)
        return [] if value is None else [value]


@dataclass(slots=True, eq=False)
class Response:
    """A whole answer. `warnings` become `Warning: 299` headers. Bodies that are `compressible` may be gzipped."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    compressible: bool = False
    """The server may gzip it when it is big and the client accepts that."""
    more: Sequence[bytes] = ()
    """What follows `body`, where the whole is too long to be copied at once."""


class Sink(Protocol):
    """Where a stream writes. Nothing here waits: a writer looks at `buffered_bytes` and gives up on slow clients itself."""

    def send(self, framed: bytes) -> None:
        """Write one HTTP chunk that `frame` made; the same bytes may go to any number of sinks."""
        ...

    @property
    def buffered_bytes(self) -> int:
        """How many bytes wait for the client to read them."""
        ...

    @property
    def buffer_limit_bytes(self) -> int:
        """What may wait here before the client counts as one that does not read."""
        ...

    @property
    def closed(self) -> asyncio.Event:
        """Set when the client is gone or the server drains."""
        ...

    def abort(self) -> None:
        """Cut the connection (slow client)."""
        ...


def frame(payload: bytes) -> bytes:
    """One chunk of HTTP/1.1 chunked coding (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


@dataclass(slots=True, eq=False)
class Stream:
    """An answer without a known end. `run` writes to the sink and returns when the stream is over; it is cancelled
    when the client goes away. It must not block the loop."""

    run: Callable[[Sink], Coroutine[Any, Any, None]]
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class RelaySink(Protocol):
    """Where an answer of another server is written."""

    def write(self, data: bytes) -> None:
        """Writes bytes of the answer as they are."""
        ...

    async def drain(self) -> None:
        """Waits while the client has much left to read. Cuts it off after the response timeout."""
        ...

    @property
    def ending(self) -> bool:
        """The client is gone, or the server drains: stop at the next place where that is clean."""
        ...

    def on_ending(self, callback: Callable[[], None]) -> None:
        """Calls back once, when `ending` becomes true."""
        ...


@dataclass(slots=True, eq=False)
class Relay:
    """Another server's answer, passed on as it comes: the server adds nothing but what a connection needs.

    `header` are header lines, each ended by CRLF, with the framing (Content-Length or Transfer-Encoding) and without what is
    meant for one connection only. `body` is what of the framed body is known; `run` writes the rest, says whether that was all of
    it or whether it stopped between two chunks, and raises where it stopped elsewhere. It is cancelled when the client goes away.
    `chunked` answers count as watches. `close` is called when the answer is not wanted any more before `run` began.
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
"""Answers requests. What it raises is answered as the server's `Refusal` says."""
