"""Answers of another server, passed on as they come: how one ends that has to end before the other server ended it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server
from tenantry.http import upstream_connection
from tenantry.http.messages import Reply, Response, Sink, Stream, frame
from tenantry.http.upstream import Upstream, UpstreamLimits
from tenantry.http.upstream_connection import UpstreamConnection, UpstreamError
from tests.support.waiting import quiet

EVENT = frame(b'{"type":"BOOKMARK"}\n')
NEVER_SECONDS = 3600.0
SHORT_SECONDS = 0.05


class Refused(Exception):
    """The client takes no more."""


class Client:
    """A RelaySink."""

    def __init__(self) -> None:
        self.ending = False
        self.read = asyncio.Event()
        """Clear while much is left to read."""
        self.read.set()
        self.data = b""
        self.refuses = False
        self.wrote = asyncio.Event()
        self._callback: Callable[[], None] = lambda: None

    @property
    def lags(self) -> bool:
        return not self.read.is_set()

    def write(self, data: bytes) -> None:
        if self.refuses:
            raise Refused
        self.data += data
        self.wrote.set()

    async def drain(self) -> None:
        await self.read.wait()

    def on_ending(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def end(self) -> None:
        self.ending = True
        self._callback()


@dataclass
class Watch:
    """A watch at the other server, and how it is passed on here."""

    upstream: UpstreamConnection
    theirs: Sink
    client: Client
    begun: float
    passing: asyncio.Task[bool] = field(init=False)

    def __post_init__(self) -> None:
        self.passing = asyncio.create_task(self.upstream.pump(self.client))

    async def goes_on(self) -> None:
        """Raises AssertionError where it has ended after all that is ready to happen has happened."""
        await quiet()
        assert not self.passing.done()


@asynccontextmanager
async def watching() -> AsyncIterator[Watch]:
    opened: asyncio.Queue[Sink] = asyncio.Queue()

    async def run(sink: Sink) -> None:
        opened.put_nowait(sink)
        await sink.closed.wait()

    async def handler(_: Request) -> Reply:
        return Stream(run)

    server = http_server(handler)
    upstream = Upstream(f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}", None)
    try:
        begun = asyncio.get_running_loop().time()
        answer = await upstream.exchange(b"GET /?watch=true HTTP/1.1\r\nHost: other\r\n\r\n")
        assert answer.chunked and answer.rest is not None
        watch = Watch(answer.rest, await opened.get(), Client(), begun)
        await watch.goes_on()
        try:
            yield watch
        finally:
            watch.passing.cancel()
            await asyncio.wait([watch.passing])
    finally:
        upstream.abort("the test is over")
        await server.stop()


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_connection, "_SHORTEST_SECONDS", NEVER_SECONDS)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_connection, "_SHORTEST_SECONDS", SHORT_SECONDS)


@pytest.mark.usefixtures("never")
async def test_a_drain_ends_a_watch_with_its_first_event() -> None:
    async with watching() as watch:
        watch.client.end()
        await watch.goes_on()
        watch.theirs.send(EVENT)
        assert await watch.passing is False
        assert watch.client.data == EVENT


@pytest.mark.usefixtures("never")
async def test_a_drain_ends_a_watch_at_once_that_has_had_an_event() -> None:
    async with watching() as watch:
        watch.theirs.send(EVENT)
        await watch.client.wrote.wait()
        watch.client.end()
        assert await watch.passing is False


@pytest.mark.usefixtures("soon")
async def test_a_drain_lets_a_watch_without_events_become_old_enough_for_clients() -> None:
    async with watching() as watch:
        watch.client.end()
        assert await watch.passing is False
        assert asyncio.get_running_loop().time() >= watch.begun + SHORT_SECONDS
        assert not watch.client.data


@pytest.mark.usefixtures("soon")
async def test_so_does_the_loss_of_the_other_server() -> None:
    async with watching() as watch:
        watch.upstream.abort("the other server died")
        assert await watch.passing is False
        assert asyncio.get_running_loop().time() >= watch.begun + SHORT_SECONDS


async def test_a_burst_makes_a_few_connections_at_a_time() -> None:
    """To a server that accepts, and says nothing: each attempt is a handshake that does not end."""
    open_now = most = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await reader.read()
        open_now -= 1
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = UpstreamLimits(connecting=4, connect_timeout_seconds=0.3)
    pool = Upstream(f"https://127.0.0.1:{port}", ssl.create_default_context(), limits)
    outcomes = await asyncio.gather(*(pool.connection() for _ in range(30)), return_exceptions=True)
    assert [(type(outcome), outcome.sent) for outcome in outcomes if isinstance(outcome, UpstreamError)] == [
        (UpstreamError, False)
    ] * 30
    assert 1 <= most <= 8, "those that ran out of time may not be seen to be gone yet"
    server.close()


async def test_who_waits_to_connect_takes_what_comes_back() -> None:
    async def answer(request: Request) -> Reply:
        return Response(200, b"ok")

    server = http_server(answer)
    port = await server.start("127.0.0.1", 0)
    pool = Upstream(f"http://127.0.0.1:{port}", None, UpstreamLimits(connecting=1))
    request = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = await asyncio.gather(*(pool.exchange(request) for _ in range(50)))
    assert [found.status for found in answers] == [200] * 50
    assert pool.opened <= 50
    pool.close()
    await server.stop()


async def test_an_event_that_comes_alone_wakes_no_task() -> None:
    async with watching() as watch:
        waiter = watch.upstream._waiter
        for number in range(1, 4):
            watch.client.wrote.clear()
            watch.theirs.send(EVENT)
            await watch.client.wrote.wait()
            await watch.goes_on()
            assert watch.client.data == number * EVENT
            assert waiter is not None and watch.upstream._waiter is waiter


async def test_what_a_client_does_not_read_waits_for_it() -> None:
    async with watching() as watch:
        watch.client.read.clear()
        watch.theirs.send(EVENT)
        await watch.client.wrote.wait()
        await watch.goes_on()
        watch.theirs.send(EVENT)
        await watch.goes_on()
        assert watch.client.data == EVENT
        watch.client.wrote.clear()
        watch.client.read.set()
        await watch.client.wrote.wait()
        assert watch.client.data == 2 * EVENT
        watch.theirs.closed.set()
        assert await watch.passing and watch.client.data == 2 * EVENT + b"0\r\n\r\n"


async def test_an_event_that_cannot_be_passed_on_ends_the_answer() -> None:
    async with watching() as watch:
        watch.client.refuses = True
        watch.theirs.send(EVENT)
        with pytest.raises(Refused):
            await watch.passing
        assert not watch.upstream.usable


@pytest.mark.parametrize("cancelled", [False, True])
async def test_bytes_that_are_no_chunk_end_the_answer(cancelled: bool) -> None:
    async with watching() as watch:
        watch.upstream.data_received(b"no size\r\n")
        if cancelled:
            watch.passing.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else UpstreamError):
            await watch.passing
        assert not watch.upstream.usable and watch.client.data == b""
