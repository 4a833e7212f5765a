"""What one caller may have of a server, on a real socket: connections, heads, bodies, seats, turns of the loop, watches."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import uvloop

from tenantry.apiserver.callers import ApiCallers
from tenantry.apiserver.request import Handler, Request
from tenantry.apiserver.serving import http_server
from tenantry.apiserver.user import ANONYMOUS, MASTERS_GROUP, User
from tenantry.base.cache import size_of
from tenantry.http import gate, server
from tenantry.http.limits import Limits
from tenantry.http.messages import Reply, Response, Sink, Stream
from tenantry.http.server import HttpServer
from tenantry.kube.status import unauthorized
from tests.support.waiting import eventually, one_turn

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
DEADLINE_SECONDS = 10.0

Serve = Callable[..., Awaitable["Served"]]


class Client:
    """One connection, on which the test says what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, path: str, *, token: str = "", method: str = "GET", body: bytes = b"", length: int | None = None) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: x"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        if body or length is not None:
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        self.writer.write("\r\n".join((*lines, "\r\n")).encode() + body)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(head[0].split()[1]), headers, body

    async def asked(self, path: str, **more: Any) -> int:
        self.send(path, **more)
        return (await self.answer())[0]

    async def ended(self) -> bytes:
        """What came until the server closed the connection."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            with suppress(ConnectionError):
                return await self.reader.read()
        return b""

    def close(self) -> None:
        self.writer.close()


class Served:
    def __init__(self, server: HttpServer[Request], port: int, callers: ApiCallers) -> None:
        self.server, self.port, self.callers = server, port, callers
        self.clients: list[Client] = []

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    def metric(self, name: str, label: str) -> float:
        for line in self.server.metrics.text().decode().splitlines():
            if line.startswith(f"{name}{{") and f'"{label}"' in line:
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"no {name} of {label}")

    @property
    def paced_seconds(self) -> float:
        text = self.server.metrics.text().decode()
        return float(text.partition("\ntenantry_paced_bodies_seconds_total ")[2].partition("\n")[0])

    def used(self, limit: str) -> float:
        return self.metric("tenantry_limit_used", limit)


class Door:
    """Answers by path; tokens are users' names, `wrong` is refused. Requests for `/held` wait for `gate`."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.waiting = 0
        self.parked: asyncio.Future[None] | None = None
        """What a request for `/parked` waits for, without a seat."""
        self.spin_seconds = 0.0

    async def __call__(self, request: Request) -> Reply:
        token = request.header("authorization").removeprefix("Bearer ")
        if token == "wrong":
            raise unauthorized()
        request.user = User(token or ANONYMOUS, (MASTERS_GROUP,) if token == "master" else ())
        what = request.path.rpartition("/")[2]
        if what == "held":
            self.waiting += 1
            await self.gate.wait()
            self.waiting -= 1
        if what == "away":
            assert request.place is not None
            await request.place.away(self.gate.wait())
        if what == "parked":
            self.parked = asyncio.get_running_loop().create_future()
            assert request.place is not None
            await request.place.wait(self.parked)
        if what == "spin":
            until = time.perf_counter() + self.spin_seconds
            while time.perf_counter() < until:
                pass
        if what == "watch":

            async def run(sink: Sink) -> None:
                await sink.closed.wait()

            return Stream(run)
        if request.method == "POST":
            return Response(201, await request.read_body(1 << 20))
        return Response(200, b"ok")


def tenant_of(path: str) -> str:
    return path.split("/")[1]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    running: list[Served] = []

    async def start(handler: Handler, **limits: Any) -> Served:
        callers = ApiCallers(tenant_of)
        server = http_server(handler, limits=Limits(**limits), callers=callers)
        served = Served(server, await server.start("127.0.0.1", 0), callers)
        running.append(served)
        return served

    yield start
    for served in running:
        for client in served.clients:
            client.close()
        await served.server.stop()


async def known(served: Served, tenant: str, token: str) -> Client:
    client = await served.connect()
    assert await client.asked(f"/{tenant}/x", token=token) == 200
    return client


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_half_sent_bodies_hold_no_seat(serve: Serve, method: str) -> None:
    served = await serve(Door(), reading_requests=2, writing_requests=2, queue_seconds=0)
    for _ in range(20):
        (await served.connect()).send("/a/x", method=method, body=b"abc", length=10)
    if method == "POST":
        await eventually(lambda: served.used("receiving_bodies") == 20, DEADLINE_SECONDS)
    assert (served.used("reading_requests"), served.used("writing_requests")) == (0, 0)
    reader = await known(served, "a", "ada")
    assert await reader.asked("/a/x", token="ada", method="POST", body=b"whole") == 201
    assert await (await served.connect()).asked("/a/x", method="POST", body=b"whole") == 201


