"""Request and response values between the HTTP edge and everything behind it. No server library is named past the edge."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl

from tenantry.apiserver.user import User


class BodyReader(Protocol):
    async def __call__(self, limit_bytes: int) -> bytes:
        """The whole body. Raises StatusError 413 past the limit."""
        ...


async def no_body(limit_bytes: int) -> bytes:
    return b""


@dataclass(slots=True, eq=False)
class Request:
    """One HTTP request. `path` is decoded and has no query; `headers` is asked with lower-case names. What comes from the edge
    ignores case, so whoever iterates lowers the names first; `header_values` finds repeated ones.

    `user` is set by the pipeline, or beforehand by a trusted caller in the same process (peers, reconcilers).
    `client_certificate` is the verified peer certificate in DER, if any. `verb` is set by the pipeline, for logs and metrics.
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
    _query: dict[str, list[str]] | None = None

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

    run: Callable[[Sink], Awaitable[None]]
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


Reply = Response | Stream
Handler = Callable[[Request], Awaitable[Reply]]
