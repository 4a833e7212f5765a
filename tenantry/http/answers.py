"""Writes answers to a connection: complete ones, streams, and relayed answers of other servers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from email.utils import formatdate

from tenantry.base.allocator import free_pages
from tenantry.base.loop_turns import in_steps, turns_of_loop
from tenantry.base.time_slices import turns
from tenantry.http.compression import accepts_gzip, compress
from tenantry.http.exchange import Exchange
from tenantry.http.head import BODILESS, head, relayed_head
from tenantry.http.limits import Limits
from tenantry.http.messages import Relay, Request, Response, Stream
from tenantry.http.sink import LAST_CHUNK, RelayTransport, StreamOutput, TransportSink
from tenantry.http.websocket import Handshake, WebSocketClient
from tenantry.http.websocket_relay import WebSocketRelay

logger = logging.getLogger(__name__)

_JOIN_UP_TO_BYTES = 64 * 1024
"""Bodies up to this size are sent in one write with the head. For them a copy is cheaper than a second TLS record."""
_SLICE_BYTES = 512 * 1024
"""How many bytes of a long answer are written between two checks of the clock."""


class AnswerWriter:
    """Writes the answers of one server. Each method that writes an answer returns whether the connection may be reused."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._date = ""
        self.draining = False
        """The server shuts down: connections are closed after their answers."""
        self.streams: set[Exchange] = set()
        """Exchanges with open streams: watches and relayed chunked answers."""
        self.tick()

    def tick(self) -> None:
        """Updates the date of answers. Call it about once a second."""
        self._date = formatdate(usegmt=True)

    def drain(self) -> None:
        """Ends every stream with its last chunk. From now on every connection is closed after its answer."""
        self.draining = True
        for exchange in self.streams:
            if exchange.sink is not None:
                exchange.sink.end()

    async def write(self, exchange: Exchange, request: Request, response: Response) -> bool:
        """Writes a complete answer, gzipped if it is large enough. Waits for a client that has much of it left to read."""
        body, more = response.body, response.more
        headers = response.headers
        if (
            response.compressible
            and (response.more or len(body) >= self._limits.compress_from_bytes)
            and accepts_gzip(request.headers.get("accept-encoding", ""))
        ):
            body, *more = await compress((body, *more), self._limits.compress_in_thread_from_bytes)
            vary = headers.get("Vary")
            headers = {**headers, "Content-Encoding": "gzip", "Vary": f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"}
        transport = exchange.connection.transport
        if transport is None or transport.is_closing():
            return False
        close = self.draining or exchange.message.should_close or exchange.crowded or not exchange.payload.is_eof()
        size = len(body) + sum(map(len, more))
        first = head(
            response.status,
            content_type=response.content_type,
            request_id=request.request_id,
            date=self._date,
            headers=headers,
            header_lines=request.header_lines,
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
            # The body of the request did not arrive in time. Do not wait for the rest.
            exchange.connection.force_close()
        return not close

    async def _write_long(self, exchange: Exchange, transport: asyncio.Transport, first: bytes, pieces: Sequence[bytes]) -> None:
        """Writes a long answer in slices. Each slice is written when the client has read most of the previous one, because
        encrypting and copying take time of the loop, and buffered bytes take memory."""
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
        """Waits until a slow client has read its answer. The next request of the connection is not served before."""
        try:
            async with asyncio.timeout(self._limits.response_timeout_seconds):
                await exchange.connection.drained()
        except TimeoutError:
            transport = exchange.connection.transport
            if transport is not None:
                transport.abort()

    async def stream(self, exchange: Exchange, request: Request, stream: Stream, switch: Handshake | None = None) -> bool:
        """Writes the head of a stream and runs the stream. An error of the stream aborts the connection. `switch`: the stream
        goes to a WebSocket, in frames."""
        transport = exchange.connection.transport
        if transport is None or transport.is_closing():
            if stream.dropped is not None:
                stream.dropped(None)
            return False
        close = exchange.message.should_close or exchange.crowded
        begins = (
            switch.head()
            if switch is not None
            else head(
                stream.status,
                content_type=stream.content_type,
                request_id=request.request_id,
                date=self._date,
                headers=stream.headers,
                header_lines=request.header_lines,
                warnings=stream.warnings,
                content_length=None,
                close=close,
            )
        )
        sink = exchange.sink = TransportSink(transport, self._limits.watch_buffer_bytes, begins)
        client = self._switched(exchange, sink) if switch is not None else None
        if self.draining:
            sink.closed.set()
        self.streams.add(exchange)
        try:
            asyncio.get_running_loop().call_soon(sink.send_head)
            await in_steps(stream.run(sink), (request.method, request.path))
        except asyncio.CancelledError:
            if not self.draining or transport.is_closing():
                raise
            assert exchange.task is not None
            exchange.task.uncancel()
        except Exception:
            # A part of the answer was sent. Only aborting before the last chunk tells the client that it is not complete.
            logger.exception("stream failed", extra={"requestID": request.request_id, "path": request.path})
            sink.abort()
        finally:
            sink.closed.set()
            self.streams.discard(exchange)
        if transport.is_closing():
            return False
        if client is not None:
            await client.close()
            return False
        sink.send(LAST_CHUNK)
        return not (close or self.draining)

    def _switched(self, exchange: Exchange, output: StreamOutput) -> WebSocketClient:
        """From now on the client sends frames."""
        client = WebSocketClient(exchange.connection, output)
        exchange.connection.switch(client.received)
        return client

    async def relay(self, exchange: Exchange, request: Request, relay: Relay, switch: Handshake | None = None) -> bool:
        """Relays another server's answer. If that ends early, the connection is aborted, so that the client notices. `switch`:
        the answer is a stream, and goes to a WebSocket."""
        transport = exchange.connection.transport
        if transport is None or transport.is_closing():
            if relay.close is not None:
                relay.close()
            return False
        close = self.draining or exchange.message.should_close or exchange.crowded or not exchange.payload.is_eof()
        begins = relayed_head(relay.status, relay.header, close=close) + relay.body if switch is None else switch.head()
        transport.write(begins)
        if relay.run is None:
            if exchange.connection.writing_paused:
                await self._drained(exchange)
            return not close
        client: WebSocketClient | None = None
        sink = exchange.sink = self._relay_output(exchange, transport, relay, messages=switch is not None)
        if switch is not None:
            client = self._switched(exchange, sink)
        if relay.chunked:
            self.streams.add(exchange)
            if self.draining:
                sink.end()
        try:
            whole = await relay.run(sink)
        except BaseException as error:
            # A part of the answer was sent. Only aborting the connection tells the client that it is not complete.
            transport.abort()
            if not isinstance(error, Exception):
                raise
            logger.warning(
                "relayed answer ended early", extra={"requestID": request.request_id, "path": request.path, "error": str(error)}
            )
            return False
        finally:
            exchange.sink = None
            if relay.chunked:
                self.streams.discard(exchange)
        if client is not None:
            await client.close()
            return False
        if not whole:
            if not transport.is_closing():
                transport.write(LAST_CHUNK)
            return False
        return not (close or self.draining)

    def _relay_output(
        self, exchange: Exchange, transport: asyncio.Transport, relay: Relay, *, messages: bool
    ) -> RelayTransport | WebSocketRelay:
        connection = exchange.connection
        if messages:
            return WebSocketRelay(connection, transport, lambda: self._drained(exchange), relay.header)
        return RelayTransport(connection, transport, lambda: self._drained(exchange))