async def test_a_body_in_pieces_arrives_whole_and_is_forgotten(serve: Serve) -> None:
    served = await serve(Door())
    client = await served.connect()
    client.send("/a/x", token="ada", method="POST", body=b"abc", length=9)
    await eventually(lambda: served.used("request_memory_bytes") == 3, DEADLINE_SECONDS)
    client.writer.write(b"defghi")
    status, _, body = await client.answer()
    assert (status, body) == (201, b"abcdefghi")
    await eventually(lambda: served.used("request_memory_bytes") == served.used("receiving_bodies") == 0, DEADLINE_SECONDS)


async def test_a_large_body_waits_for_others_and_is_not_late_for_that(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_TICK_SECONDS", 0.02)
    piece = b"x" * 100_000
    limits = {"large_body_bytes_per_second": 100_000, "body_timeout_seconds": 0.5, "body_bytes_per_second": 1 << 30}
    served = await serve(Door(), **limits)
    ada, bob = await known(served, "a", "ada"), await known(served, "b", "bob")
    ada.send("/a/x", token="ada", method="POST", body=piece, length=3 * len(piece))
    for number in (1, 2):
        await eventually(lambda number=number: served.used("request_memory_bytes") >= number * len(piece), DEADLINE_SECONDS)  # type: ignore[misc]
        ada.writer.write(piece)
    assert (await ada.answer())[0] == 201
    assert served.paced_seconds > 0.6, "no longer than a body may take, so nobody was late"
    # What came at once is no less.
    before = served.paced_seconds
    for client in (ada, bob):
        assert await client.asked("/b/x", token="bob", method="POST", body=piece) == 201
    assert served.paced_seconds - before > 0.6


async def test_the_platforms_own_bodies_wait_for_nobody(serve: Serve) -> None:
    served = await serve(Door(), large_body_bytes_per_second=1)
    ada = await known(served, "a", "ada")
    await known(served, "b", "bob")
    master = await known(served, "a", "master")
    assert await ada.asked("/a/x", token="ada", method="POST", body=b"x" * 70_000) == 201
    before = served.paced_seconds
    for _ in range(3):
        assert await master.asked("/a/x", token="master", method="POST", body=b"x" * 200_000) == 201
    assert served.paced_seconds == before


async def test_nobody_waits_for_the_platform(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_SHARED_SECONDS", 0.1)
    served = await serve(Door(), large_body_bytes_per_second=1)
    ada, master = await known(served, "a", "ada"), await known(served, "a", "master")
    # Their first requests were of callers that were not known yet, who are a tenant, too.
    assert await ada.asked("/a/x", token="ada") == 200
    await eventually(lambda: not served.server._gate.shared(), DEADLINE_SECONDS)
    monkeypatch.setattr(gate, "_SHARED_SECONDS", 60.0)
    for _ in range(3):
        assert await master.asked("/a/x", token="master") == 200
        assert await ada.asked("/a/x", token="ada") == 200
        assert not served.server._gate.shared()
    assert await (await known(served, "b", "bob")).asked("/b/x", token="bob") == 200
    assert served.server._gate.shared()


async def test_what_comes_after_a_refusal_is_read_at_the_pace_of_bodies_and_not_for_ever(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_LINGERING_SECONDS", 0.5)
    served = await serve(Door(), body_bytes=1000, large_body_bytes_per_second=100_000)
    ada, bob = await known(served, "a", "ada"), await known(served, "b", "bob")
    ada.send("/a/x", token="ada", method="POST", length=10 << 20)
    began = time.monotonic()
    assert (await ada.answer())[0] == 413
    with suppress(ConnectionError):
        while True:
            ada.writer.write(b"x" * 100_000)
            async with asyncio.timeout(DEADLINE_SECONDS):
                await ada.writer.drain()
            assert await bob.asked("/b/x", token="bob") == 200
    assert time.monotonic() - began > 0.4
    assert served.paced_seconds > 0.3


async def test_a_body_that_does_not_come_is_408_and_ends_the_connection(serve: Serve) -> None:
    served = await serve(Door(), body_timeout_seconds=0.05)
    client = await served.connect()
    client.send("/a/x", method="POST", body=b"abc", length=10)
    status, headers, body = await client.answer()
    assert (status, headers["connection"], json.loads(body)["reason"]) == (408, "close", "Timeout")
    assert await client.ended() == b""
    assert served.metric("tenantry_connections_closed_total", "slow-body") == 1
    await eventually(lambda: served.used("receiving_bodies") == served.used("request_memory_bytes") == 0, DEADLINE_SECONDS)


async def test_memory_of_bodies_is_shared(serve: Serve) -> None:
    served = await serve(Door(), request_memory_bytes=100_000)
    for _ in range(4):
        (await served.connect()).send("/a/x", method="POST", body=b"x" * 20_000, length=50_000)
    # Two of nobody's are as much as is free beside them; one piece of the third may still fit, depending on how it is cut.
    answers = [asyncio.create_task(client.answer()) for client in served.clients]
    done, waiting = await asyncio.wait(answers, timeout=DEADLINE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result()[0] for task in done] == [429] * len(done)
    ada = await known(served, "a", "ada")
    assert await ada.asked("/a/x", token="ada", method="POST", body=b"y" * 20_000) == 201
    assert served.metric("tenantry_limit_refused_total", "request_memory_bytes") >= 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_slow_heads_are_cut(serve: Serve) -> None:
    served = await serve(Door(), head_timeout_seconds=0.05)
    slow = await served.connect()
    slow.writer.write(b"GET / HTTP/1.1\r\nHost")
    assert await slow.ended() == b""
    await eventually(lambda: served.used("request_memory_bytes") == 0, DEADLINE_SECONDS)
    assert served.metric("tenantry_connections_closed_total", "slow-head") >= 1


async def test_a_watch_behind_a_long_body_is_not_a_slow_head(serve: Serve) -> None:
    """Reading pauses within a long body, and aiohttp hands on an empty piece when it goes on."""
    served = await serve(Door(), head_timeout_seconds=0.05)
    ada = await known(served, "a", "ada")
    assert await ada.asked("/a/x", token="ada", method="POST", body=b"y" * 1_000_000) == 201
    ada.send("/a/watch", token="ada")
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert b" 200 " in await ada.reader.readuntil(b"\r\n\r\n")
    slow = await served.connect()
    slow.writer.write(b"GET / HTTP/1.1\r\nHost")
    assert await slow.ended() == b""
    assert served.metric("tenantry_connections_closed_total", "slow-head") == 1
    assert not ada.reader.at_eof()


async def test_a_head_that_begins_before_its_sender_is_known_is_forgotten_whole(serve: Serve) -> None:
    door = Door()
    served = await serve(door)
    ada = await served.connect()
    ada.send("/a/held", token="ada")
    await eventually(lambda: door.waiting == 1, DEADLINE_SECONDS)
    ada.writer.write(b"GET /a/x HTTP/1.1\r\n")
    await eventually(lambda: served.used("request_memory_bytes") > 0, DEADLINE_SECONDS)
    door.gate.set()
    assert (await ada.answer())[0] == 200
    ada.writer.write(b"Host: x\r\nAuthorization: Bearer ada\r\n\r\n")
    assert (await ada.answer())[0] == 200
    await eventually(lambda: served.used("request_memory_bytes") == 0, DEADLINE_SECONDS)
    assert served.server._pool.memory.largest == 0


async def test_endless_heads_are_cut(serve: Serve) -> None:
    served = await serve(Door(), head_bytes=4096)
    client = await served.connect()
    client.writer.write(b"GET / HTTP/1.1\r\n")
    with suppress(ConnectionError):
        for _ in range(100):
            client.writer.write(b"X-A: " + b"a" * 100 + b"\r\n")
            await client.writer.drain()
            await one_turn()
    assert b" 431 " in await client.ended() + b" 431 "
    await eventually(lambda: served.used("request_memory_bytes") == 0 and served.used("connections") == 0, DEADLINE_SECONDS)


async def test_the_oldest_connection_of_nobody_makes_room(serve: Serve) -> None:
    served = await serve(Door(), unauthenticated_connections=3)
    ada = await known(served, "a", "ada")
    first = await served.connect()
    for _ in range(5):
        await (await served.connect()).asked("/a/x")
    assert await first.ended() == b""
    assert await ada.asked("/a/x", token="ada") == 200
    assert served.metric("tenantry_connections_closed_total", "evicted") == 3


async def test_connections_of_nobody_do_not_stay_idle(serve: Serve) -> None:
    served = await serve(Door(), unauthenticated_idle_seconds=0.1)
    ada, nobody = await known(served, "a", "ada"), await served.connect()
    assert await nobody.ended() == b""
    assert await ada.asked("/a/x", token="ada") == 200


async def test_a_tenant_has_its_share_of_connections(serve: Serve) -> None:
    served = await serve(Door(), connections=8, unauthenticated_connections=8)
    kept = [await known(served, "a", "ada") for _ in range(6)]
    closed = 0
    for client in kept:
        client.send("/a/x", token="ada")
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await client.answer()
            continue
        closed += 1
    assert closed >= 1
    assert await (await known(served, "b", "bob")).asked("/b/x", token="bob") == 200


async def test_one_tenant_holds_half_of_the_seats_whatever_it_asks(serve: Serve) -> None:
    door = Door()
    served = await serve(door, reading_requests=8, queued_requests=40, queue_seconds=30)
    for user in ("ada", "ann"):
        await known(served, "a", user)
    await known(served, "b", "bob")
    for number in range(30):
        (await served.connect()).send("/a/held", token=("ada", "ann")[number % 2])
    await eventually(lambda: door.waiting == 4 and served.used("queued_requests") == 20, DEADLINE_SECONDS)
    bob = await served.connect()
    assert await bob.asked("/b/x", token="bob") == 200
    more = await served.connect()
    more.send("/a/held", token="ada")
    assert (await more.answer())[0] == 429
    door.gate.set()
    await eventually(lambda: served.used("reading_requests") == served.used("queued_requests") == 0, DEADLINE_SECONDS)


async def test_whoever_waits_too_long_is_told_when_to_come_back(serve: Serve) -> None:
    door = Door()
    served = await serve(door, reading_requests=2, queue_seconds=0.05)
    await known(served, "a", "ada")
    for _ in range(2):
        (await served.connect()).send("/a/held", token="ada")
    status, headers, body = await served.clients[-1].answer()
    assert (status, headers["retry-after"], json.loads(body)["reason"]) == (429, "1", "TooManyRequests")
    assert served.metric("tenantry_connections_closed_total", "queue-timeout") == 1
    door.gate.set()


async def test_a_request_that_waits_for_something_else_leaves_its_seat(serve: Serve) -> None:
    door = Door()
    served = await serve(door, reading_requests=1, queue_seconds=0.5)
    client, other = await known(served, "a", "alice"), await known(served, "a", "alice")
    client.send("/a/parked", token="alice")
    await eventually(lambda: door.parked is not None)
    assert served.used("reading_requests") == 0
    assert served.used("queued_requests") == 1
    assert await other.asked("/a/x", token="alice") == 200
    assert door.parked is not None
    door.parked.set_result(None)
    assert (await client.answer())[0] == 200
    door.parked = None
    client.send("/a/parked", token="alice")
    code, headers, _ = await client.answer()
    assert (code, headers["retry-after"]) == (429, "1")
    assert served.used("queued_requests") == served.used("reading_requests") == 0


async def test_requests_that_ask_another_server_leave_their_seats(serve: Serve) -> None:
    door = Door()
    served = await serve(door, reading_requests=2, queued_requests=4, queue_seconds=0.2)
    alice, bob = await known(served, "a", "alice"), await known(served, "b", "bob")
    asking = [await served.connect() for _ in range(2)]
    for client in asking:
        client.send("/a/away", token="alice")
    await eventually(lambda: served.used("queued_requests") == 2, DEADLINE_SECONDS)
    assert served.used("reading_requests") == 0
    # A tenant's requests that wait are bounded, and delay nobody.
    alice.send("/a/away", token="alice")
    assert (await alice.answer())[0] == 429
    assert await bob.asked("/b/x", token="bob") == 200
    # What they wait for has a deadline of its own: they are not refused with the requests that wait for a seat.
    bob.send("/b/parked", token="bob")
    assert (await bob.answer())[0] == 429
    door.gate.set()
    for client in asking:
        assert (await client.answer())[0] == 200
    assert served.used("queued_requests") == served.used("reading_requests") == 0


async def test_a_client_that_leaves_the_queue_leaves_nothing(serve: Serve) -> None:
    door = Door()
    served = await serve(door, reading_requests=2, queue_seconds=30)
    await known(served, "a", "ada")
    (await served.connect()).send("/a/held", token="ada")
    await eventually(lambda: door.waiting == 1, DEADLINE_SECONDS)
    waiting = [await served.connect() for _ in range(5)]
    for client in waiting:
        client.send("/a/held", token="ada")
    await eventually(lambda: served.used("queued_requests") == 5, DEADLINE_SECONDS)
    for client in waiting:
        client.close()
    await eventually(lambda: served.used("queued_requests") == 0, DEADLINE_SECONDS)
    door.gate.set()
    await eventually(lambda: served.used("reading_requests") == 0, DEADLINE_SECONDS)
    assert await (await served.connect()).asked("/a/x", token="ada") == 200


async def test_masters_and_probes_have_a_lane_of_their_own(serve: Serve) -> None:
    door = Door()
    served = await serve(door, reading_requests=1, queued_requests=0)
    await known(served, "a", "master")
    (await served.connect()).send("/a/held")
    await eventually(lambda: door.waiting == 1, DEADLINE_SECONDS)
    assert await (await served.connect()).asked("/a/x") == 429
    assert await (await served.connect()).asked("/a/x", token="master") == 200
    assert await (await served.connect()).asked("/livez") == 200
    door.gate.set()


async def test_invented_credentials_and_paths_are_all_nobodys(serve: Serve) -> None:
    door = Door()
    served = await serve(door, reading_requests=8, queued_requests=0)
    await known(served, "b", "bob")
    for number in range(20):
        (await served.connect()).send(f"/tenant-{number}/held", token=f"invented-{number}")
    await eventually(lambda: door.waiting == 4, DEADLINE_SECONDS)
    assert await (await served.connect()).asked("/b/x", token="bob") == 200
    door.gate.set()


async def test_what_is_remembered_of_callers_is_bounded() -> None:
    async def nothing(limit_bytes: int) -> bytes:
        return b""

    callers = ApiCallers(lambda path: path, home_of=lambda request: "h" * 60_000 if "home" in request.headers else None)
    long = "/" + "p" * 60_000
    for number in range(3000):
        headers = {"authorization": f"Bearer {number}", **({"home": "yes"} if number % 2 else {})}
        request = Request("GET", long + str(number), "", headers, nothing)
        if number % 3 == 0:
            request.user = User("u" * 60_000 + str(number))
        caller = callers.answered(callers.of(request), request, 200)
        assert sum(len(str(owner)) for owner in caller.owners) < 400
        assert callers.of(request).owners == caller.owners
    assert len(callers._tokens) > 1000
    assert size_of(callers._tokens._young) < 8 << 20


async def test_a_refused_credential_is_nobodys_again(serve: Serve) -> None:
    served = await serve(Door())
    client = await served.connect()
    assert await client.asked("/a/x", token="wrong") == 401
    assert served.metric("tenantry_limit_used", "connections") == 1
    assert len(served.callers._tokens) == 0


async def test_watches_are_shared_by_tenant_and_by_user(serve: Serve) -> None:
    served = await serve(Door(), watches=8)
    for user in ("ada", "bob"):
        await known(served, "a", user)
    statuses = []
    for number in range(6):
        client = await served.connect()
        client.send(f"/tenant-{number}/watch", token="ada")
        head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), DEADLINE_SECONDS)
        statuses.append(int(head.split()[1]))
    assert statuses == [200] * 4 + [429] * 2
    client = await served.connect()
    client.send("/b/watch", token="bob")
    assert b" 200 " in await asyncio.wait_for(client.reader.readline(), DEADLINE_SECONDS)
    assert served.metric("tenantry_limit_refused_total", "watches") == 2
    for one in served.clients:
        one.close()
    await eventually(lambda: served.used("watches") == 0, DEADLINE_SECONDS)


async def test_a_tenant_that_keeps_the_loop_gives_way_between_its_requests(serve: Serve) -> None:
    """Many long requests at once: another tenant's is not behind all of them, but behind one or two."""
    door = Door()
    served = await serve(door, queue_seconds=30)
    for tenant, user in (("a", "ada"), ("b", "bob")):
        await known(served, tenant, user)
    door.spin_seconds = 0.02
    order: list[str] = []

    async def ask(client: Client, path: str, token: str) -> None:
        await client.asked(path, token=token)
        order.append(token)

    async with asyncio.TaskGroup() as group:
        hostile = [await served.connect() for _ in range(20)]
        bob = await served.connect()
        for client in hostile:
            group.create_task(ask(client, "/a/spin", "ada"))
        group.create_task(ask(bob, "/b/x", "bob"))
    assert order.index("bob") <= 5
    assert served.used("queued_requests") == 0


async def test_a_lone_tenant_has_all_seats_of_its_share_at_work(serve: Serve) -> None:
    """Work conserving: with nobody else there, everything is answered, and nothing is refused."""
    served = await serve(Door(), queue_seconds=30)
    await known(served, "a", "ada")

    async def ask() -> int:
        client = await served.connect()
        return [await client.asked("/a/x", token="ada") for _ in range(20)].count(200)

    assert await asyncio.gather(*(ask() for _ in range(30))) == [20] * 30
    assert served.server.metrics.rejected == 0
