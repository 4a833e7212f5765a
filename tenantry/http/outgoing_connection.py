"""One HTTP/1.1 connection to a server that a tenant names (a webhook). It is not trusted: what it sends is bounded, and each call
has a deadline of its caller.

`upstream_connection.py` is for servers of the platform: it passes answers on, and this one collects them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import NamedTuple, cast

from tenantry.http.answer_intake import AnswerIntake, NoRoom
from tenantry.http.chunks import BadChunk, ChunkScanner, unchunked

_HEAD_LIMIT_BYTES = 64 << 10
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?")
_HEADERS_MAX = 1_000
_INFORMATIONAL_MAX = 5
"""So many 1xx answers come before an answer, as in Go's net/http."""
_CHUNKS_MAX = 1_000
"""So many small ones: the event loop reads each of them, in some two microseconds."""
_BODILESS = frozenset((204, 304))
_KEPT_HEAD_BYTES = 1 << 10
"""The longest head that a connection keeps."""


class OutgoingError(Exception):
    """A call failed. The text names the cause as Go's net/http does. `unanswered`: the server sent nothing on a connection that
    it had kept open, so the call may be repeated on a new one. `timed_out`: the deadline has passed."""

    def __init__(self, text: str, *, unanswered: bool = False, timed_out: bool = False) -> None:
        super().__init__(text)
        self.unanswered = unanswered
        self.timed_out = timed_out


class OutgoingAnswer(NamedTuple):
    """An answer. `fields`: the headers by lower-case name; of a repeated one the last."""

    status: int
    fields: Mapping[bytes, bytes]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.fields.get(b"content-type", b"").decode("latin-1")


class _Head(NamedTuple):
    """What a head says. `keeps`: whether the server keeps the connection. `length`: of the body, None where it is in chunks
    (`chunked`) or ends with the connection."""

    status: int
    fields: Mapping[bytes, bytes]
    keeps: bool
    length: int | None
    chunked: bool = False


class _KeptHead(NamedTuple):
    """The head of the last answer of a connection, with the empty line that ends it. A server that is called often says the same
    again, but for its Date once a second."""

    raw: bytes
    head: _Head
    whole: int
    """The bytes of an answer with this head."""

    def is_whole(self, data: bytes) -> bool:
        """Whether this is an answer with this head and nothing else."""
        return len(data) == self.whole and data.startswith(self.raw)


def deadline_exceeded() -> OutgoingError:
    return OutgoingError("context deadline exceeded", timed_out=True)


