"""Calls to servers that tenants name: what they answer, and what a tenant has in flight."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tenantry.http.outgoing import ANSWER_BYTES_MAX, Destination, OutgoingCalls
from tenantry.http.outgoing_connection import Deadlines, OutgoingAnswer, OutgoingConnection, OutgoingError
from tenantry.http.reachable_networks import ReachableNetworks
from tenantry.http.trust import TrustContexts
from tests.support.waiting import until
from tests.support.webhooks import certificate

REQUEST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n\r\ngood"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


class Server:
    """Answers each request with the next of `answers`, the last one again and again. None: not at all."""

    def __init__(self, *answers: bytes | None, closes: bool = False) -> None:
        self.answers = list(answers)
        self.closes = closes
        self.requests = 0
        self.connections = 0
        self.held = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"hi")
                self.requests += 1
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    await self.held.wait()
                    return
                writer.write(answer)
                await writer.drain()
                if self.closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(server: Server, tmp_path: Path) -> AsyncIterator[Destination]:
    chain, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    chain.write_bytes(certificate()[0])
    key.write_bytes(certificate()[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    listening = await asyncio.start_server(server, "127.0.0.1", 0, ssl=context)
    try:
        port = listening.sockets[0].getsockname()[1]
        yield Destination("127.0.0.1", port, certificate()[0])
    finally:
        server.held.set()
        listening.close()


@pytest.fixture
async def calls() -> AsyncIterator[OutgoingCalls]:
    made = OutgoingCalls(ReachableNetworks("loopback"))
    yield made
    made.close()


async def call(calls: OutgoingCalls, to: Destination, *, owner: str = "one", seconds: float = 10) -> OutgoingAnswer:
    deadline = asyncio.get_running_loop().time() + seconds
    return await calls.call(to, REQUEST, owner=owner, deadline=deadline)


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n2\r\ngo\r\n2;x=y\r\nod\r\n0\r\n\r\n",
    ],
)
async def test_answers_and_the_connection_is_used_again(calls: OutgoingCalls, answer: bytes, tmp_path: Path) -> None:
    server = Server(answer)
    async with serving(server, tmp_path) as to:
        for _ in range(3):
            found = await call(calls, to)
            assert (found.status, found.body, found.content_type) == (200, b"good", "text/plain")
        assert (server.connections, calls.idle) == (1, 1)


async def test_an_answer_may_end_with_its_connection(calls: OutgoingCalls, tmp_path: Path) -> None:
    async with serving(Server(b"HTTP/1.0 200 OK\r\n\r\ngood", closes=True), tmp_path) as to:
        assert (await call(calls, to)).body == b"good"
        assert calls.idle == 0


async def test_redirects_are_answers(calls: OutgoingCalls, tmp_path: Path) -> None:
    server = Server(b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
    async with serving(server, tmp_path) as to:
        assert (await call(calls, to)).status == 302
        assert server.requests == 1


async def test_a_connection_that_was_closed_meanwhile_is_made_anew(calls: OutgoingCalls, tmp_path: Path) -> None:
    server = Server(OK)
    async with serving(server, tmp_path) as to:
        await call(calls, to)
        server.closes = True
        await call(calls, to)
        server.closes = False
        assert (await call(calls, to)).body == b"good"
        assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-x\r\n\r\n", "malformed HTTP response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "unsupported transfer encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed chunked encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (ANSWER_BYTES_MAX + 1), "the answer has more than"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: " + b"x" * (70 << 10), "server response headers exceeded"),
        (b"HTTP/1.1 200 OK\r\n :x\r\n\r\n", "malformed MIME header line"),
    ],
)
async def test_answers_that_are_refused(calls: OutgoingCalls, answer: bytes, why: str, tmp_path: Path) -> None:
    async with serving(Server(answer), tmp_path) as to:
        with pytest.raises(OutgoingError, match=why):
            await call(calls, to)
        assert calls.idle == 0 and calls.shares.used == 0


async def test_an_answer_that_never_ends_is_cut_off(calls: OutgoingCalls, tmp_path: Path) -> None:
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    async with serving(Server(endless + b"10000\r\n" + b"x" * ANSWER_BYTES_MAX), tmp_path) as to:
        with pytest.raises(OutgoingError):
            await call(calls, to, seconds=5)


async def test_each_call_has_its_own_deadline(calls: OutgoingCalls, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with serving(Server(OK, None), tmp_path) as to:
        await call(calls, to)
        began, ended = loop.time(), {}

        async def silent(seconds: float) -> None:
            with pytest.raises(OutgoingError, match="context deadline exceeded"):
                await call(calls, to, seconds=seconds)
            ended[seconds] = loop.time() - began

        await asyncio.gather(*map(silent, (0.4, 0.1, 0.2, 0.1)))
        assert list(ended) == [0.1, 0.2, 0.4] and all(took > seconds - 0.01 for seconds, took in ended.items())
        assert calls.shares.used == calls.idle == 0


async def test_a_call_that_ends_leaves_no_deadline() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines()
    first, second = loop.create_future(), loop.create_future()
    deadlines.add(first, loop.time() + 0.05)
    deadlines.add(second, loop.time() + 0.1)
    deadlines.remove(first)
    with pytest.raises(OutgoingError, match="context deadline exceeded"):
        await second
    assert not first.done()
    deadlines.close()


async def test_deadlines(calls: OutgoingCalls, tmp_path: Path) -> None:
    async with serving(Server(None), tmp_path) as to:
        with pytest.raises(OutgoingError, match="context deadline exceeded") as raised:
            await call(calls, to, seconds=0.2)
        assert raised.value.timed_out and calls.shares.used == 0


async def test_who_is_not_reached(calls: OutgoingCalls, tmp_path: Path) -> None:
    async with serving(Server(OK), tmp_path) as to:
        with pytest.raises(OutgoingError, match="x509: certificate signed by unknown authority"):
            await call(calls, to._replace(bundle=b""))
        with pytest.raises(OutgoingError, match="unable to parse bytes as PEM block"):
            await call(calls, to._replace(bundle=b"no pem"))
        with pytest.raises(OutgoingError, match=r"certificate is not valid for other\.example"):
            await call(calls, to._replace(server_name="other.example"))
    with pytest.raises(OutgoingError, match=f"dial tcp 127.0.0.1:{to.port}: connect: connection refused"):
        await call(calls, to)
    with pytest.raises(OutgoingError, match=r"\(--webhook-networks\)"):
        await call(calls, Destination("10.0.0.1", 443))
    with pytest.raises(OutgoingError, match=r"lookup no-such-host\.invalid: no such host"):
        await call(calls, Destination("no-such-host.invalid", 443))


async def test_a_tenants_calls_leave_room_for_others(tmp_path: Path) -> None:
    calls = OutgoingCalls(ReachableNetworks("loopback"), in_flight_bytes=400 << 10)
    slow, quick = Server(None), Server(OK)
    (tmp_path / "slow").mkdir()
    async with serving(slow, tmp_path / "slow") as there, serving(quick, tmp_path) as here:
        waiting = [asyncio.create_task(call(calls, there, owner="hostile", seconds=30)) for _ in range(40)]
        await until(lambda: slow.requests >= 4)
        assert (await call(calls, here, owner="other", seconds=5)).body == b"good"
        assert slow.requests < 12
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert calls.shares.used == 0
    calls.close()


async def test_waiting_calls_go_on_when_others_have_ended(tmp_path: Path) -> None:
    calls = OutgoingCalls(ReachableNetworks("loopback"), in_flight_bytes=200 << 10)
    async with serving(Server(OK), tmp_path) as to:
        answers = await asyncio.gather(*(call(calls, to) for _ in range(40)))
        assert [answer.body for answer in answers] == [b"good"] * 40
    assert calls.shares.used == 0
    calls.close()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 6 + OK, "net/http: too many 1xx informational responses"),
        (b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 1_001 + b"\r\n", "more than 1000 headers"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1_001 + b"0\r\n\r\n", "too many chunks"),
    ],
)
async def test_an_answer_of_many_small_parts_is_none(calls: OutgoingCalls, answer: bytes, text: str, tmp_path: Path) -> None:
    async with serving(Server(answer), tmp_path) as to:
        with pytest.raises(OutgoingError, match=text):
            await call(calls, to)


async def test_a_server_may_neither_choose_a_long_computation_nor_another_handshake() -> None:
    trust = TrustContexts()
    context = await trust.of(certificate()[0], "one")
    assert not [each["name"] for each in context.get_ciphers() if each["name"].startswith(("DHE", "ADH"))]
    assert context.options & ssl.OP_NO_RENEGOTIATION
    trust.close()


async def test_the_loop_goes_on_while_a_long_bundle_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL has the lock of Python while it reads a piece of a bundle."""
    pieces: list[int] = []

    load = ssl.SSLContext.load_verify_locations

    def counted(context: ssl.SSLContext, *, cadata: str) -> None:
        pieces.append(cadata.count("BEGIN CERTIFICATE"))
        load(context, cadata=cadata)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
    bundle = b"# one\n" + certificate()[0] * 200
    trust = TrustContexts()
    first, second = await asyncio.gather(trust.of(bundle, "one"), trust.of(bundle, "two"))
    assert first is second and trust.shares.used == 0
    assert sum(pieces) == 200 and max(pieces) <= 3
    trust.close()


