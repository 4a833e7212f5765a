"""One HTTP/1.1 connection to another server. It has one exchange at a time, parses the head of the answer, and relays the body.

Why it is our own: see docs/decisions/0017-an-upstream-http-client-of-our-own.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from tenantry.http.answer_head import AnswerHead
from tenantry.http.chunks import BadChunk, ChunkScanner
from tenantry.http.messages import RelaySink
from tenantry.http.tls_alerts import TicketedObject, refusal

_HEAD_LIMIT_BYTES = 128 * 1024
_WHOLE_UP_TO_BYTES = 64 * 1024
"""A body up to this size is received completely and returned in one piece."""
_HIGH_BYTES = 256 * 1024
"""How many received bytes may wait to be passed on before reading pauses, which slows the other server down."""
_SHORTEST_SECONDS = 1.0
"""The shortest time of an empty watch. client-go treats an empty watch that ends earlier as a failure, and lists again."""
_NO_OPERATION = b"OPTIONS * HTTP/1.1\r\nHost: any\r\n\r\n"
"""RFC 9110 §9.3.7. If it is sent during a watch, the server ends the watch (`Connection`)."""
_LEAVING_SECONDS = 2.0


class UpstreamError(Exception):
    """The other server failed. `sent`: a part of the request was sent, so it may have been executed."""

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


@dataclass(slots=True, eq=False)
class Answer:
    """An answer of the other server. `header`: the header lines to pass on, each ended by CRLF, with the framing. `fields`: the
    headers by lower-case name; of a repeated one the last. `body`: the whole body, or empty if `rest` has it. `rest`: call its
    `pump` for the body; None if `body` is complete."""

    status: int
    header: bytes
    fields: dict[bytes, bytes]
    body: bytes
    chunked: bool
    rest: UpstreamConnection | None


class UpstreamConnection(asyncio.Protocol):
    """A connection that a pool creates. `released`: called when an exchange has ended and another may begin. `lost`: called when
    the connection is closed."""

    def __init__(self, released: Callable[[UpstreamConnection], None], lost: Callable[[UpstreamConnection], None]) -> None:
        self.used = 0
        self.idle_since = 0.0
        self.fresh = True
        self._released = released
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._data = b""
        self._head_seen = False
        self._head = AnswerHead()
        self._length: int | None = None
        self._scanner: ChunkScanner | None = None
        self._bodiless = False
        self._keep = True
        self._paused = False
        self._error: UpstreamError | None = None
        self._ended = False
        self._busy = False
        self._leaving: asyncio.TimerHandle | None = None
        """Aborts the connection if the rest of a cancelled answer takes too long. None: no answer was cancelled."""
        self._sent = False
        self._begun = 0.0
        self._sink: RelaySink | None = None
        """Where `pump` passes the answer on to."""
        self._may_end = False
        """Whether a chunked answer may end early: some of it was passed on, or it is old enough."""

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            # It would be mistaken for the answer to the next request.
            self.abort("the server sent unexpected bytes")
            return
        sink, waiter = self._sink, self._waiter
        if sink is not None and waiter is not None and not waiter.done() and not sink.lags:
            self._pass_on(sink, waiter, data)
            return
        self._data = self._data + data if self._data else data
        if self._leaving is not None:
            self._leave_on()
            return
        if not self._head_seen and not self._parse_head():
            return
        if len(self._data) > _HIGH_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        if self._length is None or len(self._data) >= self._length or self._length > _WHOLE_UP_TO_BYTES:
            self._wake()

    def eof_received(self) -> bool:
        self._end("the server closed the connection")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        refused = refusal(error)
        if refused and self.used <= 1 and not self._head_seen and not self._data:
            # With TLS 1.3 the server checks a client's certificate after the client's handshake has ended.
            self._sent = False
            self._end(f"refused by TLS: {refused}")
        self._end(f"the connection broke: {error}" if error is not None else "the server closed the connection")
        self._transport = None
        self._lost(self)

    # Called by the pool and its users

    @property
    def usable(self) -> bool:
        """Whether an exchange may begin."""
        return self._transport is not None and not self._transport.is_closing() and not self._ended and not self._busy

    def abort(self, why: str = "the connection was aborted") -> None:
        """Aborts the connection. Callers that wait for an answer get UpstreamError."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    async def accepted(self, timeout_seconds: float) -> None:
        """Waits until the server's TLS handshake has ended, or for `timeout_seconds`. Raises UpstreamError (`sent` is False)."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        if isinstance(tls, TicketedObject) and not tls.accepted:
            tls.on_accepted(self._wake)
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    while not (tls.accepted or self._ended):
                        await self._wait()
        if self._ended:
            raise self._error or UpstreamError("the connection is closed", sent=False)

    async def exchange(self, request: bytes, *, head_only: bool = False) -> Answer:
        """Sends a request with its body, and returns when the head of the answer was received.

        `head_only`: no body follows, whatever the head says (HEAD). Raises UpstreamError; then the connection is aborted.
        Cancelling the exchange aborts it too, which tells the other server to stop.
        """
        transport = self._transport
        if transport is None or not self.usable:
            why = "the connection is closed"
            raise UpstreamError(str(self._error) if self._error is not None and not self.used else why, sent=False)
        self._busy, self._head_seen, self._data, self._bodiless, self._keep = True, False, b"", head_only, True
        self._sent = True
        self._begun = asyncio.get_running_loop().time()
        self.used += 1
        try:
            transport.write(request)
            while not self._ready():
                await self._wait()
            return self._answer()
        except BaseException:
            self.abort()
            raise

    async def pump(self, sink: RelaySink) -> bool:
        """Writes the rest of a body to a sink. Returns and raises as `Relay.run`.

        If a chunked answer has to end early, it ends after some of it was passed on, or one second after the request. Then the
        client resumes the watch, and gets the missed events from the new owner.
        """
        sink.on_ending(self._wake)
        self._sink, self._may_end = sink, False

        def grown() -> None:
            self._may_end = True
            self._wake()

        timer = asyncio.get_running_loop().call_at(self._begun + _SHORTEST_SECONDS, grown)
        try:
            while True:
                if self._data and not self._complete:
                    data, self._data = self._data, b""
                    self._write(sink, data)
                if sink.lags:
                    await sink.drain()
                if self._complete:
                    self._finish()
                    return True
                if self._data:
                    continue
                between = self._scanner is not None and self._scanner.between
                if sink.ending and between and self._may_end:
                    self.abort("the answer was cancelled")
                    return False
                if self._ended and (self._may_end or not between):
                    return self._broken()
                if self._paused and self._transport is not None:
                    self._paused = False
                    self._transport.resume_reading()
                await self._wait()
        except asyncio.CancelledError:
            self._leave()
            raise
        except BaseException:
            self.abort()
            raise
        finally:
            self._sink = None
            timer.cancel()

    # Internal

    def _pass_on(self, sink: RelaySink, waiter: asyncio.Future[None], data: bytes) -> None:
        """Writes what came while `pump` waits, and wakes it only if it has something to do. Most events of a watch come alone,
        and waking a task costs as much as passing them on."""
        try:
            self._write(sink, data)
        except Exception as error:  # `pump` raises it
            self._keep = False
            waiter.set_exception(error)
            return
        if self._complete or sink.lags or sink.ending:
            waiter.set_result(None)

    def _write(self, sink: RelaySink, data: bytes) -> None:
        data = self._take(data)
        if data:
            self._may_end = True
            sink.write(data)

    @property
    def _complete(self) -> bool:
        """Whether the whole body was taken."""
        return self._scanner.done if self._scanner is not None else self._length == 0

    def _leave(self) -> None:
        """Called when an answer is cancelled. Asks the server to end a watch, so that the connection can be reused: a new one
        costs both sides a handshake, which is more than everything else of a watch."""
        if self._scanner is None or not self._keep or self._ended or self._transport is None:
            self.abort()
            return
        self._leaving = asyncio.get_running_loop().call_later(_LEAVING_SECONDS, self.abort)
        self._transport.write(_NO_OPERATION)
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._leave_on()

    def _leave_on(self) -> None:
        """Reads the rest of the answer, and the answer to `_NO_OPERATION`."""
        assert self._scanner is not None
        if not self._scanner.done:
            data, self._data = self._data, b""
            try:
                self._scanner.feed(data)
            except BadChunk:
                self.abort()
                return
            if not self._scanner.done:
                return
            self._data, self._head_seen = self._scanner.behind, False
        if not self._parse_head():
            return
        if self._length != 0 or self._data:
            self.abort("the server sent unexpected bytes")
            return
        self._stop_leaving()
        self._finish()

    def _stop_leaving(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def _broken(self) -> bool:
        if self._scanner is not None and self._scanner.between:
            # The last chunk is complete, so the client can resume the watch.
            return False
        raise self._error or UpstreamError("the answer ended early", sent=True)

    def _ready(self) -> bool:
        if self._head_seen:
            if self._length is None or self._length > _WHOLE_UP_TO_BYTES or len(self._data) >= self._length:
                return True
            if self._ended:
                raise self._error or UpstreamError("the answer ended early", sent=True)
            return False
        if self._ended:
            raise self._error or UpstreamError("the server closed the connection", sent=True)
        return False

    async def _wait(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _end(self, why: str) -> None:
        self._stop_leaving()
        if not self._ended:
            self._ended = True
            self._error = self._error or UpstreamError(why, sent=self._sent)
        self._wake()

    def _parse_head(self) -> bool:
        """Parses the head of the answer. Returns whether it is complete and valid."""
        head = self._head
        while True:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                if len(self._data) > _HEAD_LIMIT_BYTES:
                    self.abort("the answer's head is too long")
                return False
            lines = self._data[:end].split(b"\r\n")
            self._data = self._data[end + 4 :]
            if not head.parse_status(lines[0]):
                self.abort("the answer is not HTTP/1.1")
                return False
            if head.status >= 200:
                break
        if not head.parse_fields(lines, bodiless=self._bodiless):
            self.abort("the answer's head is malformed")
            return False
        self._keep = self._keep and head.keeps
        self._length = head.length
        self._scanner = ChunkScanner() if head.length is None else None
        self._head_seen = True
        return True

    def _take(self, data: bytes) -> bytes:
        """Returns the bytes to pass on."""
        if self._scanner is not None:
            try:
                return self._scanner.feed(data)
            except BadChunk as error:
                raise UpstreamError(str(error), sent=True) from error
        assert self._length is not None
        if len(data) > self._length:
            # The body is longer than declared, so the connection cannot be trusted for another request.
            self._keep = False
            data = data[: self._length]
        self._length -= len(data)
        return data

    def _answer(self) -> Answer:
        head = self._head
        answer = Answer(head.status, head.header, head.fields, b"", self._scanner is not None, None)
        if self._length is not None and len(self._data) >= self._length:
            data, self._data = self._data, b""
            answer.body = self._take(data) if self._length else b""
            if self._length == 0 and not answer.body and data:
                self._keep = False
            self._finish()
            return answer
        answer.rest = self
        return answer

    def _finish(self) -> None:
        self._busy = False
        if self._keep and not self._ended and self._transport is not None:
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            self._released(self)
        elif self._transport is not None:
            self._transport.close()

    def __repr__(self) -> str:
        state = "ended" if self._ended else "busy" if self._busy else "idle"
        return f"<UpstreamConnection {state}, {self.used} exchanges>"
