"""The front proxy between processes, on real sockets with TLS."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from tenantry.apiserver.forwarded import FORWARDED_HEADERS, NOT_OWNER
from tenantry.apiserver.request import Request
from tenantry.http.limits import Limits
from tenantry.http.messages import Reply, Response, Sink, Stream, frame
from tests.gateway.front_proxy import A, B, Door, running_door
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import eventually

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LOOP_FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with asyncio.timeout(3 * PATIENCE_SECONDS), running_door(grace_seconds=0.05) as running:
        yield running


class Caller:
    def __init__(self, door: Door, session: aiohttp.ClientSession, tls: ssl.SSLContext) -> None:
        self._door, self._session, self._tls = door, session, tls

    def __call__(self, method: str, path: str, **more: Any) -> Any:
        return self._session.request(method, f"{self._door.url}{path}", ssl=self._tls, **more)


@pytest.fixture
async def call(door: Door) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield Caller(door, session, door.caller())


async def echo(request: Request) -> Reply:
    body = await request.read_body(10 << 20)
    headers = sorted((name.lower(), value) for name, value in request.headers.items())
    return Response(
        200,
        json.dumps(
            {"method": request.method, "path": request.path, "query": request.raw_query, "headers": headers, "size": len(body)}
        ).encode(),
    )


def named(name: str) -> Any:
    async def handler(request: Request) -> Reply:
        return Response(200, f"{name} {request.path}".encode(), "text/plain")

    return handler


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def gone(reader: asyncio.StreamReader) -> None:
    """Returns when the other side closed."""
    try:
        while await reader.read(65536):
            pass
    except (ConnectionError, ssl.SSLError):
        pass


@pytest.mark.parametrize(
    ("path", "shard"),
    [
        (f"/clusters/{A}/api/v1/pods", "one"),
        (f"/clusters/{B}/api/v1/pods", "two"),
        ("/clusters/root:org/api", "one"),
        ("/clusters/root:org:team/api", "two"),
        ("/clusters/root:org:fresh/api", "one"),
        ("/clusters/root/api", "home"),
        ("/clusters/No:Path!/api", "home"),
        ("/clusters/zzz0000000000000/api", "home"),
        ("/ranges/range-b/services/apiexport/x/y", "two"),
        ("/ranges/none/services/apiexport/x/y", "home"),
        ("/version", "home"),
        (f"/clusters/{A}/a%20b/%C3%A9%2F", "one"),
    ],
)
async def test_routes_by_path_and_id(door: Door, call: Caller, path: str, shard: str) -> None:
    for name, range_name in (("one", "range-a"), ("two", "range-b"), ("home", "root")):
        await door.edge_shard(name, named(name), range_name)
    async with call("GET", path) as answer:
        text = await answer.text()
    assert text.split(" ", 1)[0] == shard
    if "%" in path:
        assert text == f"one /clusters/{A}/a b/é/"


async def test_headers_that_belong_to_a_connection_and_foreign_identities_stay_behind(door: Door, call: Caller) -> None:
    await door.edge_shard("one", echo, "range-a")
    sent = {
        "X-Remote-User": "admin",
        "x-remote-group": "system:masters",
        "X-Remote-Extra-Scopes": "all",
        "X_Remote_User": "admin",
        "X-Remote_Group": "system:masters",
        "Connection": "X-Dropped, keep-alive",
        "X-Dropped": "1",
        "Keep-Alive": "timeout=5",
        "TE": "trailers",
        "Proxy-Authorization": "Basic x",
        "X-Kept": "1",
        "Authorization": "Bearer token",
        "Audit-Id": "mine",
        "X-Forwarded-For": "10.0.0.1",
        "X-Tenantry-From-Peer": "true",
        "X-Tenantry-Beyond-Capacity": "true",
    }
    async with call("GET", f"/clusters/{A}/x?a=1&b=%20", headers=sent) as answer:
        got = await answer.json()
        assert answer.headers["Audit-Id"] == "mine"
    headers = dict(got["headers"])
    assert not [name for name in headers if "remote" in name or "tenantry" in name]
    assert not {"x-dropped", "keep-alive", "te", "proxy-authorization", "connection"} & headers.keys()
    assert (headers["x-kept"], headers["authorization"], headers["audit-id"]) == ("1", "Bearer token", "mine")
    assert headers["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
    assert got["query"] == "a=1&b=%20"


async def raw_answer(door: Door, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=door.caller(), server_hostname="127.0.0.1")
    try:
        writer.write(sent)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /clusters/%s/x HTTP/1.0\r\n\r\n" % A.encode(),
        b"GET /clusters/%s/x HTTP/1.1\r\nHost: a\r\nConnection: host, audit-id, content-length\r\n\r\n" % A.encode(),
    ],
)
async def test_what_a_client_says_of_its_connection_spoils_no_request(door: Door, sent: bytes) -> None:
    await door.edge_shard("one", echo, "range-a")
    assert (await raw_answer(door, sent)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"Transfer-Encoding: xchunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"X-Remote-User : admin\r\n", 400),
        (b"X-A: b\r\n X-Remote-User: admin\r\n", 400),
        (b"X-A: b\nX-Remote-User: admin\r\n", 400),
        (b"X-A: b\rX-Remote-User: admin\r\n", 400),
        (b"X-A: " + b"b" * 40_000 + b"\r\n", 431),
    ],
)
async def test_ambiguous_heads_go_nowhere(door: Door, head: bytes, code: int) -> None:
    async def never(request: Request) -> Reply:
        raise AssertionError("it was passed on")

    await door.edge_shard("one", never, "range-a")
    answer = await raw_answer(door, b"POST /clusters/%s/x HTTP/1.1\r\nHost: a\r\n%b\r\n" % (A.encode(), head))
    assert answer.split(b" ")[1] == b"%d" % code
    assert b"aiohttp" not in answer and b"Python" not in answer


async def test_somebody_of_many_groups_is_known_to_the_shard(door: Door) -> None:
    await door.edge_shard("one", echo, "range-a", limits=Limits(headers=FORWARDED_HEADERS))
    for groups, code in ((200, 200), (500, 431)):
        tls = door.caller("ada", [f"team-{n}" for n in range(groups)])
        async with aiohttp.ClientSession() as session, session.get(f"{door.url}/clusters/{A}/x", ssl=tls) as answer:
            assert answer.status == code
            got = await answer.json()
            if code == 200:
                assert len([value for name, value in got["headers"] if name == "x-remote-group"]) == groups
            else:
                assert "501 groups" in got["message"]


async def test_a_verified_certificate_becomes_identity_headers(door: Door) -> None:
    await door.edge_shard("one", echo, "range-a")
    async with aiohttp.ClientSession() as session:
        caller = Caller(door, session, door.caller("ada", ["team:a", "team:b"]))
        sent = {"X-Remote-User": "root", "X-Remote-Group": "root", "X-Remote-Extra-Authentication.kcp.io%2Fscopes": "all"}
        async with caller("GET", f"/clusters/{A}/x", headers=sent) as answer:
            headers = (await answer.json())["headers"]
    credential, *named = (pair for pair in headers if pair[0].startswith("x-remote"))
    assert credential[0] == "x-remote-extra-authentication.kubernetes.io%2fcredential-id"
    assert re.fullmatch("X509SHA256=[0-9a-f]{64}", credential[1])
    assert named == [
        ["x-remote-group", "team:a"],
        ["x-remote-group", "team:b"],
        ["x-remote-user", "ada"],
    ]


@pytest.mark.parametrize("name", ["a\r\nX-Remote-Group: system:masters", " admin", "admin\t", "a\x00b"])
async def test_a_name_that_would_be_another_in_a_header_is_refused(door: Door, name: str) -> None:
    await door.edge_shard("one", echo, "range-a")
    async with aiohttp.ClientSession() as session, Caller(door, session, door.caller(name))("GET", f"/clusters/{A}/x") as answer:
        assert answer.status == 401


async def test_what_a_shard_says_about_its_connection_stays_behind(door: Door, call: Caller) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(
            HEAD + b"Connection: X-Secret, close\r\nX-Secret: 1\r\nKeep-Alive: 1\r\nX-Open: 1\r\nContent-Length: 2\r\n\r\n{}"
        )
        await writer.drain()
        await gone(reader)

    await door.raw_shard("one", talk, "range-a")
    for _ in range(2):
        async with call("GET", f"/clusters/{A}/x") as answer:
            assert (answer.status, await answer.read()) == (200, b"{}")
            assert "X-Secret" not in answer.headers and "Keep-Alive" not in answer.headers and answer.headers["X-Open"] == "1"
    assert door.owners.upstreams[0].opened == 2


async def test_connections_are_used_again(door: Door, call: Caller) -> None:
    await door.edge_shard("one", echo, "range-a")
    for _ in range(20):
        async with call("PUT", f"/clusters/{A}/x", data=b"x" * 1000) as answer:
            assert (await answer.json())["size"] == 1000
    assert door.owners.upstreams[0].opened == 1


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 300_000, 2_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_of_any_size_pass_both_ways(door: Door, call: Caller, size: int, chunked: bool) -> None:
    async def mirror(request: Request) -> Reply:
        return Response(200, await request.read_body(10 << 20), "application/octet-stream")

    await door.edge_shard("one", mirror, "range-a")
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, size, 10_000):
            yield body[at : at + 10_000]

    for _ in range(2):
        async with call("POST", f"/clusters/{A}/x", data=pieces() if chunked else body) as answer:
            assert await answer.read() == body
    async with call("HEAD", f"/clusters/{A}/x") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    async with call("GET", f"/clusters/{A}/x") as answer:
        assert (answer.status, await answer.read()) == (200, b"")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_past_the_limit_is_refused_and_never_arrives_whole(chunked: bool) -> None:
    async with running_door(limits=Limits(body_bytes=300_000)) as door, aiohttp.ClientSession() as session:
        await door.edge_shard("one", echo, "range-a")
        body = b"x" * 400_000

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(body), 50_000):
                yield body[at : at + 50_000]

        async with Caller(door, session, door.caller())("POST", f"/clusters/{A}/x", data=pieces() if chunked else body) as answer:
            assert answer.status == 413


async def test_upgrades_are_answered_as_ordinary_requests(door: Door, call: Caller) -> None:
    await door.edge_shard("one", echo, "range-a")
    async with call("GET", f"/clusters/{A}/x", headers={"Connection": "Upgrade", "Upgrade": "websocket"}) as answer:
        assert answer.status == 200
        assert "upgrade" not in dict((await answer.json())["headers"])


class Watch:
    """A shard's watch that sends what the test puts."""

    def __init__(self) -> None:
        self.sinks: asyncio.Queue[Sink] = asyncio.Queue()
        self.ended = asyncio.Event()

    async def __call__(self, request: Request) -> Reply:
        async def run(sink: Sink) -> None:
            self.sinks.put_nowait(sink)
            try:
                await sink.closed.wait()
                sink.send(frame(b'{"type":"BOOKMARK"}\n'))
            finally:
                self.ended.set()

        return Stream(run)


