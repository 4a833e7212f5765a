"""Calls of servers outside of the platform."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from tenantry.http.calls import CallFailed, Calls, client_context
from tests.support.https_servers import HttpsServer
from tools.ports import free_port


@pytest.fixture
def server() -> Iterator[HttpsServer]:
    with HttpsServer(lambda path, body: (200, {"path": path, "body": body})) as running:
        yield running


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    made = Calls()
    yield made
    await made.close()


async def test_an_answer(server: HttpsServer, calls: Calls) -> None:
    tls = client_context(server.ca)
    answer = await calls.send(
        "POST", f"{server.url}/a", tls=tls, body=b"[1]", headers={"X-A": "b"}, timeout_seconds=5, answer_bytes=1000
    )
    assert (answer.status, answer.body) == (200, b'{"path": "/a", "body": [1]}')
    assert answer.headers["content-type"] == "application/json"
    headers = server.requests[0][2]
    assert headers["x-a"] == "b" and headers["accept-encoding"] == "identity"


async def test_what_an_answer_may_take(server: HttpsServer, calls: Calls) -> None:
    tls = client_context(server.ca)
    held = threading.Event()
    server.answer = lambda path, body: (200, b"x" * 100_000) if path == "/long" else (held.wait(20), (200, {}))[1]
    with pytest.raises(CallFailed, match="the answer has more than 1000 bytes"):
        await calls.send("GET", f"{server.url}/long", tls=tls, timeout_seconds=5, answer_bytes=1000)
    try:
        with pytest.raises(CallFailed, match=r"no answer in 0\.1 seconds") as caught:
            await calls.send("GET", f"{server.url}/never", tls=tls, timeout_seconds=0.1, answer_bytes=1000)
        assert caught.value.timed_out
    finally:
        held.set()


async def test_redirects_are_answers(server: HttpsServer, calls: Calls) -> None:
    server.answer = lambda path, body: (302, "/elsewhere")
    answer = await calls.send("GET", server.url, tls=client_context(server.ca), timeout_seconds=5, answer_bytes=1000)
    assert (answer.status, answer.headers["location"], len(server.requests)) == (302, "/elsewhere", 1)


async def test_certificates(server: HttpsServer, calls: Calls) -> None:
    with HttpsServer() as other, pytest.raises(CallFailed, match="certificate verify failed: ") as caught:
        await calls.send("GET", server.url, tls=client_context(other.ca), timeout_seconds=5, answer_bytes=1000)
    assert not caught.value.reset
    name = f"https://localhost:{server.url.rpartition(':')[2]}"
    tls = client_context(server.ca)
    with pytest.raises(CallFailed, match="certificate verify failed"):
        await calls.send("GET", name, tls=tls, timeout_seconds=5, answer_bytes=1000)
    answer = await calls.send("GET", name, tls=tls, server_name="127.0.0.1", timeout_seconds=5, answer_bytes=1000)
    assert answer.status == 200
    assert (await calls.send("GET", name, tls=client_context(insecure=True), timeout_seconds=5, answer_bytes=1000)).status == 200


async def test_lost_connections(calls: Calls) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(CallFailed) as caught:
            await calls.send("GET", f"http://127.0.0.1:{port}", tls=client_context(), timeout_seconds=5, answer_bytes=1000)
        assert caught.value.reset
    with pytest.raises(CallFailed) as caught:
        await calls.send("GET", f"http://127.0.0.1:{free_port()}", tls=client_context(), timeout_seconds=5, answer_bytes=1000)
    assert not caught.value.reset and not caught.value.timed_out
    assert re.fullmatch(r"cannot connect to 127\.0\.0\.1:\d+: Connect call failed .*", str(caught.value))
    with pytest.raises(CallFailed):
        await calls.send("GET", "no url", tls=client_context(), timeout_seconds=5, answer_bytes=1000)


def test_a_ca_that_cannot_be_used() -> None:
    with pytest.raises((OSError, ValueError, ssl.SSLError)):
        client_context("nothing")


async def test_the_greeting_of_another_server_is_not_told(calls: Calls) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-internal\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        url = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/"
        with pytest.raises(CallFailed) as failed:
            await calls.send("GET", url, tls=client_context("", insecure=True), timeout_seconds=5, answer_bytes=100)
    assert "internal" not in str(failed.value)
