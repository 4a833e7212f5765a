"""A watch that its client left ends at the other server, and its connection serves the next request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server
from tenantry.http import upstream_connection
from tenantry.http.chunks import ChunkScanner
from tenantry.http.messages import Reply, Response, Sink, Stream, frame
from tenantry.http.upstream import Upstream
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import eventually

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

WATCH = b"GET /watch HTTP/1.1\r\nHost: x\r\n\r\n"
GET = b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n"


class Client:
    """A RelaySink that reads `most` bytes, and then no more."""

    def __init__(self, most: int) -> None:
        self.ending = False
        self.most = most
        self.size = 0
        self.full = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size >= self.most:
            self.full.set()

    @property
    def lags(self) -> bool:
        return self.full.is_set()

    async def drain(self) -> None:
        if self.full.is_set():
            await asyncio.Event().wait()

    def on_ending(self, callback: Callable[[], None]) -> None:
        pass


class Other:
    """The other server: a watch sends events of `size` bytes for as long as its connection takes them."""

    def __init__(self) -> None:
        self.size = 100
        self.watches = 0
        self.server = http_server(self._answer)
        self.pool = Upstream("http://127.0.0.1:1", None)

    async def start(self) -> None:
        self.pool = Upstream(f"http://127.0.0.1:{await self.server.start('127.0.0.1', 0)}", None)

    async def _answer(self, request: Request) -> Reply:
        return Stream(self._run) if request.path == "/watch" else Response(200, b"one")

    async def _run(self, sink: Sink) -> None:
        self.watches += 1
        try:
            while not sink.closed.is_set():
                if sink.buffered_bytes < 1 << 20:
                    sink.send(frame(b"x" * self.size))
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await sink.closed.wait()
        finally:
            self.watches -= 1

    async def left(self, read: int) -> None:
        """A watch whose client reads so many bytes, and goes away."""
        answer = await self.pool.exchange(WATCH)
        assert answer.rest is not None
        client = Client(read)
        passing = asyncio.create_task(answer.rest.pump(client))
        await client.full.wait()
        passing.cancel()
        await asyncio.wait([passing])


@pytest.fixture
async def other() -> AsyncIterator[Other]:
    found = Other()
    await found.start()
    yield found
    found.pool.abort("the test is over")
    await found.server.stop()


@pytest.mark.parametrize("size", [10, 700_000])
async def test_the_connection_is_kept(other: Other, size: int) -> None:
    other.size = size
    for read in (1, 5, 2_000_000 if size > 10 else 200):
        await other.left(read)
        await eventually(lambda: other.pool.idle == 1)
        assert other.watches == 0
        answer = await other.pool.exchange(GET)
        assert (answer.status, answer.body) == (200, b"one")
    assert other.pool.opened == 1


async def test_another_request_does_not_wait_for_it(other: Other) -> None:
    await other.left(1)
    assert (await other.pool.exchange(GET)).body == b"one"
    await eventually(lambda: other.watches == 0 and other.pool.idle == other.pool.connections)


@pytest.mark.parametrize(
    "behind", [b"", b"no chunk\r\n", b"0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"0\r\n\r\nHTTP/1.1"]
)
async def test_one_that_does_not_answer_as_it_should_is_cut(behind: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_connection, "_LEAVING_SECONDS", 0.05)
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + frame(b"first"))
        assert await reader.readuntil(b"\r\n\r\n") == b"OPTIONS * HTTP/1.1\r\nHost: any\r\n\r\n"
        writer.write(behind)
        with suppress(ConnectionError):
            await reader.read()
        ended.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    pool = Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
    answer = await pool.exchange(WATCH)
    assert answer.rest is not None
    client = Client(1)
    passing = asyncio.create_task(answer.rest.pump(client))
    await client.full.wait()
    passing.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ended.wait()
    await eventually(lambda: pool.connections == 0)
    assert pool.idle == 0
    server.close()


async def test_what_asks_for_nothing_is_answered_with_nothing(other: Other) -> None:
    answer = await other.pool.exchange(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (answer.status, answer.body, answer.fields[b"content-length"]) == (200, b"", b"0")


@given(
    body=st.lists(st.binary(min_size=1, max_size=30), max_size=6),
    behind=st.binary(max_size=20),
    cuts=st.lists(st.integers(0, 200)),
)
def test_what_is_behind_the_last_chunk_is_kept(body: list[bytes], behind: bytes, cuts: list[int]) -> None:
    whole = b"".join(map(frame, body)) + b"0\r\n\r\n"
    text = whole + behind
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    scanner, passed, rest = ChunkScanner(), b"", b""
    for start, end in pairwise(places):
        if scanner.done:
            rest += text[start:end]
            continue
        passed += scanner.feed(text[start:end])
        if scanner.done:
            rest = scanner.behind
    assert scanner.done
    assert (passed, rest) == (whole, behind)