async def test_watches_pass_through_event_by_event(door: Door, call: Caller) -> None:
    watch = Watch()
    shard = await door.edge_shard("one", watch, "range-a")
    async with call("GET", f"/clusters/{A}/x?watch=true") as answer:
        sink = await watch.sinks.get()
        for number in range(50):
            sink.send(frame(b"%d\n" % number))
            assert await answer.content.readline() == b"%d\n" % number
        assert door.edge.metrics.watches == 1
        # The shard lets go of its range: its bookmark arrives, and the stream ends as it should.
        draining = asyncio.create_task(shard.drain(5))
        assert await answer.content.read() == b'{"type":"BOOKMARK"}\n'
        await draining
    assert door.edge.metrics.watches == 0


async def test_a_client_that_goes_away_ends_the_watch_at_the_shard(door: Door, call: Caller) -> None:
    watch = Watch()
    await door.edge_shard("one", watch, "range-a")
    async with call("GET", f"/clusters/{A}/x?watch=true") as answer:
        await watch.sinks.get()
        answer.close()
    await asyncio.wait_for(watch.ended.wait(), PATIENCE_SECONDS)


async def test_a_client_that_goes_away_cancels_the_request_at_the_shard(door: Door, call: Caller) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Reply:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError("never")

    await door.edge_shard("one", slow, "range-a")
    asking = asyncio.create_task(call("GET", f"/clusters/{A}/x").__aenter__())
    await began.wait()
    asking.cancel()
    await asyncio.wait_for(ended.wait(), PATIENCE_SECONDS)


