"""A server of ours that refuses a client's certificate says so, and the client knows that nothing was carried out."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import uvloop

from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server
from tenantry.http.certificates import CertificateAuthority, Pair, pair_client_context, pair_server_context
from tenantry.http.messages import Reply, Response
from tenantry.http.tls_alerts import AlertingObject, HookedObject, TicketedObject, refusal, use_objects
from tenantry.http.upstream import Upstream, UpstreamLimits
from tenantry.http.upstream_connection import UpstreamConnection, UpstreamError
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import eventually, one_turn

Run = Callable[[Coroutine[Any, Any, None]], None]

OURS = CertificateAuthority.create()
OTHERS = CertificateAuthority.create("another")


def dated(offset: timedelta) -> Pair:
    """A client certificate of our CA as it would have been issued then, for an hour."""
    return CertificateAuthority(OURS.pair, now=lambda: datetime.now(UTC) + offset).issue_client("x", life_seconds=3600)


CLIENTS = {
    "certificate expired": lambda: dated(timedelta(days=-1)),
    "bad certificate": lambda: dated(timedelta(days=1)),
    "unknown CA": lambda: OTHERS.issue_client("x"),
    "certificate required": lambda: None,
}
WRITE = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"


def without_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=OURS.certificate.decode())
    return context


async def refused(client: Pair | None, version: ssl.TLSVersion, body: bytes, pause: bool) -> tuple[UpstreamError, list[str]]:
    """How a write fails for a client; and what the server's handler saw."""
    seen: list[str] = []

    async def handler(request: Request) -> Reply:
        seen.append(request.method)
        return Response(200, b"{}")

    tls = pair_server_context(OURS.issue_serving(["127.0.0.1"]), client_ca_pem=OURS.certificate)
    tls.verify_mode, tls.maximum_version = ssl.CERT_REQUIRED, version
    server = http_server(handler, tls=tls)
    port = await server.start("127.0.0.1", 0)
    context = pair_client_context(OURS.certificate, client) if client is not None else without_certificate()
    upstream = Upstream(f"https://127.0.0.1:{port}", context)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(UpstreamError) as failed:
                connection = await upstream.connection()
                if pause:
                    await eventually(lambda: not connection.usable)
                await connection.exchange(WRITE % (len(body), body))
    finally:
        upstream.close()
        await server.stop()
    return failed.value, seen


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("reason", CLIENTS)
@pytest.mark.parametrize("how", ["at once", "a long one", "after the refusal"])
def test_a_refusal_that_comes_after_the_clients_handshake_counts_as_not_sent(run: Run, reason: str, how: str) -> None:
    async def test() -> None:
        body = b"x" * (1 << 20 if how == "a long one" else 10)
        error, seen = await refused(CLIENTS[reason](), ssl.TLSVersion.TLSv1_3, body, how == "after the refusal")
        assert (str(error), error.sent, seen) == (f"refused by TLS: {reason}", False, [])

    run(test())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_with_tls_1_2_connecting_fails_and_says_why(run: Run) -> None:
    async def test() -> None:
        error, _ = await refused(OTHERS.issue_client("x"), ssl.TLSVersion.TLSv1_2, b"", False)
        assert not error.sent
        assert str(error).endswith("cannot be reached: refused by TLS: unknown CA")

    run(test())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_server_whose_certificate_is_not_accepted_gets_nothing(run: Run) -> None:
    async def test() -> None:
        async def handler(_: Request) -> Reply:
            raise AssertionError("nothing should arrive")

        server = http_server(handler, tls=pair_server_context(OTHERS.issue_serving(["127.0.0.1"])))
        port = await server.start("127.0.0.1", 0)
        upstream = Upstream(f"https://127.0.0.1:{port}", pair_client_context(OURS.certificate, OURS.issue_client("x")))
        try:
            with pytest.raises(UpstreamError, match="refused by TLS: the server's certificate is not accepted: ") as failed:
                await upstream.exchange(WRITE % (1, b"x"))
            assert not failed.value.sent
        finally:
            upstream.close()
            await server.stop()

    run(test())


