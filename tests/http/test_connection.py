"""A connection of the HTTP server, fed with raw bytes: order, flow control, other protocols, its end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
import uvloop

from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server
from tenantry.http import server
from tenantry.http.connection import ServerConnection
from tenantry.http.limits import Limits
from tenantry.http.messages import Reply, Response, Sink, Stream
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import eventually

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

Serve = Callable[..., Awaitable["Served"]]


class Served:
    """Answers with the path, the length of the body and its end. `/held` waits for `gate`, `/late` reads its body after it."""

    def __init__(self, limits: Limits) -> None:
        self.server = http_server(self._answer, limits=limits)
        self.port = 0
        self.gate = asyncio.Event()
        self.paths: list[str] = []
        self.cancelled = 0

    async def _answer(self, request: Request) -> Reply:
        self.paths.append(request.path)
        if request.path in ("/held", "/late"):
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if request.path == "/watch":

            async def run(sink: Sink) -> None:
                await sink.closed.wait()

            return Stream(run)
        body = await request.read_body(1 << 30) if request.method == "POST" else b""
        return Response(200, f"{request.path} {len(body)} {body[-8:].decode()}".encode(), "text/plain")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    @property
    def connection(self) -> ServerConnection:
        """The only one."""
        (found,) = self.server._pool.all
        assert isinstance(found, ServerConnection)
        return found


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    running: list[Served] = []

    async def start(**limits: float) -> Served:
        served = Served(Limits(**limits))  # type: ignore[arg-type]
        running.append(served)
        served.port = await served.server.start("127.0.0.1", 0)
        return served

    yield start
    for served in running:
        await served.server.stop()


async def answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return await reader.readexactly(length)


def get(path: str, *more: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *more, "", ""]).encode()


def post(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def test_requests_that_came_together_are_answered_in_their_order(serve: Serve) -> None:
    served = await serve()
    reader, writer = await served.connect()
    writer.write(b"".join(post(f"/{n}", b"x" * n) if n % 3 == 0 else get(f"/{n}") for n in range(200)))
    for n in range(200):
        found = await answer(reader)
        assert found.split()[:2] == [f"/{n}".encode(), str(n if n % 3 == 0 else 0).encode()]
    writer.close()


async def test_nothing_is_read_ahead_without_end(serve: Serve) -> None:
    served = await serve()
    reader, writer = await served.connect()
    writer.write(get("/held") + b"".join(get(f"/{n}", "X-Long: " + "x" * 20_000) for n in range(2_000)))
    await eventually(lambda: served.paths == ["/held"])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await writer.drain()
    assert len(served.connection._messages) <= 33
    served.gate.set()
    for path in ("/held", *(f"/{n}" for n in range(2_000))):
        assert (await answer(reader)).split()[0] == path.encode()
    writer.close()


@pytest.mark.parametrize("chunk", [0, 7, 100_000])
async def test_a_body_that_nobody_reads_yet_waits_with_its_client(serve: Serve, chunk: int) -> None:
    served = await serve(body_bytes=1 << 30, request_memory_bytes=1 << 30)
    reader, writer = await served.connect()
    size = 20_000 if chunk == 7 else 20_000_000
    body = b"x" * (size - 8) + b"the end."
    if chunk:
        writer.write(b"POST /late HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        pieces = [body[at : at + chunk] for at in range(0, size, chunk)]
        writer.write(b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n" + get("/next"))
    else:
        writer.write(post("/late", body) + get("/next"))
    await eventually(lambda: served.paths == ["/late"])
    if size > 1 << 20:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await writer.drain()
    served.gate.set()
    assert await answer(reader) == b"/late %d the end." % size
    assert (await answer(reader)).split()[0] == b"/next"
    writer.close()


async def test_another_protocol_that_is_asked_for_is_not_spoken(serve: Serve) -> None:
    served = await serve()
    reader, writer = await served.connect()
    for upgrade in ("websocket", "h2c", "tcp"):
        # aiohttp's parser drops what comes in one piece with a protocol that it does not know; no client sends that.
        behind = get("/behind") if upgrade == "websocket" else b""
        served.paths.clear()
        writer.write(get("/held", "Connection: Upgrade", f"Upgrade: {upgrade}", "Sec-WebSocket-Version: 13") + behind)
        await eventually(lambda: served.paths == ["/held"])
        writer.write(get("/later"))
        served.gate.set()
        assert (await answer(reader)).split()[0] == b"/held"
        if behind:
            assert (await answer(reader)).split()[0] == b"/behind"
        assert (await answer(reader)).split()[0] == b"/later"
        served.gate.clear()
    writer.close()


async def test_what_comes_behind_another_protocol_is_not_read_without_end(serve: Serve) -> None:
    served = await serve()
    reader, writer = await served.connect()
    writer.write(get("/held", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"))
    await eventually(lambda: served.paths == ["/held"])
    writer.write(b"x" * 2_000_000)
    with suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await reader.read() == b""
    writer.close()
    await eventually(lambda: not served.server._pool.all)
    assert served.cancelled == 1


async def test_what_is_no_http_is_refused_behind_what_is(serve: Serve) -> None:
    served = await serve()
    reader, writer = await served.connect()
    writer.write(get("/held"))
    await eventually(lambda: served.paths == ["/held"])
    writer.write(b"NO HTTP\r\n\r\n" + get("/never"))
    await eventually(lambda: bool(served.connection._messages))
    served.gate.set()
    assert (await answer(reader)).split()[0] == b"/held"
    async with asyncio.timeout(PATIENCE_SECONDS):
        rest = await reader.read()
    assert rest.startswith(b"HTTP/1.1 400 Bad Request\r\n") and rest.endswith(b"\r\n\r\n400 Bad Request\n")
    assert served.paths == ["/held"]
    writer.close()


async def test_an_idle_connection_has_no_task_and_ends_in_time(serve: Serve) -> None:
    served = await serve(idle_timeout_seconds=0.2)
    reader, writer = await served.connect()
    writer.write(get("/held"))
    await eventually(lambda: served.paths == ["/held"])
    connection = served.connection
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await reader.read(1)
    served.gate.set()
    assert (await answer(reader)).split()[0] == b"/held"
    assert connection.task is None
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await reader.read() == b""
    assert asyncio.get_running_loop().time() - began > 0.1, "idle since its answer, not since it was made"
    writer.close()
    await eventually(lambda: not served.server._pool.all)


async def test_a_client_that_goes_away_takes_its_requests_with_it(serve: Serve) -> None:
    served = await serve()
    _, writer = await served.connect()
    writer.write(get("/held") + get("/behind"))
    await eventually(lambda: served.paths == ["/held"])
    writer.transport.abort()
    await eventually(lambda: served.cancelled == 1)
    await eventually(lambda: not served.server._pool.all)
    assert served.paths == ["/held"]


async def test_the_end_of_the_server_is_that_of_its_connections(serve: Serve) -> None:
    served = await serve(drain_seconds=0.05)
    idle, _ = await served.connect()
    busy, writer = await served.connect()
    writer.write(get("/held"))
    await eventually(lambda: served.paths == ["/held"])
    await served.server.stop()
    assert served.cancelled == 1
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await idle.read() == b""
        assert await busy.read() == b""
    assert not served.server._pool.all


@pytest.mark.parametrize("end", ["idle", "amid a request", "amid a body", "no http", "too late", "refused body", "amid a watch"])
async def test_what_ended_is_freed_at_once(serve: Serve, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS keeps some 200 KB for each connection, and those that come and go must not wait for the collector with it."""
    monkeypatch.setattr(server, "_TICK_SECONDS", 0.01)
    served = await serve(request_timeout_seconds=0.1 if end == "too late" else 60.0, body_bytes=1000)
    reader, writer = await served.connect()
    writer.write(get("/first"))
    await answer(reader)
    reference = weakref.ref(served.connection)
    gc.collect()
    gc.disable()
    try:
        match end:
            case "amid a request" | "too late":
                writer.write(get("/held"))
                await eventually(lambda: "/held" in served.paths)
                if end == "too late":
                    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 504")
            case "amid a body":
                writer.write(post("/held", b"x" * 100)[:-50])
                served.gate.set()
                await eventually(lambda: "/held" in served.paths)
            case "no http":
                writer.write(b"NO HTTP\r\n\r\n")
                await reader.read()
            case "refused body":
                writer.write(post("/", b"x" * 2000))
                assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 413")
            case "amid a watch":
                writer.write(get("/watch"))
                await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        await eventually(lambda: reference() is None)
    finally:
        gc.enable()