def kernel_buffers_bytes() -> int:
    """What the kernel lets one connection have under way at most."""
    paths = (Path("/proc/sys/net/ipv4/tcp_rmem"), Path("/proc/sys/net/ipv4/tcp_wmem"))
    return sum(int(path.read_text().split()[2]) for path in paths)


async def test_a_slow_client_holds_up_the_shard_and_nothing_piles_up(door: Door, call: Caller) -> None:
    """The other way round is the shard's: its own limits see a client that does not read."""
    written = 0
    blocked = asyncio.Event()
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_head(reader)
        writer.write(CHUNKED)
        while written < 3000:
            writer.write(piece)
            written += 1
            try:
                await asyncio.wait_for(writer.drain(), 0.5)
            except TimeoutError:
                blocked.set()
                await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        await gone(reader)

    await door.raw_shard("one", talk, "range-a")
    async with call("GET", f"/clusters/{A}/x?watch=1") as answer:
        await asyncio.wait_for(blocked.wait(), PATIENCE_SECONDS)
        # What is under way is in the kernel's buffers of two connections and in ours: far from the whole.
        assert written * 65536 < min(2 * kernel_buffers_bytes() + (16 << 20), 100 << 20)
        size = 0
        async for data in answer.content.iter_any():
            size += len(data)
    assert size == 3000 * 65536


