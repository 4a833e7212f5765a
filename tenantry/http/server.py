"""The HTTP/1.1 server. It gives requests to a handler, writes the answers, and enforces the limits of each request."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Generic, Protocol

from tenantry.base.metrics import Metrics
from tenantry.base.shares import Shares
from tenantry.base.tasks import restarting
from tenantry.http.answers import AnswerWriter
from tenantry.http.body_limits import Bodies
from tenantry.http.callers import WITHOUT_CREDENTIALS, AnyRequest, Caller, Callers
from tenantry.http.certificates import Pair, load_pair
from tenantry.http.connection import ServerConnection
from tenantry.http.connections import Connections
from tenantry.http.errors import OUT_OF_TIME, BadRequest, HandlerTimeout, InternalError, TooManyRequests
from tenantry.http.exchange import Exchange, SlowBody
from tenantry.http.gate import Gate, Seat
from tenantry.http.handshakes import Handshakes
from tenantry.http.limit_metrics import limit_metrics
from tenantry.http.limits import Limits
from tenantry.http.listening import ListenError
from tenantry.http.messages import Handler, Relay, Reply, RequestT, Response, Stream
from tenantry.http.pacing import Pacing
from tenantry.http.request_reader import RequestReader, is_no_operation
from tenantry.http.websocket import Handshake, handshake

logger = logging.getLogger(__name__)

_PROBE = Caller((), exempt=True)
"""The caller of probes and of `OPTIONS *`. It is exempt, and its answer does not prove the identity of the client."""
_NOTHING = Response(200, b"", "")
"""The answer to `OPTIONS *`, the same as that of Go's HTTP server, which kube-apiserver uses."""
_TICK_SECONDS = 0.5
_STOPPING_SECONDS = 0.1
"""How long requests may continue when the server stops."""
_LINGERING_SECONDS = 2.0
"""How long the rest of a body is read after the answer. Many clients read the answer only after they have sent everything."""
_CLIENT_CLOSED = 499
"""nginx's code for a client that closed the connection before the answer. It is for logs and metrics only."""

Refusal = Callable[[Exception, RequestT], Response | None]
"""Makes the answer for an error: for every `HttpError`, and for all errors that a handler raises on purpose. It returns None for
an error that is a bug: that is logged, and answered as an InternalError."""


class RequestLog(Protocol[AnyRequest]):
    """A log of answered requests."""

    def record(self, request: AnyRequest, code: int, seconds: float) -> None:
        """Adds a request that was answered with `code` after `seconds`."""
        ...

    def flush(self) -> None:
        """Writes the buffered entries. It is called twice a second and must not block the loop."""
        ...

    def close(self) -> None:
        """Writes the rest. It may block."""
        ...