class Deadlines:
    """The deadlines of all exchanges, with one timer: nearly all of them end long before. `close` when the process ends."""

    __slots__ = ("_due", "_timer", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[OutgoingAnswer], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def add(self, answered: asyncio.Future[OutgoingAnswer], deadline: float) -> None:
        """Fails an exchange at a time of the event loop, unless it is removed before."""
        self._waiting[answered] = deadline
        if self._timer is None or deadline < self._due:
            self._set(deadline)

    def remove(self, answered: asyncio.Future[OutgoingAnswer]) -> None:
        self._waiting.pop(answered, None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, due: float) -> None:
        self.close()
        self._due = due
        self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for answered, deadline in list(self._waiting.items()):
            if deadline <= now:
                del self._waiting[answered]
                if not answered.done():
                    answered.set_exception(deadline_exceeded())
        if self._waiting:
            self._set(min(self._waiting.values()))


class OutgoingConnection(asyncio.Protocol):
    """A connection that a pool keeps. One exchange at a time."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.reused = False
        self._transport: asyncio.Transport | None = None
        self._answered: asyncio.Future[OutgoingAnswer] | None = None
        self._data = bytearray()
        self._limit = 0
        self._intake: AnswerIntake | None = None
        self._turn: asyncio.Future[None] | None = None
        """What the next read waits for."""
        self._head: _Head | None = None
        self._known: _KeptHead | None = None
        self._scanner: ChunkScanner | None = None
        self._chunks = bytearray()
        self._informational = 0
        self._keeps = True

    @property
    def usable(self) -> bool:
        """Whether an exchange may begin."""
        return self._transport is not None and not self._transport.is_closing() and self._keeps and self._answered is None

    async def exchange(
        self, request: bytes, limit_bytes: int, intake: AnswerIntake, deadlines: Deadlines, deadline: float
    ) -> OutgoingAnswer:
        """Sends a request and returns the whole answer, of at most `limit_bytes`. Raises OutgoingError, also at the deadline.
        Cancelling it aborts the connection, as the rest of the answer would be taken for the next one."""
        transport = self._transport
        if transport is None or not self.usable:
            raise OutgoingError("EOF", unanswered=True)
        self._limit, self._head, self._scanner = limit_bytes, None, None
        self._informational = 0
        self._intake = intake
        answered: asyncio.Future[OutgoingAnswer] = asyncio.get_running_loop().create_future()
        self._answered = answered
        deadlines.add(answered, deadline)
        try:
            transport.write(request)
            answer = await answered
        except BaseException:
            self.abort()
            raise
        finally:
            self._answered = self._intake = None
            deadlines.remove(answered)
            # Its error and this frame would keep each other, and the answer, until garbage is collected.
            del answered
            self._forget()
        if not self._keeps:
            self.abort()
        return answer

    def _forget(self) -> None:
        """Frees what was received, and lets the next answer in."""
        if self._turn is not None:
            self._turn.cancel()
            self._read_on(self._turn)
        if self._data:
            self._data.clear()
        if self._chunks:
            self._chunks.clear()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answered is None or self._answered.done():
            self.abort()
            return
        known = self._known
        if known is not None and self._head is None and not self._data and known.is_whole(data) and known.whole <= self._limit:
            self._finish(known.head, data[len(known.raw) :])
            return
        self._data += data
        try:
            self._pace(len(data))
            while self._head is None:
                if not self._read_head():
                    return
            self._read_body(self._head)
        except BadChunk as error:
            self._fail(OutgoingError(f"malformed chunked encoding: {error}"))
        except OutgoingError as error:
            self._fail(error)

    def _pace(self, size: int) -> None:
        """Counts what was received. The next piece of a large answer waits for its turn."""
        assert self._intake is not None and self._transport is not None
        try:
            turn = self._intake.received(size)
        except NoRoom:
            raise OutgoingError("too many bytes of answers are in flight") from None
        if turn is not None:
            # What was decrypted already comes also after a pause. The last of the turns counts, and each takes its time.
            self._turn = turn
            self._transport.pause_reading()
            turn.add_done_callback(self._read_on)

    def _read_on(self, turn: asyncio.Future[None]) -> None:
        if turn is self._turn and self._transport is not None and not self._transport.is_closing():
            self._turn = None
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        head = self._head
        if head is not None and head.length is None and not head.chunked:
            # RFC 9112 §6.3: without a length, the body ends with the connection.
            self._finish(head, bytes(self._data))
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if error is not None and not isinstance(error, ConnectionError):
            self._fail(OutgoingError(str(error)))
        elif error is not None:
            self._fail(OutgoingError("read: connection reset by peer", unanswered=self._is_unanswered))
        else:
            self._fail(OutgoingError("EOF" if self._head is None else "unexpected EOF", unanswered=self._is_unanswered))

    @property
    def _is_unanswered(self) -> bool:
        return self.reused and self._head is None and not self._data

    def _read_head(self) -> bool:
        """Reads a head, if it is complete. 1xx answers are skipped."""
        end = self._data.find(b"\r\n\r\n", 0, _HEAD_LIMIT_BYTES)
        if end < 0:
            if len(self._data) >= _HEAD_LIMIT_BYTES:
                raise OutgoingError(f"server response headers exceeded {_HEAD_LIMIT_BYTES} bytes; aborted")
            return False
        if self._data.count(b"\r\n", 0, end) > _HEADERS_MAX:
            raise OutgoingError(f"server response has more than {_HEADERS_MAX} headers; aborted")
        raw = bytes(self._data[: end + 4])
        del self._data[: end + 4]
        head = _parse(raw[:-4])
        if head.status < 200:
            self._informational += 1
            if self._informational > _INFORMATIONAL_MAX:
                raise OutgoingError("net/http: too many 1xx informational responses")
            return bool(self._data)
        self._head, self._keeps = head, head.keeps
        if head.chunked:
            self._scanner = ChunkScanner(_CHUNKS_MAX)
        elif head.length is not None and head.keeps and len(raw) <= _KEPT_HEAD_BYTES:
            self._known = _KeptHead(raw, head, len(raw) + head.length)
        return True

    def _read_body(self, head: _Head) -> None:
        if self._scanner is not None:
            self._chunks += self._scanner.feed(bytes(self._data))
            self._data.clear()
            self._check_size(len(self._chunks))
            if self._scanner.done:
                self._keeps = self._keeps and not self._scanner.behind
                self._finish(head, unchunked(bytes(self._chunks)))
            return
        length = head.length
        self._check_size(length or 0)
        self._check_size(len(self._data))
        if length is not None and len(self._data) >= length:
            self._keeps = self._keeps and len(self._data) == length
            self._finish(head, bytes(self._data[:length]))

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._limit:
            raise OutgoingError(f"the answer has more than {self._limit} bytes")

    def _finish(self, head: _Head, body: bytes) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(OutgoingAnswer(head.status, head.fields, body))

    def _fail(self, error: OutgoingError) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)
        self.abort()


def _parse(raw: bytes) -> _Head:
    """What a head says, without the empty line at its end. Raises OutgoingError."""
    line, *lines = raw.split(b"\r\n")
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise OutgoingError("malformed HTTP response")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name[:1] in b" \t":
            raise OutgoingError("malformed MIME header line")
        fields[name.lower()] = value.strip()
    status = int(found[2])
    connection = fields.get(b"connection", b"").lower()
    keeps = b"close" not in connection and (found[1] == b"1" or b"keep-alive" in connection)
    if status < 200:
        return _Head(status, fields, keeps, None)
    declared = fields.get(b"content-length")
    if status in _BODILESS:
        return _Head(status, fields, keeps, 0)
    if b"transfer-encoding" in fields:
        if fields[b"transfer-encoding"].lower() != b"chunked" or declared is not None:
            raise OutgoingError("unsupported transfer encoding")
        return _Head(status, fields, keeps, None, chunked=True)
    if declared is None:
        return _Head(status, fields, False, None)
    if not declared.isdigit() or len(declared) > 12:
        raise OutgoingError("bad Content-Length")
    return _Head(status, fields, keeps, int(declared))
