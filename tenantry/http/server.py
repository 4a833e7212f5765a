"""The HTTP/1.1 server: requests in, our values to the handler, its answer out. Every limit of a single request is kept here."""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.utils import formatdate
from itertools import count
from urllib.parse import unquote

from aiohttp.http import RawRequestMessage

from tenantry.apiserver.callers import WITHOUT_CREDENTIALS, Caller, Callers
from tenantry.apiserver.negotiation import error_response
from tenantry.apiserver.work import turns
from tenantry.base.allocator import free_pages
from tenantry.base.logs import AccessLog
from tenantry.base.loop_turns import in_steps, turns_of_loop
from tenantry.base.metrics import Metrics
from tenantry.base.shares import Shares
from tenantry.base.tasks import restarting
from tenantry.http.bodies import Bodies
from tenantry.http.certificates import Pair, load_pair
from tenantry.http.compression import accepts_gzip, compress
from tenantry.http.connection import Connection
from tenantry.http.connections import Connections
from tenantry.http.exchange import Exchange, SlowBody
from tenantry.http.gate import Gate, Seat
from tenantry.http.handshakes import Handshakes
from tenantry.http.head import BODILESS, head, relayed_head
from tenantry.http.limit_metrics import figures
from tenantry.http.limits import Limits
from tenantry.http.messages import Handler, Relay, Reply, Request, Response, Stream
from tenantry.http.pacing import Pacing
from tenantry.http.sink import LAST_CHUNK, RelayTransport, TransportSink
from tenantry.kube import status
from tenantry.kube.status import StatusError

log = logging.getLogger(__name__)

PROBES = frozenset(("/livez", "/readyz", "/healthz"))
PROBE = Caller((), exempt=True)
_NOTHING = Response(200, b"", "")
"""Go's server, which is kube-apiserver's, says the same, and asks nobody who he is."""
_JOIN_UP_TO_BYTES = 64 * 1024
"""Up to here copying the body behind its head is cheaper than a second TLS record."""
_SLICE_BYTES = 512 * 1024
"""Of a long answer, between two looks at the clock."""
_TICK_SECONDS = 0.5
_STOPPING_SECONDS = 0.1
"""How long requests may go on once the server ends."""
_LINGERING_SECONDS = 2.0
"""How long what a client still sends is read after its answer, so that it reads that one."""
_LONGEST_AUDIT_ID = 128
_CLIENT_CLOSED = 499
"""nginx's code for a client that went away before its answer; only for logs and metrics."""


class ListenError(Exception):
    """The server cannot listen on its address; the text says what to change."""