async def reset_after(steps: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that takes so many packets of a client in, and then goes away without a word."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = pair_server_context(OURS.issue_serving(["127.0.0.1"])).wrap_bio(incoming, outgoing, server_side=True)
    for _ in range(steps):
        incoming.write(await reader.read(65536))
        with suppress(ssl.SSLWantReadError):
            server.do_handshake()
        writer.write(outgoing.read())
    await reader.read(65536)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(("steps", "sent"), [(0, False), (1, False), (2, True)])
def test_a_server_that_goes_away_in_a_handshake_has_carried_nothing_out(run: Run, steps: int, sent: bool) -> None:
    """Without an alert. `steps`: the server gets nothing but the hello; it does not look at what the client ends its handshake
    with; it does, and breaks the connection when the request has come."""

    async def test() -> None:
        server = await asyncio.start_server(partial(reset_after, steps), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        limits = UpstreamLimits(accept_timeout_seconds=10)
        upstream = Upstream(f"https://127.0.0.1:{port}", pair_client_context(OURS.certificate, OURS.issue_client("x")), limits)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                with pytest.raises(UpstreamError) as failed:
                    await upstream.exchange(WRITE % (1, b"x"))
            assert failed.value.sent == sent
            assert upstream.connections == 0
        finally:
            upstream.close()
            server.close()

    run(test())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_server_without_tickets_is_not_waited_for_long(run: Run) -> None:
    async def test() -> None:
        async def handler(_: Request) -> Reply:
            return Response(200, b"{}")

        tls = pair_server_context(OURS.issue_serving(["127.0.0.1"]))
        tls.num_tickets = 0
        server = http_server(handler, tls=tls)
        port = await server.start("127.0.0.1", 0)
        limits = UpstreamLimits(accept_timeout_seconds=0.05)
        upstream = Upstream(f"https://127.0.0.1:{port}", pair_client_context(OURS.certificate, OURS.issue_client("x")), limits)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert (await upstream.exchange(WRITE % (1, b"x"))).status == 200
        finally:
            upstream.close()
            await server.stop()

    run(test())


@pytest.mark.parametrize("exchanges", [1, 2])
async def test_an_alert_after_something_was_answered_does_not_take_a_write_back(exchanges: int) -> None:
    class Transport(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            pass

        def is_closing(self) -> bool:
            return False

        def abort(self) -> None:
            pass

    alert = ssl.SSLError(1, "[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired")
    connection = UpstreamConnection(lambda _: None, lambda _: None)
    connection.connection_made(Transport())
    if exchanges == 2:
        first = asyncio.ensure_future(connection.exchange(b""))
        await one_turn()
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await first
    second = asyncio.ensure_future(connection.exchange(b""))
    await one_turn()
    if exchanges == 1:
        connection.data_received(b"HTTP/1.1 200")
    connection.connection_lost(alert)
    with pytest.raises(UpstreamError) as failed:
        await second
    assert failed.value.sent


def test_only_alerts_that_refuse_in_a_handshake_are_refusals() -> None:
    def alert(name: str) -> ssl.SSLError:
        return ssl.SSLError(1, f"[SSL: {name}] {name.lower().replace('_', ' ')} (_ssl.c:2580)")

    assert refusal(alert("SSLV3_ALERT_CERTIFICATE_EXPIRED")) == "certificate expired"
    assert refusal(alert("TLSV1_ALERT_UNKNOWN_CA")) == "unknown CA"
    assert refusal(alert("TLSV1_ALERT_INTERNAL_ERROR")) == ""
    assert refusal(alert("SSLV3_ALERT_BAD_RECORD_MAC")) == ""
    assert refusal(ConnectionResetError(104, "reset")) == ""
    assert refusal(None) == ""


async def test_who_is_refused_and_stays_is_cut_off_by_the_time_of_a_handshake() -> None:
    """And not before: closing at once would lose the alert."""
    tls = pair_server_context(OURS.issue_serving(["127.0.0.1"]), client_ca_pem=OURS.certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0, ssl=tls, ssl_handshake_timeout=0.3)
    port = server.sockets[0].getsockname()[1]
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = without_certificate().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65536))
            writer.write(outgoing.read())
            incoming.write(await reader.read(65536))
            with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
                client.read()
            assert await reader.read() == b""
    finally:
        writer.close()
        server.close()


def test_a_python_that_makes_tls_objects_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use_objects(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), TicketedObject)
    use_objects(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), AlertingObject)
    # As if `wrap_bio` had another way: the hooks are not there.
    monkeypatch.delattr(HookedObject, "_create")
    for kind in (TicketedObject, AlertingObject):
        monkeypatch.delattr(kind, "_create")
        with pytest.raises(RuntimeError, match="does not call SSLObject"):
            use_objects(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), kind)