async def test_a_tenant_reads_few_bundles_at_a_time() -> None:
    trust = TrustContexts()
    bundles = [certificate()[0] * (3 + number) for number in range(9)]
    found = await asyncio.gather(*(trust.of(bundle, "one") for bundle in bundles), return_exceptions=True)
    assert [str(each) for each in found if isinstance(each, ValueError)] == [
        "too many bundles of certificates are read at the same time"
    ]
    trust.close()


def _endless(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n%s\r\n" % (b"x" * 0x10000) * (size // 0x10000)


async def test_answers_count_in_the_share_of_their_tenant(tmp_path: Path) -> None:
    calls = OutgoingCalls(ReachableNetworks("loopback"), in_flight_bytes=8 << 20, answer_bytes_per_second=0)
    (tmp_path / "large").mkdir()
    large, small = Server(_endless(3 << 20)), Server(OK)
    async with serving(large, tmp_path / "large") as there, serving(small, tmp_path) as here:
        waiting = [asyncio.create_task(call(calls, there, owner="hostile", seconds=3)) for _ in range(6)]
        await until(lambda: any(task.done() for task in waiting))
        assert calls.shares.used <= 4.5 * (1 << 20)
        assert (await call(calls, here, owner="other", seconds=5)).body == b"good"
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert any("too many bytes of answers are in flight" in str(error) for error in found), found
    assert calls.shares.used == 0
    calls.close()


async def test_a_large_answer_is_read_at_its_pace(tmp_path: Path) -> None:
    calls = OutgoingCalls(ReachableNetworks("loopback"), answer_bytes_per_second=4 << 20)
    body = b"x" * (3 << 20)
    async with serving(Server(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body, OK), tmp_path) as to:
        began = asyncio.get_running_loop().time()
        assert (await call(calls, to)).body == body
        assert asyncio.get_running_loop().time() - began > 0.3
        # The connection is read at once again.
        assert (await call(calls, to)).body == b"good" and calls.opened == 1
    assert calls.shares.used == 0
    calls.close()


async def test_what_was_received_is_free_when_the_call_has_failed(calls: OutgoingCalls, tmp_path: Path) -> None:
    gc.collect()
    gc.disable()
    try:
        async with serving(Server(_endless(ANSWER_BYTES_MAX + (1 << 20))), tmp_path) as to:
            for _ in range(3):
                with pytest.raises(OutgoingError, match="more than"):
                    await call(calls, to)
            kept = [each for each in gc.get_objects() if isinstance(each, OutgoingConnection)]
            assert sum(len(each._data) + len(each._chunks) for each in kept) == 0
            # Neither does an error keep the future that has it: that of the last call is still in its frames.
            assert len([each for each in gc.get_objects() if isinstance(each, asyncio.Future) and _failed(each)]) <= 1
    finally:
        gc.enable()


def _failed(future: asyncio.Future[object]) -> bool:
    return future.done() and not future.cancelled() and isinstance(future.exception(), OutgoingError)


async def test_large_chunks_do_not_count(calls: OutgoingCalls, tmp_path: Path) -> None:
    chunks = b"400\r\n%s\r\n" % (b"x" * 1024) * 1_500
    async with serving(Server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"), tmp_path) as to:
        assert (await call(calls, to)).body == b"x" * 1024 * 1_500
