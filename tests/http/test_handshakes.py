"""TLS handshakes that do not end, or come all at once, on a real socket."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
import uvloop

from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server
from tenantry.http import handshakes
from tenantry.http.certificates import CertificateAuthority, pair_server_context
from tenantry.http.limits import Limits
from tenantry.http.messages import Reply, Response
from tenantry.http.server import HttpServer
from tenantry.http.tls_alerts import AlertingObject
from tests.support.waiting import eventually

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
DEADLINE_SECONDS = 20.0
AUTHORITY = CertificateAuthority.create()
CLIENT = ssl.create_default_context(cadata=AUTHORITY.certificate.decode())
REQUEST = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"

Serve = Callable[..., Awaitable["Served"]]


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        CLIENT.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()


class Served:
    def __init__(self, server: HttpServer[Request], port: int) -> None:
        self.server, self.port = server, port
        self.open: list[asyncio.StreamWriter] = []
        self.plain: list[socket.socket] = []

    async def silent(self, first: bytes = b"", *, address: str = "127.0.0.1") -> asyncio.StreamReader:
        """A connection that sends this and no more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0))
        self.open.append(writer)
        writer.write(first)
        return reader

    async def asked(self) -> bytes:
        """The first line of the answer to a request on a connection of its own."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=CLIENT)
            self.open.append(writer)
            writer.write(REQUEST)
            return await reader.readline()

    def metric(self, name: str, label: str) -> float:
        for line in self.server.metrics.text().decode().splitlines():
            if line.startswith(f"{name}{{") and f'"{label}"' in line:
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"no {name} of {label}")

    def closed(self, reason: str) -> float:
        return self.metric("tenantry_connections_closed_total", reason)

    @property
    def used(self) -> float:
        return self.metric("tenantry_limit_used", "tls_handshakes")


async def answer(request: Request) -> Reply:
    return Response(200, b"ok")


async def ended(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        with suppress(ConnectionError):
            await reader.read()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    running: list[Served] = []

    async def start(**limits: float) -> Served:
        tls = pair_server_context(AUTHORITY.issue_serving(["127.0.0.1"]), client_ca_pem=AUTHORITY.certificate)
        server = http_server(answer, tls=tls, limits=Limits(**limits))  # type: ignore[arg-type]
        running.append(Served(server, await server.start("127.0.0.1", 0)))
        return running[-1]

    yield start
    for served in running:
        for writer in served.open:
            writer.transport.abort()
        for plain in served.plain:
            plain.close()
        await served.server.stop()


@pytest.mark.parametrize("first", [b"", client_hello()[:100], client_hello()], ids=["nothing", "half a hello", "a hello"])
async def test_the_oldest_unfinished_handshake_makes_room_and_others_are_answered(serve: Serve, first: bytes) -> None:
    served = await serve(tls_handshakes=10)
    readers = [await served.silent(first) for _ in range(25)]
    await eventually(lambda: served.closed("evicted-handshake") == 16, DEADLINE_SECONDS)
    assert served.used == 9
    assert await served.asked() == b"HTTP/1.1 200 OK\r\n"
    assert served.closed("evicted-handshake") == 17
    for reader in readers[:17]:
        await ended(reader)
    assert served.used == 8


async def test_one_address_drives_out_nobody_else(serve: Serve) -> None:
    served = await serve(tls_handshakes=10)
    first = await served.silent(client_hello()[:100], address="127.0.0.9")
    for number in range(30):
        await served.silent(address=f"127.0.0.{2 + number % 2}")
    await eventually(lambda: served.closed("evicted-handshake") >= 20, DEADLINE_SECONDS)
    assert not first.at_eof()
    assert await served.asked() == b"HTTP/1.1 200 OK\r\n"
    assert not first.at_eof()


async def test_many_addresses_make_room_by_age(serve: Serve) -> None:
    served = await serve(tls_handshakes=10)
    readers = [await served.silent(address=f"127.0.0.{2 + number}") for number in range(15)]
    await eventually(lambda: served.closed("evicted-handshake") == 5, DEADLINE_SECONDS)
    for reader in readers[:5]:
        await ended(reader)
    assert served.used == 10


@pytest.mark.parametrize("first", [b"", client_hello()[:100], client_hello()], ids=["nothing", "half a hello", "a hello"])
async def test_a_handshake_ends_in_time_or_its_connection_does(serve: Serve, first: bytes) -> None:
    served = await serve(tls_handshake_timeout_seconds=0.2)
    reader = await served.silent(first)
    await ended(reader)
    assert served.closed("slow-handshake") == 1
    assert served.used == 0


async def test_who_goes_away_leaves_nothing(serve: Serve) -> None:
    served = await serve()
    for first in (b"", client_hello()[:100], client_hello(), b"GET / HTTP/1.1\r\n\r\n"):
        await served.silent(first)
    await eventually(lambda: served.used >= 3, DEADLINE_SECONDS)
    for writer in served.open:
        writer.close()
    await eventually(lambda: served.used == 0, DEADLINE_SECONDS)
    assert served.metric("tenantry_limit_used", "connections") == 0
    assert await served.asked() == b"HTTP/1.1 200 OK\r\n"


async def test_many_handshakes_at_once_take_turns_with_everything_else(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step fills a turn here: another callback of the loop runs between any two of them."""
    served = await serve()
    steps = 0
    turns: list[int] = []
    step = AlertingObject.do_handshake

    def slow(self: AlertingObject) -> None:
        nonlocal steps
        if isinstance(self, handshakes.PacedObject) and self._incoming.pending:
            steps += 1
            end = time.perf_counter() + handshakes.TURN_SECONDS
            while time.perf_counter() < end:
                pass
        step(self)

    monkeypatch.setattr(AlertingObject, "do_handshake", slow)

    def turn() -> None:
        nonlocal steps
        turns.append(steps)
        steps = 0
        loop.call_soon(turn)

    loop = asyncio.get_running_loop()
    loop.call_soon(turn)
    hello = client_hello()
    for _ in range(20):
        # Without the loop, so that all of them are there when it looks.
        plain = socket.create_connection(("127.0.0.1", served.port))
        plain.sendall(hello)
        served.plain.append(plain)
    answers = await asyncio.gather(*(served.asked() for _ in range(10)))
    assert set(answers) == {b"HTTP/1.1 200 OK\r\n"}
    # Each connection that was answered took two steps, and each of the others one.
    assert sum(turns) >= 40
    # What is read at the end of a turn and what waited for the next one may meet between two looks.
    assert max(turns) <= 2