class EdgeServer:
    """Serves `handler` on one address.

    `tls` is None for plain HTTP (tests, or behind something that ends TLS). All methods belong to the loop that `start` ran on.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        metrics: Metrics | None = None,
        access_log: AccessLog | None = None,
        callers: Callers | None = None,
    ) -> None:
        self.limits = limits = limits or Limits()
        self.metrics = metrics or Metrics()
        self._callers = callers or Callers()
        self._gate = Gate(limits, self.metrics)
        memory = Shares("request_memory_bytes", limits.request_memory_bytes, largest=limits.largest_share)
        self._bodies = Bodies(limits, memory, Pacing(limits.large_body_bytes_per_second, self._gate.shared))
        self._pool = Connections(limits, memory)
        self._watches = Shares("watches", limits.watches, largest=limits.largest_share)
        gate, bodies = self._gate, self._bodies
        self.metrics.shares += (gate.reading.seats, gate.writing.seats, gate.queued, self._watches)
        self._handshakes = Handshakes(limits, self._connection)
        self._handshakes.tls = tls
        self.metrics.shares += (bodies.receiving, bodies.memory, self._pool.open, self._handshakes.open)
        self.metrics.collectors.append(figures(gate, bodies, self._pool, self._handshakes))
        self._handler = handler
        self._tls = tls
        self._access_log = access_log
        self._listener: asyncio.Server | None = None
        self._open: set[Exchange] = set()
        self._in_flight: set[Exchange] = set()
        self._streams: set[Exchange] = set()
        self._draining = False
        self._quiet = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None
        self._date = ""
        self._id_prefix = str(uuid.uuid4())[:24]
        self._ids = count(1)

    async def start(self, host: str, port: int, flag: str = "--secure-port") -> int:
        """Listens; returns the port, which was chosen by the system where `port` is 0. `flag` is the setting that names it.

        Raises ListenError.
        """
        loop = asyncio.get_running_loop()
        protocol = self._connection if self._tls is None else self._handshakes.protocol
        try:
            self._listener = await loop.create_server(protocol, host, port, backlog=1024)
        except OSError as error:
            raise ListenError(_listen_text(host, port, flag, error)) from error
        self._tick()
        self._ticker = restarting(self._keep_ticking, name="edge ticker")
        return int(self._listener.sockets[0].getsockname()[1])

    def load_pair(self, pair: Pair) -> None:
        """Shows another certificate to those who connect from now on. Raises CertificateError with nothing changed."""
        assert self._tls is not None
        load_pair(self._tls, pair)

    def renew(self, tls: ssl.SSLContext) -> None:
        """Meets those who connect from now on with another context; the others stay."""
        self._tls = self._handshakes.tls = tls

    async def drain(self, grace_seconds: float | None = None) -> None:
        """Stops accepting, ends every watch with its last chunk and waits for the requests under way, at most `grace_seconds`."""
        self._draining = True
        if self._listener is not None:
            self._listener.close()
        for exchange in self._streams:
            if exchange.sink is not None:
                exchange.sink.end()
        if not self._open:
            self._quiet.set()
        grace = self.limits.drain_seconds if grace_seconds is None else grace_seconds
        try:
            await asyncio.wait_for(self._quiet.wait(), grace)
        except TimeoutError:
            log.warning("requests did not finish in time", extra={"requests": len(self._open), "watches": len(self._streams)})
            for exchange in self._open:
                if exchange.task is not None:
                    exchange.task.cancel()

    async def stop(self) -> None:
        """Ends everything now. After `drain`, nothing is cut."""
        self._draining = True
        if self._listener is not None:
            self._listener.close()
        await self._handshakes.stop()
        await self._close_connections()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        if self._access_log is not None:
            self._access_log.close()

    async def _close_connections(self) -> None:
        """Draining has waited for requests already."""
        connections = list(self._pool.all)
        for connection in connections:
            connection.close()
        under_way = {connection.task for connection in connections if connection.task is not None}
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=_STOPPING_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in connections:
            connection.force_close()

    def _connection(self) -> Connection:
        return Connection(self._serve, self._pool)

    async def _serve(self, exchange: Exchange) -> bool:
        """Answers a request; whether the connection is kept."""
        kept = await self._exchange(exchange)
        if not exchange.payload.is_eof():
            with suppress(TimeoutError):
                async with asyncio.timeout(_LINGERING_SECONDS):
                    await exchange.discard()
            if not exchange.payload.is_eof():
                # Closed in good order it would be read, and decrypted, for as long as its client sends.
                exchange.connection.cut()
        return kept

    async def _exchange(self, exchange: Exchange) -> bool:
        loop = asyncio.get_running_loop()
        started = loop.time()
        message = exchange.message
        exchange.task = asyncio.current_task(loop)
        exchange.bodies = self._bodies
        exchange.body_limit_bytes = self.limits.body_bytes
        exchange.deadline = started + self.limits.request_timeout_seconds
        request = self._request(exchange)
        metrics = self.metrics
        code = _CLIENT_CLOSED
        seconds: float | None = None
        self._open.add(exchange)
        caller = exchange.caller = self._caller(exchange, request)
        gate = self._gate
        seat = exchange.seat = Seat(gate, gate.reading if message.method in ("GET", "HEAD") else gate.writing, caller)
        try:
            self._in_flight.add(exchange)
            try:
                reply = _NOTHING if _is_no_operation(message) else await self._answer(exchange, request, seat)
            finally:
                self._in_flight.discard(exchange)
                self._bodies.worked(exchange)
                seat.leave()
            if not caller.proven or reply.status == 401 or not exchange.connection.proven:
                caller = self._identified(exchange, request, reply)
            watching = isinstance(reply, Stream) or (isinstance(reply, Relay) and reply.chunked)
            if watching:
                wanted = reply
                if message.version < (1, 1):
                    reply = error_response(status.bad_request("a watch needs HTTP/1.1"), request)
                elif not self._watches.take(caller.owners):
                    reply = self._too_many(request)
                if reply is not wanted:
                    watching = False
                    if isinstance(wanted, Relay) and wanted.close is not None:
                        wanted.close()
            code = reply.status
            seconds = loop.time() - started
            if watching:
                seconds = None
                self._bodies.forget(exchange)
                metrics.watches += 1
                try:
                    if isinstance(reply, Stream):
                        return await self._stream(exchange, request, reply)
                    assert isinstance(reply, Relay)
                    return await self._relay(exchange, request, reply)
                finally:
                    metrics.watches -= 1
                    self._watches.give(caller.owners)
            if isinstance(reply, Relay):
                return await self._relay(exchange, request, reply)
            assert isinstance(reply, Response)
            return await self._write(exchange, request, reply)
        finally:
            # An error that ends the task holds this frame, and the exchange would hold the task.
            exchange.task = None
            self._open.discard(exchange)
            self._bodies.forget(exchange)
            if self._draining and not self._open:
                self._quiet.set()
            metrics.request(request.verb, code, seconds)
            if self._access_log is not None:
                self._record(request, code, loop.time() - started)

    def _caller(self, exchange: Exchange, request: Request) -> Caller:
        """For whom the request counts, as far as is known before it is authenticated."""
        message = exchange.message
        if (request.path in PROBES and message.method in ("GET", "HEAD")) or _is_no_operation(message):
            # Answered at once, from what the process knows; nothing is read of a body.
            return PROBE
        return self._callers.of(request)

    def _identified(self, exchange: Exchange, request: Request, reply: Reply) -> Caller:
        """Who it was, now that the request is answered. Their connection is theirs from now on."""
        caller, connection, pool = exchange.caller, exchange.connection, self._pool
        if reply.status == 401:
            self._callers.refused(request)
            caller = WITHOUT_CREDENTIALS
        elif not caller.proven:
            caller = self._callers.answered(caller, request, reply.status)
        if not caller.proven or caller is PROBE:
            pool.heard(connection, asyncio.get_running_loop().time())
        elif not pool.prove(connection, () if self._callers.trusts(connection.client_certificate) else caller.owners):
            exchange.crowded = True
        return caller

    def _request(self, exchange: Exchange) -> Request:
        message = exchange.message
        target = _unicode(message.path)
        if target[:1] != "/":
            target = _origin_form(target)
        path, _, query = target.partition("?")
        if "%" in path:
            path = unquote(path)
        connection = exchange.connection
        headers: Mapping[str, str] = message.headers
        if not all(map(str.isascii, headers.values())):
            clean = message.headers.copy()
            clean.clear()
            clean.extend((name, _unicode(value)) for name, value in headers.items())
            headers = clean
        return Request(
            message.method,
            path,
            query,
            headers,
            exchange.read_body,
            connection.client_certificate,
            connection.remote,
            _usable(headers.get("audit-id")) or f"{self._id_prefix}{next(self._ids):012x}",
            known_credential=connection.credential(headers.get("authorization", "")),
        )

    def _too_many(self, request: Request) -> Response:
        self.metrics.rejected += 1
        return error_response(status.too_many_requests("Too many requests, please try again later."), request)

    async def _answer(self, exchange: Exchange, request: Request, seat: Seat) -> Reply:
        try:
            if not seat.take_now():
                await seat.take()
            return await self._gate.run(exchange.caller, self._handler(request), (request.method, request.path))
        except StatusError as error:
            return error_response(error, request)
        except asyncio.CancelledError:
            if not exchange.timed_out:
                raise
            assert exchange.task is not None
            exchange.task.uncancel()
            return error_response(
                status.timeout("Timeout: request did not complete within the allotted timeout"),
                request,
            )
        except Exception:
            # Whatever a handler got wrong must not take the connection down; its text may hold what is not the client's to see.
            log.exception(
                "request failed", extra={"requestID": request.request_id, "method": request.method, "path": request.path}
            )
            text = f"request {request.request_id} failed, the log of the server has the reason"
            return error_response(status.internal(text), request)

    async def _write(self, exchange: Exchange, request: Request, response: Response) -> bool:
        body, more = response.body, response.more
        headers = response.headers
        if (
            response.compressible
            and (response.more or len(body) >= self.limits.compress_from_bytes)
            and accepts_gzip(request.headers.get("accept-encoding", ""))
        ):
            body, *more = await compress((body, *more), self.limits.compress_in_thread_from_bytes)
            vary = headers.get("Vary")
            headers = {**headers, "Content-Encoding": "gzip", "Vary": f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"}
        transport = exchange.connection.transport
        if transport is None or transport.is_closing():
            return False
        close = self._draining or exchange.message.should_close or exchange.crowded or not exchange.payload.is_eof()
        size = len(body) + sum(map(len, more))
        first = head(
            response.status,
            content_type=response.content_type,
            request_id=request.request_id,
            date=self._date,
            headers=headers,
            warnings=response.warnings,
            content_length=size,
            close=close,
        )
        if request.method == "HEAD" or response.status in BODILESS:
            transport.write(first)
        elif len(body) <= _JOIN_UP_TO_BYTES and not more:
            transport.write(first + body)
        elif len(body) <= _SLICE_BYTES and not more:
            began = time.perf_counter()
            transport.writelines((first, body))
            turns_of_loop.worked(time.perf_counter() - began, ("answer to", request.method, request.path))
            free_pages.passed(size)
        else:
            writing = self._write_long(exchange, transport, first, (body, *more))
            await in_steps(writing, ("answer to", request.method, request.path))
            free_pages.passed(size)
        if exchange.connection.writing_paused:
            await self._drained(exchange)
        if exchange.payload.exception() is not None:
            # What did not come in time is not waited for any longer.
            exchange.connection.force_close()
        return not close

    async def _write_long(self, exchange: Exchange, transport: asyncio.Transport, first: bytes, pieces: Sequence[bytes]) -> None:
        """In slices, each after the client has read most of the one before: to encrypt and copy takes the loop's time, and what
        waits takes memory."""
        for piece in pieces:
            for at in range(0, len(piece), _SLICE_BYTES):
                written = piece if len(piece) <= _SLICE_BYTES else memoryview(piece)[at : at + _SLICE_BYTES]
                if first:
                    transport.writelines((first, written))
                    first = b""
                    continue
                if exchange.connection.writing_paused:
                    await self._drained(exchange)
                await turns.rest()
                if transport.is_closing():
                    return
                transport.write(written)
        if first:
            transport.write(first)

    async def _drained(self, exchange: Exchange) -> None:
        """Waits until a slow client has read its answer; the next request of its connection is not looked at before."""
        try:
            async with asyncio.timeout(self.limits.response_timeout_seconds):
                await exchange.connection.drained()
        except TimeoutError:
            transport = exchange.connection.transport
            if transport is not None:
                transport.abort()

    async def _stream(self, exchange: Exchange, request: Request, stream: Stream) -> bool:
        transport = exchange.connection.transport
        if transport is None or transport.is_closing():
            return False
        sink = exchange.sink = TransportSink(transport, self.limits.watch_buffer_bytes)
        if self._draining:
            sink.closed.set()
        self._streams.add(exchange)
        close = exchange.message.should_close or exchange.crowded
        try:
            transport.write(
                head(
                    stream.status,
                    content_type=stream.content_type,
                    request_id=request.request_id,
                    date=self._date,
                    headers=stream.headers,
                    warnings=stream.warnings,
                    content_length=None,
                    close=close,
                )
            )
            await in_steps(stream.run(sink), (request.method, request.path))
        except asyncio.CancelledError:
            if not self._draining or transport.is_closing():
                raise
            assert exchange.task is not None
            exchange.task.uncancel()
        except Exception:
            # Half an answer is out: the only way to say that it is not whole is to cut the connection before the last chunk.
            log.exception("stream failed", extra={"requestID": request.request_id, "path": request.path})
            sink.abort()
        finally:
            sink.closed.set()
            self._streams.discard(exchange)
        if transport.is_closing():
            return False
        transport.write(LAST_CHUNK)
        return not (close or self._draining)

    async def _relay(self, exchange: Exchange, request: Request, relay: Relay) -> bool:
        transport = exchange.connection.transport
        if transport is None or transport.is_closing():
            if relay.close is not None:
                relay.close()
            return False
        close = self._draining or exchange.message.should_close or exchange.crowded or not exchange.payload.is_eof()
        transport.write(relayed_head(relay.status, relay.header, close=close) + relay.body)
        if relay.run is None:
            if exchange.connection.writing_paused:
                await self._drained(exchange)
            return not close
        sink = exchange.sink = RelayTransport(transport, lambda: self._drained(exchange))
        if relay.chunked:
            self._streams.add(exchange)
            if self._draining:
                sink.end()
        try:
            whole = await relay.run(sink)
        except BaseException as error:
            # Half an answer is out: the only way to say that it is not whole is to cut the connection.
            transport.abort()
            if not isinstance(error, Exception):
                raise
            log.warning(
                "an answer was cut short", extra={"requestID": request.request_id, "path": request.path, "error": str(error)}
            )
            return False
        finally:
            exchange.sink = None
            if relay.chunked:
                self._streams.discard(exchange)
        if not whole:
            if not transport.is_closing():
                transport.write(LAST_CHUNK)
            return False
        return not (close or self._draining)

    def _record(self, request: Request, code: int, seconds: float) -> None:
        assert self._access_log is not None
        self._access_log.record(
            request_id=request.request_id,
            remote=request.remote,
            user=request.user.name if request.user is not None else "",
            impersonator=request.impersonator.name if request.impersonator is not None else "",
            verb=request.verb,
            method=request.method,
            path=request.path,
            code=code,
            seconds=seconds,
        )

    async def _keep_ticking(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._tick()
            if self._access_log is not None:
                self._access_log.flush()

    def _tick(self) -> None:
        """What need not be done for each request: the date, and looking for requests that take too long."""
        self._date = formatdate(usegmt=True)
        now = asyncio.get_running_loop().time()
        for exchange in self._in_flight:
            if now > exchange.deadline and not exchange.timed_out and exchange.task is not None:
                exchange.timed_out = True
                exchange.task.cancel()
        for exchange in self._bodies.late(now):
            exchange.payload.set_exception(SlowBody("the body of the request did not come in time"))
        self._gate.tick(now)
        self._pool.tick(now)
        self._handshakes.tick(now)

    def __repr__(self) -> str:
        state = "draining" if self._draining else "serving" if self._listener is not None else "stopped"
        return f"<EdgeServer {state}, {len(self._open)} requests, {len(self._streams)} of them watches>"


def _is_no_operation(message: RawRequestMessage) -> bool:
    """RFC 9110 §9.3.7: it asks for nothing but an answer."""
    return message.path == "*" and message.method == "OPTIONS"


def _origin_form(target: str) -> str:
    """Path and query of the absolute form that proxies send (RFC 9112 §3.2.2). `urllib.parse.urlsplit` would keep what it was
    asked."""
    scheme, absolute, rest = target.partition("://")
    if not absolute or not scheme.isalnum():
        return target
    start = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    rest = rest[start:].partition("#")[0]
    return rest if rest.startswith("/") else f"/{rest}"


def _unicode(text: str) -> str:
    """What aiohttp read, with U+FFFD for bytes that are no UTF-8: those it passes on as surrogates, which cannot be written."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _usable(audit_id: str | None) -> str:
    """A client's own request id, if it is one that can stand in a log."""
    return audit_id if audit_id and len(audit_id) <= _LONGEST_AUDIT_ID and audit_id.isascii() else ""


def _listen_text(host: str, port: int, flag: str, error: OSError) -> str:
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen on {where}: another process uses that port; stop it, or choose another port with {flag}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"cannot listen on {where}: not permitted; ports below 1024 need privileges, choose another with {flag}"
    return f"cannot listen on {where}: {error.strerror or error}"