class HttpServer(Generic[RequestT]):
    """Serves `handler` on one address.

    `make`: the class of the requests. `refusal`: makes the answers for errors. `callers`: finds the callers of requests, among
    whom the limits are shared. `probes`: paths of health checks; requests for them do not wait and use no share. `tls`: None for
    plain HTTP (tests, or behind a proxy that terminates TLS). All methods must be called on the loop that `start` ran on.
    """

    def __init__(
        self,
        handler: Handler[RequestT],
        *,
        make: type[RequestT],
        refusal: Refusal[RequestT],
        callers: Callers[RequestT],
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        metrics: Metrics | None = None,
        request_log: RequestLog[RequestT] | None = None,
        probes: Collection[str] = (),
    ) -> None:
        self.limits = limits = limits or Limits()
        self.metrics = metrics or Metrics()
        self._callers = callers
        self._refusal = refusal
        self._requests = RequestReader(make)
        self._answers = AnswerWriter(limits)
        self._gate = Gate(limits, self.metrics)
        memory = Shares("request_memory_bytes", limits.request_memory_bytes, largest=limits.largest_share)
        self._bodies: Bodies[Exchange] = Bodies(limits, memory, Pacing(limits.large_body_bytes_per_second, self._gate.shared))
        self._pool = Connections(limits, memory)
        self._watches = Shares("watches", limits.watches, largest=limits.largest_share)
        gate, bodies = self._gate, self._bodies
        self.metrics.shares += (gate.reading.seats, gate.writing.seats, gate.queued, self._watches)
        self._handshakes = Handshakes(limits, self._connection, tls)
        self.metrics.shares += (bodies.receiving, bodies.memory, self._pool.open, self._handshakes.open)
        self.metrics.collectors.append(limit_metrics(gate, bodies, self._pool, self._handshakes))
        self._handler = handler
        self._request_log = request_log
        self._probes = frozenset(probes)
        self._listener: asyncio.Server | None = None
        self._open: set[Exchange] = set()
        self._in_flight: set[Exchange] = set()
        self._quiet = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, flag: str = "--secure-port") -> int:
        """Starts listening. Returns the port, which the system chooses if `port` is 0. `flag`: the flag that sets the port, for
        the text of the error. Raises ListenError.
        """
        loop = asyncio.get_running_loop()
        protocol = self._connection if self._handshakes.tls is None else self._handshakes.protocol
        try:
            self._listener = await loop.create_server(protocol, host, port, backlog=1024)
        except OSError as error:
            raise ListenError.of(host, port, flag, error) from error
        self._tick()
        self._ticker = restarting(self._keep_ticking, name="HTTP server ticker")
        return int(self._listener.sockets[0].getsockname()[1])

    def load_pair(self, pair: Pair) -> None:
        """Uses another certificate for new connections. Raises CertificateError; then nothing has changed."""
        tls = self._handshakes.tls
        assert tls is not None
        load_pair(tls, pair)

    def renew(self, tls: ssl.SSLContext) -> None:
        """Uses another context for new connections. Open ones keep theirs."""
        self._handshakes.tls = tls

    async def drain(self, grace_seconds: float | None = None) -> None:
        """Stops listening, ends every watch with its last chunk, and waits up to `grace_seconds` for requests in progress."""
        if self._listener is not None:
            self._listener.close()
        self._answers.drain()
        if not self._open:
            self._quiet.set()
        grace = self.limits.drain_seconds if grace_seconds is None else grace_seconds
        try:
            await asyncio.wait_for(self._quiet.wait(), grace)
        except TimeoutError:
            logger.warning(
                "requests did not finish before the shutdown",
                extra={"requests": len(self._open), "watches": len(self._answers.streams)},
            )
            for exchange in self._open:
                if exchange.task is not None:
                    exchange.task.cancel()

    async def stop(self) -> None:
        """Closes all connections. After `drain`, no request is interrupted."""
        self._answers.draining = True
        if self._listener is not None:
            self._listener.close()
        await self._handshakes.stop()
        await self._close_connections()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        if self._request_log is not None:
            self._request_log.close()

    async def _close_connections(self) -> None:
        """Closes all connections. Requests in progress get only `_STOPPING_SECONDS`: `drain` has waited for them already."""
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

    def _connection(self) -> ServerConnection:
        return ServerConnection(self._serve, self._pool, self._bodies)

    async def _serve(self, exchange: Exchange) -> bool:
        """Answers a request. Returns whether the connection may be reused."""
        kept = await self._exchange(exchange)
        if not exchange.payload.is_eof():
            with suppress(TimeoutError):
                async with asyncio.timeout(_LINGERING_SECONDS):
                    await exchange.discard()
            if not exchange.payload.is_eof():
                # A regular close would read and decrypt for as long as the client sends.
                exchange.connection.cut()
        return kept

    async def _exchange(self, exchange: Exchange) -> bool:
        loop = asyncio.get_running_loop()
        started = loop.time()
        message = exchange.message
        exchange.task = asyncio.current_task(loop)
        exchange.deadline = started + self.limits.request_timeout_seconds
        request = self._requests.read(exchange)
        metrics = self.metrics
        code = _CLIENT_CLOSED
        seconds: float | None = None
        self._open.add(exchange)
        caller = exchange.caller = self._caller(exchange, request)
        gate = self._gate
        request.place = seat = exchange.seat = Seat(
            gate, gate.reading if message.method in ("GET", "HEAD") else gate.writing, caller
        )
        try:
            self._in_flight.add(exchange)
            try:
                reply = _NOTHING if is_no_operation(message) else await self._answer(exchange, request, seat)
            finally:
                self._in_flight.discard(exchange)
                self._bodies.worked(exchange)
                seat.leave()
            if not caller.proven or reply.status == 401 or not exchange.connection.proven:
                caller = self._identified(exchange, request, reply)
            watching = isinstance(reply, Stream) or (isinstance(reply, Relay) and reply.chunked)
            switch: Handshake | None = None
            if watching:
                wanted = reply
                shaken = handshake(request) if request.websocket else None
                if message.version < (1, 1):
                    reply = self._refused(BadRequest("a watch needs HTTP/1.1"), request)
                elif isinstance(shaken, Response):
                    reply = shaken
                elif not self._watches.take(caller.owners):
                    reply = self._too_many(request)
                if reply is not wanted:
                    watching = False
                    if isinstance(wanted, Relay) and wanted.close is not None:
                        wanted.close()
                    elif isinstance(wanted, Stream) and wanted.dropped is not None and isinstance(reply, Response):
                        wanted.dropped(reply)
                elif isinstance(shaken, Handshake):
                    switch = shaken
            code = reply.status if switch is None else 101
            seconds = loop.time() - started
            if watching:
                seconds = None
                self._bodies.forget(exchange)
                metrics.watches += 1
            try:
                match reply:
                    case Response():
                        return await self._answers.write(exchange, request, reply)
                    case Stream():
                        return await self._answers.stream(exchange, request, reply, switch)
                    case Relay():
                        return await self._answers.relay(exchange, request, reply, switch)
            finally:
                if watching:
                    metrics.watches -= 1
                    self._watches.give(caller.owners)
        finally:
            # An error that ends the task refers to this frame, so the exchange must not refer to the task (a cycle).
            exchange.task = None
            self._open.discard(exchange)
            self._bodies.forget(exchange)
            if self._answers.draining and not self._open:
                self._quiet.set()
            metrics.request(request.verb, code, seconds)
            if self._request_log is not None:
                self._request_log.record(request, code, loop.time() - started)

    def _caller(self, exchange: Exchange, request: RequestT) -> Caller:
        """The caller whose share the request uses, as far as it is known before the request is authenticated."""
        message = exchange.message
        if (request.path in self._probes and message.method in ("GET", "HEAD")) or is_no_operation(message):
            # These are answered at once, without reading a body.
            return _PROBE
        return self._callers.of(request)

    def _identified(self, exchange: Exchange, request: RequestT, reply: Reply) -> Caller:
        """The caller after the request was answered. From now on the connection uses the caller's share."""
        caller, connection, pool = exchange.caller, exchange.connection, self._pool
        if reply.status == 401:
            self._callers.refused(request)
            caller = WITHOUT_CREDENTIALS
        elif not caller.proven:
            caller = self._callers.answered(caller, request, reply.status)
        if not caller.proven or caller is _PROBE:
            pool.answered(connection, asyncio.get_running_loop().time())
        elif not pool.prove(connection, () if self._callers.trusts(connection.client_certificate) else caller.owners):
            exchange.crowded = True
        return caller

    def _too_many(self, request: RequestT) -> Response:
        self.metrics.rejected += 1
        return self._refused(TooManyRequests("Too many requests, please try again later."), request)

    async def _answer(self, exchange: Exchange, request: RequestT, seat: Seat) -> Reply:
        try:
            if not seat.take_now():
                await seat.take()
            return await self._gate.run(exchange.caller, self._handler(request), (request.method, request.path))
        except asyncio.CancelledError:
            if not exchange.timed_out:
                raise
            assert exchange.task is not None
            exchange.task.uncancel()
            return self._refused(HandlerTimeout(OUT_OF_TIME), request)
        except Exception as error:  # an error of a handler must not end the connection
            return self._refused(error, request)

    def _refused(self, error: Exception, request: RequestT) -> Response:
        """The answer for an error. The text of a bug is not sent, because it may contain internal details."""
        answer = self._refusal(error, request)
        if answer is None:
            logger.error(
                "request failed",
                extra={"requestID": request.request_id, "method": request.method, "path": request.path},
                exc_info=error,
            )
            text = f"request {request.request_id} failed; the log of the server has the reason"
            answer = self._refusal(InternalError(text), request)
            assert answer is not None, "every HttpError has an answer"
        return answer

    async def _keep_ticking(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._tick()
            if self._request_log is not None:
                self._request_log.flush()

    def _tick(self) -> None:
        """Does twice a second what would be too costly for each request: updates the date, and ends what takes too long."""
        self._answers.tick()
        now = asyncio.get_running_loop().time()
        for exchange in self._in_flight:
            if now > exchange.deadline and not exchange.timed_out and exchange.task is not None:
                exchange.timed_out = True
                exchange.task.cancel(OUT_OF_TIME)
        for exchange in self._bodies.late(now):
            exchange.payload.set_exception(SlowBody("the body of the request did not arrive in time"))
        self._gate.tick(now)
        self._pool.tick(now)
        self._handshakes.tick(now)

    def __repr__(self) -> str:
        state = "draining" if self._answers.draining else "serving" if self._listener is not None else "stopped"
        return f"<HttpServer {state}, {len(self._open)} requests, {len(self._answers.streams)} of them watches>"
