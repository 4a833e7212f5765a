"""Request and response values between the HTTP edge and everything behind it. No server library is named past the edge."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from tenantry.apiserver.user import User


class BodyReader(Protocol):
    async def __call__(self, limit_bytes: int) -> bytes:
        """The whole body. Raises StatusError 413 past the limit."""
        ...


async def no_body(limit_bytes: int) -> bytes:
    return b""


def credential_of(authorization: str) -> bytes:
    """`Request.credential` of an Authorization header."""
    return hashlib.sha256(authorization.encode("utf-8", "surrogateescape")).digest() if authorization else b""


@dataclass(slots=True, eq=False)
class Request:
    """One HTTP request. `path` is decoded and has no query; `headers` is asked with lower-case names. What comes from the edge
    ignores case, so whoever iterates lowers the names first; `header_values` finds repeated ones.

    `user` is set by the pipeline, or beforehand by a trusted caller in the same process (peers, reconcilers).
    `client_certificate` is the verified peer certificate in DER, if any. `verb` is set by the pipeline, for logs and metrics.
    `known_credential` is `credential`, where it is known already.
    """

    method: str
    path: str
    raw_query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    read_body: BodyReader = no_body
    client_certificate: bytes | None = None
    remote: str = ""
    request_id: str = ""
    user: User | None = None
    impersonator: User | None = None
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
    """A whole answer. `warnings` become `Warning: 299` headers."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    compressible: bool = False
    """The edge may gzip it when it is big and the client accepts that (lists, OpenAPI, discovery)."""
    more: Sequence[bytes] = ()
    """What follows `body`, where the whole is too long to be copied at once."""


class Sink(Protocol):
    """Where a stream writes. Nothing here waits: a writer looks at `buffered_bytes` and gives up on slow clients itself."""

    def send(self, framed: bytes) -> None:
        """Write one HTTP chunk that `frame` made; the same bytes may go to any number of sinks."""
        ...

    @property
    def buffered_bytes(self) -> int: ...

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

    def write(self, data: bytes) -> None: ...

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
    """Another server's answer, passed on as it comes: the edge adds nothing but what a connection needs.

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


NOT_OWNER = "X-Tenantry-Not-Owner"
"""Header of a 503 by which a shard tells a gateway or peer that it does not own the range, and that nothing was done: the request
may be sent to the owner, whatever its method. The value is the uid of the owner, or `unknown`."""
FROM_PEER = "X-Tenantry-From-Peer"
"""Header of a request that one shard sends to another, who answers it or refuses it but does not pass it on."""

Reply = Response | Stream | Relay
Handler = Callable[[Request], Coroutine[Any, Any, Reply]]
