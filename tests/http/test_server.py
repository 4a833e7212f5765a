"""The HTTP server on a real socket, against aiohttp's client and raw bytes."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from yarl import URL

from tenantry.apiserver.request import Handler, Request
from tenantry.apiserver.serving import http_server
from tenantry.apiserver.user import User
from tenantry.base.logs import AccessLog
from tenantry.http.certificates import CertificateAuthority, server_context
from tenantry.http.compression import accepts_gzip, compress
from tenantry.http.head import warning_values
from tenantry.http.limits import Limits
from tenantry.http.listening import ListenError
from tenantry.http.messages import Reply, Response, Sink, Stream, frame
from tenantry.http.request_reader import origin_form
from tenantry.http.server import HttpServer
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import eventually

Serve = Callable[..., Awaitable["Served"]]


class Served:
    def __init__(self, server: HttpServer[Request], port: int, client: aiohttp.ClientSession) -> None:
        self.server = server
        self.port = port
        self.client = client

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(f"http://127.0.0.1:{self.port}{path}", **more)


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
"""Every test here runs on both: the process runs on uvloop, and its transports differ in small ways (`conftest.py`)."""


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    running: list[Served] = []

    async def start(handler: Handler, **options: Any) -> Served:
        server = http_server(handler, **options)
        port = await server.start("127.0.0.1", 0)
        served = Served(server, port, aiohttp.ClientSession(auto_decompress=False))
        running.append(served)
        return served

    yield start
    for served in running:
        await served.client.close()
        await served.server.stop()


async def test_request_and_response(serve: Serve) -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> Reply:
        seen.append(request)
        body = await request.read_body(100)
        return Response(201, b"<" + body + b">", headers={"X-One": "1"}, warnings=['say "hi"', "again"])

    served = await serve(handler)
    url = f"http://127.0.0.1:{served.port}/a%2Fb/c?q=%20x&q=y"
    async with served.client.post(URL(url, encoded=True), data=b"body", headers={"X-Some": "v"}) as answer:
        assert (answer.status, await answer.read()) == (201, b"<body>")
        assert answer.headers["X-One"] == "1"
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-cache, private"
        assert answer.headers.getall("Warning") == ['299 - "say \\"hi\\""', '299 - "again"']
        request_id = answer.headers["Audit-Id"]
    request = seen[0]
    assert (request.method, request.path, request.query) == ("POST", "/a/b/c", {"q": [" x", "y"]})
    assert (request.header("x-some"), request.remote, request.request_id) == ("v", "127.0.0.1", request_id)

    async with served.get("/", headers={"Audit-ID": "mine"}) as answer:
        assert answer.headers["Audit-Id"] == "mine"


async def test_one_connection_serves_many_requests(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return Response(200, request.path.encode())

    served = await serve(handler)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = await reader.read()
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert data.endswith(b"Connection: close\r\n\r\n/2")
    writer.close()


async def test_head_has_no_body_and_304_neither(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return Response(304 if request.path == "/same" else 200, b"body")

    served = await serve(handler)
    async with served.client.head(f"http://127.0.0.1:{served.port}/") as answer:
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, "4", b"")
    async with served.get("/same") as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    async with served.get("/") as answer:
        assert await answer.read() == b"body"


async def test_values_of_users_never_become_headers(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return Response(200, b"", headers={"Location": "/x\r\nEvil: 1"}, warnings=["a\r\nEvil: 1"])

    served = await serve(handler)
    async with served.get("/") as answer:
        assert "Evil" not in answer.headers


@pytest.mark.parametrize("declared", [True, False])
async def test_too_big_a_body_is_413(serve: Serve, declared: bool) -> None:
    async def handler(request: Request) -> Reply:
        return Response(200, await request.read_body(1000))

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 300

    served = await serve(handler)
    url = f"http://127.0.0.1:{served.port}/"
    async with served.client.post(url, data=b"x" * 1500 if declared else chunks()) as answer:
        assert answer.status == 413
        status = json.loads(await answer.read())
        assert (status["reason"], status["message"]) == ("RequestEntityTooLarge", "Request entity too large: limit is 1000")
    async with served.client.post(url, data=b"x" * 1000) as answer:
        assert (answer.status, len(await answer.read())) == (200, 1000)


async def test_a_failing_handler_is_500_without_details(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        raise RuntimeError("secret")

    served = await serve(handler)
    async with served.get("/") as answer:
        status = json.loads(await answer.read())
        assert (answer.status, status["reason"]) == (500, "InternalError")
        assert answer.headers["Audit-Id"] in status["message"]
        assert "secret" not in json.dumps(status)


async def test_gzip_for_big_compressible_answers_only(serve: Serve) -> None:
    body = b'{"a":"b"}' * 100_000

    async def handler(request: Request) -> Reply:
        size = int(request.parameter("size"))
        return Response(200, body[:size], compressible=request.path == "/yes", headers={"Vary": "Accept"})

    served = await serve(handler, limits=Limits(compress_in_thread_from_bytes=500_000))
    accepting = {"Accept-Encoding": "gzip"}
    for size in (200_000, 900_000):
        async with served.get(f"/yes?size={size}", headers=accepting) as answer:
            assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept, Accept-Encoding")
            assert gzip.decompress(await answer.read()) == body[:size]
    for path, headers in (
        ("/no?size=200000", accepting),
        ("/yes?size=1000", accepting),
        ("/yes?size=200000", {"Accept-Encoding": "identity"}),
    ):
        async with served.get(path, headers=headers) as answer:
            assert "Content-Encoding" not in answer.headers
            assert (await answer.read()).startswith(b'{"a"')


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0", False),
        ("br", False),
        ("", False),
    ],
)
def test_accepts_gzip(header: str, expected: bool) -> None:
    assert accepts_gzip(header) is expected


@pytest.mark.parametrize("size", [10, 300_000, 900_000, 2_500_000])
async def test_pieces_are_compressed_to_one_body(size: int) -> None:
    pieces = [bytes([65 + n]) * size for n in range(3)]
    assert gzip.decompress(b"".join(await compress(pieces, 1_000_000))) == b"".join(pieces)


async def test_too_many_requests_are_429_with_a_pool_for_reads_and_one_for_writes(serve: Serve) -> None:
    gate = asyncio.Event()

    async def handler(request: Request) -> Reply:
        await gate.wait()
        return Response(200)

    served = await serve(handler, limits=Limits(reading_requests=1, writing_requests=1))
    url = f"http://127.0.0.1:{served.port}"
    first = asyncio.create_task(served.client.post(f"{url}/x"))
    await eventually(lambda: served.server.metrics.writing.requests == 1)
    async with served.client.post(f"{url}/x") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert json.loads(await answer.read())["reason"] == "TooManyRequests"
    second = asyncio.create_task(served.client.get(f"{url}/x"))
    await eventually(lambda: served.server.metrics.reading.requests == 1)
    async with served.get("/x") as answer:
        assert answer.status == 429
    probe = asyncio.create_task(served.client.get(f"{url}/livez"))
    await eventually(lambda: served.server.metrics.reading.requests == 2)
    gate.set()
    assert [(await task).status for task in (first, second, probe)] == [200, 200, 200]
    assert (served.server.metrics.reading.requests, served.server.metrics.writing.requests) == (0, 0)


async def test_a_request_that_takes_too_long_is_504(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        await asyncio.Event().wait()
        return Response(200)

    served = await serve(handler, limits=Limits(request_timeout_seconds=0))
    async with served.get("/") as answer:
        assert (answer.status, json.loads(await answer.read())["reason"]) == (504, "Timeout")


async def test_a_stream_is_chunked_and_ends_with_its_last_chunk(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        async def run(sink: Sink) -> None:
            sink.send(frame(b"one\n"))
            sink.send(frame(b"two\n"))

        return Stream(run, headers={"X-A": "b"}, warnings=["w"])

    served = await serve(handler)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b'Warning: 299 - "w"' in head
    assert await reader.readexactly(23) == b"4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n"
    writer.close()


async def test_a_stream_whose_client_goes_away_is_cancelled(serve: Serve) -> None:
    cancelled = asyncio.Event()
    sinks: list[Sink] = []

    async def handler(request: Request) -> Reply:
        async def run(sink: Sink) -> None:
            sinks.append(sink)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        return Stream(run)

    served = await serve(handler)
    async with served.get("/") as answer:
        assert answer.status == 200
        assert served.server.metrics.watches == 1
        answer.close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await cancelled.wait()
    assert sinks[0].closed.is_set()
    sinks[0].send(frame(b"late"))
    await eventually(lambda: served.server.metrics.watches == 0)


async def test_a_stream_that_fails_is_cut_without_its_last_chunk(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        async def run(sink: Sink) -> None:
            sink.send(frame(b"one\n"))
            raise RuntimeError("broken")

        return Stream(run)

    served = await serve(handler)
    async with served.get("/") as answer:
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


async def test_a_slow_client_shows_in_the_buffer_and_can_be_cut(serve: Serve) -> None:
    cut = asyncio.Event()

    async def handler(request: Request) -> Reply:
        async def run(sink: Sink) -> None:
            chunk = frame(b"x" * 65536)
            while sink.buffered_bytes < 1_000_000:
                sink.send(chunk)
            sink.abort()
            cut.set()

        return Stream(run)

    served = await serve(handler)
    _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await cut.wait()
    await eventually(lambda: served.server.metrics.watches == 0)
    writer.close()


async def test_too_many_watches_are_429(serve: Serve) -> None:
    dropped: list[Response | None] = []

    async def handler(request: Request) -> Reply:
        async def run(sink: Sink) -> None:
            await sink.closed.wait()

        return Stream(run, dropped=dropped.append)

    served = await serve(handler, limits=Limits(watches=1))
    first = await served.client.get(f"http://127.0.0.1:{served.port}/")
    async with served.get("/") as answer:
        assert answer.status == 429
    first.close()
    assert [answer.status for answer in dropped if answer is not None] == [429]


async def test_drain_ends_watches_and_finishes_requests(serve: Serve) -> None:
    gate = asyncio.Event()

    async def handler(request: Request) -> Reply:
        if request.path == "/slow":
            await gate.wait()
            return Response(200, b"done")

        async def run(sink: Sink) -> None:
            sink.send(frame(b"event\n"))
            if request.path == "/polite":
                await sink.closed.wait()
            else:
                await asyncio.Event().wait()

        return Stream(run)

    served = await serve(handler)
    url = f"http://127.0.0.1:{served.port}"
    polite = await served.client.get(f"{url}/polite")
    slow = asyncio.create_task(served.client.get(f"{url}/slow"))
    await eventually(lambda: served.server.metrics.reading.requests == 1)
    draining = asyncio.create_task(served.server.drain(5))
    assert await polite.read() == b"event\n"
    assert not draining.done()
    with pytest.raises(aiohttp.ClientConnectionError):
        async with aiohttp.ClientSession() as other:
            await other.get(f"{url}/new")
    gate.set()
    answer = await slow
    assert (await answer.read(), answer.headers["Connection"]) == (b"done", "close")
    await draining


async def test_drain_cuts_off_what_does_not_end_but_whole(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        async def run(sink: Sink) -> None:
            await asyncio.Event().wait()

        return Stream(run)

    served = await serve(handler)
    deaf = await served.client.get(f"http://127.0.0.1:{served.port}/deaf")
    await served.server.drain(0)
    assert await deaf.read() == b""


async def test_port_taken(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return Response(200)

    served = await serve(handler)
    with pytest.raises(ListenError, match="another process uses that port"):
        await http_server(handler).start("127.0.0.1", served.port)


async def test_access_log_has_no_secrets(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        request.verb = "list"
        return Response(200, b"body")

    stream = io.BytesIO()
    served = await serve(handler, access_log=AccessLog(stream))
    async with served.get("/a?token=t0ken", headers={"Authorization": "Bearer t0ken"}) as answer:
        request_id = answer.headers["Audit-Id"]
    await served.server.stop()
    line = stream.getvalue()
    entry = json.loads(line)
    assert (entry["requestID"], entry["verb"], entry["code"], entry["path"]) == (request_id, "list", 200, "/a")
    assert b"t0ken" not in line
    assert b"body" not in line


async def test_a_client_that_waits_is_told_to_go_on(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return Response(200, await request.read_body(100))

    served = await serve(handler)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: "
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(head + b"4\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"body")
    assert (await reader.read()).endswith(b"\r\n\r\nbody")
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(head + b"400\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_bytes_that_are_no_text_do_no_harm(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        request.user = User(request.header("x-user"))
        return Response(200, request.path.encode())

    stream = io.BytesIO()
    served = await serve(handler, access_log=AccessLog(stream))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /%ff HTTP/1.1\r\nHost: x\r\nX-User: \xfe\r\nAudit-Id: \xfd\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith("/\N{REPLACEMENT CHARACTER}".encode())
    await served.server.stop()
    assert json.loads(stream.getvalue())["user"] == "\N{REPLACEMENT CHARACTER}"
    writer.close()


async def test_tls_with_optional_client_certificate(serve: Serve, tmp_path: Path) -> None:
    async def handler(request: Request) -> Reply:
        return Response(200, b"with" if request.client_certificate else b"without")

    authority = CertificateAuthority.load_or_create(tmp_path)
    certificate, key = authority.serving(tmp_path, ["127.0.0.1", "localhost"])
    served = await serve(handler, tls=server_context(certificate, key, client_ca_pem=authority.certificate))
    plain = ssl.create_default_context(cadata=authority.certificate.decode())
    personal = ssl.create_default_context(cadata=authority.certificate.decode())
    authority.issue_client("alice", ["devs"]).write(tmp_path / "alice.crt", tmp_path / "alice.key")
    personal.load_cert_chain(tmp_path / "alice.crt", tmp_path / "alice.key")
    url = f"https://127.0.0.1:{served.port}/"
    async with served.client.get(url, ssl=plain) as answer:
        assert await answer.read() == b"without"
    async with served.client.get(url, ssl=personal) as answer:
        assert await answer.read() == b"with"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"FROB / HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer t0ken\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t0ken" + b"x" * 1000 + b"\r\n\r\n", b"431"),
    ],
)
async def test_malformed_requests_are_refused_without_repeating_them(
    serve: Serve, caplog: pytest.LogCaptureFixture, raw: bytes, code: bytes
) -> None:
    async def handler(request: Request) -> Reply:
        return Response(200)

    caplog.set_level("DEBUG")
    served = await serve(handler, limits=Limits(header_line_bytes=500))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(raw)
    answer = await reader.read()
    assert answer.split()[1] == code
    assert b"t0ken" not in answer
    assert "t0ken" not in caplog.text
    writer.close()


async def test_idle_connections_are_closed(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return Response(200)

    served = await serve(handler, limits=Limits(idle_timeout_seconds=0.05))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET / HTTP/1.1\r\nHost:")
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await reader.read() == b""
    writer.close()


def test_warnings_are_cut_when_there_are_too_many() -> None:
    values = warning_values([f"{n}" + "x" * 1000 for n in range(20)])

    assert len(values) == 16
    assert all(len(value) < 300 for value in values)


def test_warnings_leave_room_for_other_headers() -> None:
    assert len(warning_values([f"unknown field {n}" for n in range(100)])) == 64


@pytest.mark.parametrize(
    ("target", "form"),
    [
        ("http://server:6443/api/v1?limit=5", "/api/v1?limit=5"),
        ("https://server", "/"),
        ("https://server?watch=1", "/?watch=1"),
        ("http://server/a/b#part", "/a/b"),
        ("http://[", "/"),
        ("http://server//x?y=http://z/", "//x?y=http://z/"),
        ("*", "*"),
    ],
)
def test_the_absolute_form_of_a_target(target: str, form: str) -> None:
    assert origin_form(target) == form