async def test_drain_ends_watches_between_events_and_finishes_requests(door: Door, call: Caller) -> None:
    watch = Watch()
    release = asyncio.Event()

    async def handler(request: Request) -> Reply:
        if request.raw_query:
            return await watch(request)
        await release.wait()
        return Response(200, b"done", "text/plain")

    await door.edge_shard("one", handler, "range-a")
    async with call("GET", f"/clusters/{A}/x?watch=true") as answer:
        sink = await watch.sinks.get()
        sink.send(frame(b"event\n"))
        assert await answer.content.readline() == b"event\n"
        asking = asyncio.create_task(call("GET", f"/clusters/{A}/x").__aenter__())
        await eventually(lambda: door.edge.metrics.reading.requests >= 1)
        draining = asyncio.create_task(door.edge.drain(5))
        assert await answer.content.read() == b""
    release.set()
    assert (await asking).status == 200
    await draining
    await asyncio.wait_for(watch.ended.wait(), PATIENCE_SECONDS)


async def test_a_shard_that_dies_within_a_body_cuts_the_answer(door: Door, call: Caller) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 500_000)
        await writer.drain()

    await door.raw_shard("one", talk, "range-a")
    async with call("GET", f"/clusters/{A}/x") as answer:
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


@pytest.mark.parametrize(
    ("last", "clean"), [(b"3\r\nab\n\r\n", True), (b"3\r\nab\n\r\n5\r\nxy", False), (b"3\r\nab\n\r\n5", True)]
)
async def test_a_shard_that_dies_within_a_watch_ends_it_cleanly_only_between_events(
    door: Door, call: Caller, last: bytes, clean: bool
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(CHUNKED + last)
        await writer.drain()

    await door.raw_shard("one", talk, "range-a")
    async with call("GET", f"/clusters/{A}/x?watch=true") as answer:
        if clean:
            assert await answer.content.read() == b"ab\n"
        else:
            with pytest.raises(aiohttp.ClientError):
                await answer.read()


async def test_a_read_that_was_not_answered_is_asked_again(door: Door, call: Caller) -> None:
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await read_head(reader)
        asked += 1
        if asked == 1:
            return
        writer.write(HEAD + b"Content-Length: 2\r\n\r\n{}")
        await gone(reader)

    await door.raw_shard("one", talk, "range-a")
    async with call("GET", f"/clusters/{A}/x") as answer:
        assert (answer.status, asked) == (200, 2)


async def test_a_write_that_was_not_answered_is_never_sent_twice(door: Door, call: Caller) -> None:
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await read_head(reader)
        asked += 1

    await door.raw_shard("one", talk, "range-a")
    async with call("POST", f"/clusters/{A}/x", data=b"{}") as answer:
        status = await answer.json()
        assert (answer.status, status["kind"], status["code"]) == (502, "Status", 502)
        assert "Retry-After" not in answer.headers
        assert "may or may not" in status["message"]
    assert asked == 1


async def test_a_write_that_never_went_out_goes_to_the_next_owner(door: Door, call: Caller) -> None:
    door.own("dead", 9, "range-a")
    asking = asyncio.create_task(call("POST", f"/clusters/{A}/x", data=b"{}").__aenter__())
    await eventually(lambda: door.forwarding.retries >= 1)
    await door.edge_shard("one", echo, "range-a")
    answer = await asking
    assert (answer.status, (await answer.json())["size"]) == (200, 2)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_shard_that_does_not_own_the_range_sends_the_request_on(door: Door, call: Caller, method: str) -> None:
    async def refuse(request: Request) -> Reply:
        return Response(503, b"{}", headers={NOT_OWNER: "range-a", "Retry-After": "1"})

    await door.edge_shard("one", refuse, "range-a")
    asking = asyncio.create_task(call(method, f"/clusters/{A}/x", data=b"body" if method == "POST" else None).__aenter__())
    await eventually(lambda: door.forwarding.retries >= 2)
    await door.edge_shard("two", echo, "range-a")
    answer = await asking
    assert (answer.status, (await answer.json())["size"]) == (200, 4 if method == "POST" else 0)


async def test_an_ordinary_503_is_passed_on_with_its_retry_after(door: Door, call: Caller) -> None:
    async def busy(request: Request) -> Reply:
        return Response(503, b"{}", headers={"Retry-After": "7"})

    await door.edge_shard("one", busy, "range-a")
    async with call("GET", f"/clusters/{A}/x") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
    assert door.forwarding.retries == 0


async def test_without_an_owner_a_request_waits_and_is_then_refused() -> None:
    async with (
        running_door(patience_seconds=0.1) as door,
        aiohttp.ClientSession() as session,
        Caller(door, session, door.caller())("GET", f"/clusters/{A}/x") as answer,
    ):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert (await answer.json())["reason"] == "ServiceUnavailable"


async def test_a_stopped_owner_that_lost_its_range_is_left_behind(door: Door, call: Caller) -> None:
    """The process is alive to TCP and answers nothing: reads go to the new owner, writes are of unknown fate, watches end."""
    asked: asyncio.Queue[bytes] = asyncio.Queue()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if b"watch" in head:
            writer.write(CHUNKED + b"2\r\na\n\r\n")
        asked.put_nowait(head)
        await gone(reader)

    await door.raw_shard("one", talk, "range-a")
    watching = await call("GET", f"/clusters/{A}/x?watch=true").__aenter__()
    reading = asyncio.create_task(call("GET", f"/clusters/{A}/x").__aenter__())
    writing = asyncio.create_task(call("PUT", f"/clusters/{A}/x", data=b"{}").__aenter__())
    for _ in range(3):
        await asked.get()
    door.map.remove_shard("one-uid")
    await door.edge_shard("two", echo, "range-a")
    assert (await reading).status == 200
    assert (await writing).status == 502
    assert await watching.content.read() == b"a\n"
    assert door.owners.cut == 3


async def test_a_move_leaves_the_other_ranges_of_a_shard_alone(door: Door, call: Caller) -> None:
    watch = Watch()
    await door.edge_shard("one", watch, "range-a", "range-b")
    async with call("GET", f"/clusters/{A}/x?watch=true") as moved, call("GET", f"/clusters/{B}/x?watch=true") as kept:
        await watch.sinks.get()
        sink = await watch.sinks.get()
        await door.edge_shard("two", echo, "range-a")
        assert await moved.content.read() == b""
        sink.send(frame(b"event\n"))
        assert await kept.content.readline() == b"event\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b" folded: 1\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"\r\n{}",
        HEAD + b"Content-Length: -1\r\n\r\n",
    ],
)
async def test_malformed_answers_are_not_passed_on(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer)
        await gone(reader)

    async with running_door(patience_seconds=0.1) as door, aiohttp.ClientSession() as session:
        await door.raw_shard("one", talk, "range-a")
        async with Caller(door, session, door.caller())("POST", f"/clusters/{A}/x") as got:
            assert got.status == 502


async def test_health_is_the_gateways_own(door: Door, call: Caller) -> None:
    door.health.add("map", lambda: "no map")
    async with call("GET", "/livez") as live, call("GET", "/readyz") as ready:
        assert (live.status, ready.status) == (200, 500)
