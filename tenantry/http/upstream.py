"""A pool of connections to another server of the platform (HTTP/1.1, mutual TLS)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from tenantry.http.tls_alerts import refusal
from tenantry.http.upstream_connection import Answer, UpstreamConnection, UpstreamError


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamLimits:
    """The limits of one pool."""

    connect_timeout_seconds: float = 2.0
    """How long connecting may take. A process on the same network accepts within milliseconds, so after this time it is dead or
    stopped."""

    connecting: int = 16
    """How many connections are opened at the same time. If a burst opened all of its connections at once, each would take as long
    as all of them together, and all would time out."""

    accept_timeout_seconds: float = 0.5
    """How long a request on a new connection waits for the end of the server's TLS handshake. After that it is sent anyway; then
    it may have been executed if the connection breaks."""

    idle_seconds: float = 30.0
    """How long an idle connection is kept. It is less than the server's 90 s, so that the server rarely closes one in use."""

    idle_connections: int = 128
    """How many idle connections are kept; more are closed when their exchanges end."""

    dead_peer_seconds: int = 10
    """After about how many seconds TCP keepalive detects a machine that has vanished."""


class Upstream:
    """The connections to one server. `url`: its base URL. `tls`: None for plain HTTP (tests).

    Connections are opened as needed. The caller must limit their number (the `Limits` of its own server do).
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None, limits: UpstreamLimits | None = None) -> None:
        """Raises ValueError (the URL is not `http(s)://host:port`)."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or (parts.scheme == "https") != (tls is not None):
            raise ValueError(f"not the URL of a shard: {url!r}")
        self.url = url
        self._host = parts.hostname
        self._port = parts.port or (443 if tls is not None else 80)
        self._tls = tls
        self._limits = limits or UpstreamLimits()
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._connecting = asyncio.Semaphore(self._limits.connecting)
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self._current: set[UpstreamConnection] = set()
        """Connections that were opened with the present `_tls`."""
        self.opened = 0
        """How many connections were opened so far."""

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._all)

    @property
    def idle(self) -> int:
        """How many connections are idle."""
        return len(self._idle)

    async def connection(self, *, fresh: bool = False) -> UpstreamConnection:
        """The idle connection that was used last, or a new one. `fresh`: always a new one. Raises UpstreamError (`sent` is
        False)."""
        found = None if fresh else self._found()
        if found is not None:
            return found
        if self._closed:
            raise UpstreamError("the pool is closed", sent=False)
        try:
            async with asyncio.timeout(self._limits.connect_timeout_seconds):
                await self._connecting.acquire()
        except TimeoutError:
            raise UpstreamError(f"{self.url} did not accept connections in time", sent=False) from None
        try:
            # A connection may have become idle meanwhile.
            found = None if fresh else self._found()
            return found if found is not None else await self._connect()
        finally:
            self._connecting.release()

    async def exchange(self, request: bytes, *, head_only: bool = False, fresh: bool = False) -> Answer:
        """Sends a request on one of the connections. See `UpstreamConnection.exchange`."""
        return await (await self.connection(fresh=fresh)).exchange(request, head_only=head_only)

    def renew(self, tls: ssl.SSLContext) -> None:
        """Uses another certificate for new connections. Older connections get no more requests: the server checks the certificate
        of the connection at every request, and refuses an expired one."""
        self._tls = tls
        self._current.clear()
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    def abort(self, why: str) -> None:
        """Aborts all connections, busy and idle. The pool can still be used."""
        for connection in list(self._all):
            connection.abort(why)
        self._idle.clear()

    def close(self) -> None:
        """Closes the idle connections now, and the others when their exchanges end."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    def _found(self) -> UpstreamConnection | None:
        while self._idle:
            found = self._idle.pop()
            if found.usable:
                found.fresh = False
                return found
        return None

    async def _connect(self) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        tls = self._tls
        try:
            async with asyncio.timeout(self._limits.connect_timeout_seconds):
                transport, protocol = await loop.create_connection(
                    lambda: UpstreamConnection(self._release, self._lost), self._host, self._port, ssl=tls
                )
        except TimeoutError:
            raise UpstreamError(f"{self.url} did not accept a connection in time", sent=False) from None
        except (OSError, ssl.SSLError) as error:
            if refused := refusal(error):
                raise UpstreamError(f"{self.url} cannot be reached: refused by TLS: {refused}", sent=False) from error
            raise UpstreamError(f"{self.url} cannot be reached: {error}", sent=False) from error
        self._probe(transport.get_extra_info("socket"))
        self.opened += 1
        if protocol.usable:
            self._all.add(protocol)
            if tls is self._tls:
                self._current.add(protocol)
        try:
            await protocol.accepted(self._limits.accept_timeout_seconds)
        except asyncio.CancelledError:
            protocol.abort()
            raise
        return protocol

    def _release(self, connection: UpstreamConnection) -> None:
        if self._closed or connection not in self._current or len(self._idle) >= self._limits.idle_connections:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._limits.idle_seconds, self._close_old)

    def _lost(self, connection: UpstreamConnection) -> None:
        self._all.discard(connection)
        self._current.discard(connection)

    def _close_old(self) -> None:
        loop = asyncio.get_running_loop()
        border = loop.time() - self._limits.idle_seconds
        kept = []
        for connection in self._idle:
            if connection.usable and connection.idle_since > border:
                kept.append(connection)
            else:
                connection.abort()
        self._idle = kept
        self._sweep = loop.call_later(self._limits.idle_seconds / 2, self._close_old) if kept else None

    def _probe(self, sock: socket.socket | None) -> None:
        if sock is None:
            return
        seconds = self._limits.dead_peer_seconds
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", max(1, seconds // 2)),
            ("TCP_KEEPINTVL", max(1, seconds // 5)),
            ("TCP_KEEPCNT", 3),
        ):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def __repr__(self) -> str:
        return f"<Upstream {self.url}, {len(self._all)} connections, {len(self._idle)} of them idle>"
