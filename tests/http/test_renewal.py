"""Certificates are renewed before they end, and shown to whoever connects from then on, without a restart."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from prometheus_client import CollectorRegistry, generate_latest

from tenantry.apiserver.authentication.client_authority import ClientAuthority
from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server, https_server
from tenantry.apiserver.settings import HttpsSettings
from tenantry.base.metrics import Metrics
from tenantry.http import renewal
from tenantry.http.certificates import (
    CertificateAuthority,
    CertificateError,
    Pair,
    Validity,
    load_pair,
    pair_client_context,
    pair_server_context,
)
from tenantry.http.limits import Limits
from tenantry.http.messages import Reply, Response
from tenantry.http.renewal import LOOK_SECONDS, Certificates
from tenantry.http.upstream import Upstream
from tenantry.http.upstream_connection import UpstreamError
from tests.support.certificates import DAY_SECONDS, NAMES, YEAR_SECONDS, CertificateClock, serial, shown
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
def clock() -> CertificateClock:
    return CertificateClock()


@pytest.fixture
async def certificates(clock: CertificateClock) -> Any:
    made = Certificates(CertificateAuthority.create(now=clock), life_seconds=YEAR_SECONDS)
    yield made
    await made.stop()


async def hello(_: Request) -> Reply:
    return Response(200, b"{}")


# When


async def test_a_certificate_is_renewed_before_a_third_of_its_life_is_left_and_not_much_earlier(
    clock: CertificateClock, certificates: Certificates
) -> None:
    got: list[Pair] = []
    certificate = certificates.client("client", "x")
    certificate.follow(got.append)
    first = certificate.pair
    clock.pass_by(YEAR_SECONDS / 2)
    await certificates.renew()
    assert certificate.pair == first
    clock.pass_by(YEAR_SECONDS * (2 / 3 - 1 / 2) - DAY_SECONDS)
    await certificates.renew()
    assert got == [certificate.pair]
    assert serial(certificate.pair.certificate) != serial(first.certificate)
    assert Validity.of(certificate.pair.certificate).end == (clock.time + timedelta(seconds=YEAR_SECONDS)).timestamp()
    await certificates.renew()
    assert got == [certificate.pair]


async def test_a_failure_is_logged_and_tried_again_soon_and_costs_the_others_nothing(
    clock: CertificateClock, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    issue = certificates.authority.issue_client
    client, serving = certificates.client("client", "x"), certificates.serving("serving", NAMES)
    firsts = client.pair, serving.pair

    def full(*_: Any, **__: Any) -> Pair:
        raise OSError("no space left")

    clock.pass_by(YEAR_SECONDS * 0.61)
    monkeypatch.setattr(certificates.authority, "issue_client", full)
    await certificates.renew()
    assert (client.pair == firsts[0], serving.pair == firsts[1]) == (True, False)
    assert "cannot renew certificate client" in caplog.text
    monkeypatch.setattr(certificates.authority, "issue_client", issue)
    clock.pass_by(renewal.RETRY_SECONDS)
    await certificates.renew()
    assert client.pair != firsts[0]


async def test_one_that_cannot_show_the_new_one_keeps_nobody_else_from_it_and_is_asked_again(
    clock: CertificateClock, certificates: Certificates
) -> None:
    certificate = certificates.client("client", "x")
    failing = [OSError("first time")]
    others: list[Pair] = []
    asked: list[Pair] = []

    async def fails_once(pair: Pair) -> None:
        asked.append(pair)
        if failing:
            raise failing.pop()

    certificate.follow(fails_once)
    certificate.follow(others.append)
    clock.pass_by(YEAR_SECONDS * 0.61)
    await certificates.renew()
    assert (len(asked), others) == (1, [certificate.pair])
    clock.pass_by(renewal.RETRY_SECONDS)
    await certificates.renew()
    assert (len(asked), asked[-1], others[-1]) == (2, certificate.pair, certificate.pair)
    clock.pass_by(renewal.RETRY_SECONDS)
    await certificates.renew()
    assert len(asked) == 2


async def test_the_task_renews_by_itself_in_time() -> None:
    certificates = Certificates(CertificateAuthority.create(), life_seconds=5.0)
    renewed: asyncio.Queue[tuple[Pair, float]] = asyncio.Queue()
    certificate = certificates.serving("serving", NAMES)
    before = certificate.validity
    certificate.follow(lambda pair: renewed.put_nowait((pair, datetime.now(UTC).timestamp())))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            pair, at = await renewed.get()
        assert (at < before.end, certificate.pair) == (True, pair)
    finally:
        await certificates.stop()


async def test_no_certificate_outlives_the_authority_and_an_ended_one_issues_none(clock: CertificateClock) -> None:
    authority = CertificateAuthority.create(now=clock)
    end = Validity.of(authority.certificate).end
    clock.pass_by(end - clock.time.timestamp() - DAY_SECONDS)
    assert Validity.of(authority.issue_client("x").certificate).end == end
    clock.pass_by(2 * DAY_SECONDS)
    with pytest.raises(CertificateError, match="has expired"):
        authority.issue_client("x")


async def test_metrics_tell_when_each_ends(certificates: Certificates, clock: CertificateClock) -> None:
    registry = CollectorRegistry()
    registry.register(certificates)
    certificates.serving("serving", NAMES)
    certificates.keep(ClientAuthority(certificates.authority.certificate))
    text = generate_latest(registry).decode()
    found = dict(re.findall(r'tenantry_certificate_expiry_seconds\{certificate="(.+?)"\} (\S+)', text))
    assert found.keys() == {"ca", "client-ca-file", "serving"}
    assert float(found["serving"]) == clock.time.timestamp() + YEAR_SECONDS
    assert float(found["ca"]) == Validity.of(certificates.authority.certificate).end


# Files


async def test_files_that_others_read_are_written_again(
    tmp_path: Path, clock: CertificateClock, certificates: Certificates
) -> None:
    lookup = certificates.client_files("lookup-client", tmp_path, "tenantry-lookup")
    serving = certificates.serving_files("serving", tmp_path, NAMES)
    before = lookup.pair, serving.pair
    clock.pass_by(YEAR_SECONDS * 0.61)
    await certificates.renew()
    for certificate, old, name in ((lookup, before[0], "lookup-client"), (serving, before[1], "serving")):
        pair = Pair.read(tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
        assert (pair == certificate.pair, pair != old) == (True, True)
        pair_server_context(pair)


async def test_a_serving_file_is_kept_over_a_start_unless_it_lives_longer_than_it_should(
    tmp_path: Path, clock: CertificateClock
) -> None:
    authority = CertificateAuthority.create(now=clock)
    first = Pair.read(*authority.serving(tmp_path, NAMES, life_seconds=YEAR_SECONDS))
    assert Pair.read(*authority.serving(tmp_path, NAMES, life_seconds=YEAR_SECONDS)) == first
    second = Pair.read(*authority.serving(tmp_path, NAMES, life_seconds=DAY_SECONDS))
    assert Validity.of(second.certificate).life_seconds == DAY_SECONDS


class Crash(BaseException):
    """The machine fails."""


def crash_at(rename: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the renaming with this number, counted from 1."""
    replace, seen = os.replace, 0

    def failing(old: Any, new: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == rename:
            raise Crash
        replace(old, new)

    monkeypatch.setattr(os, "replace", failing)


@pytest.mark.parametrize(("rename", "renewed"), [(1, False), (2, False), (3, True)])
def test_a_crash_in_the_midst_of_a_renewal_leaves_the_old_pair_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rename: int, renewed: bool
) -> None:
    authority = CertificateAuthority.create()
    crt, key = authority.serving(tmp_path, NAMES)
    old, new = Pair.read(crt, key), authority.issue_serving(NAMES)
    with monkeypatch.context() as patched, pytest.raises(Crash):
        crash_at(rename, patched)
        new.write(crt, key)
    assert Pair.read(crt, key) == (new if renewed else old)
    authority.serving(tmp_path, NAMES)
    # Others read the two files as they are.
    assert Pair(crt.read_bytes(), key.read_bytes()) == (new if renewed else old)
    assert {path.name for path in tmp_path.iterdir()} == {"serving.crt", "serving.key"}


@pytest.mark.parametrize("rename", [1, 2, 3])
def test_a_crash_at_the_first_start_leaves_no_half_of_a_certificate_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rename: int
) -> None:
    with monkeypatch.context() as patched, pytest.raises(Crash):
        crash_at(rename, patched)
        CertificateAuthority.load_or_create(tmp_path)
    assert CertificateAuthority.load_or_create(tmp_path).pair.fits
    assert {path.name for path in tmp_path.iterdir()} == {"ca.crt", "ca.key"}


def test_a_serving_pair_that_does_not_fit_is_made_anew(tmp_path: Path) -> None:
    authority = CertificateAuthority.create()
    _, key = authority.serving(tmp_path, NAMES)
    key.write_bytes(authority.issue_serving(NAMES).key)
    assert Pair.read(*authority.serving(tmp_path, NAMES)).fits


async def test_an_operators_files_are_loaded_again_when_they_change_and_a_broken_pair_is_not_shown(
    tmp_path: Path, clock: CertificateClock, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    crt, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    other = CertificateAuthority.create("operator")
    first, second = other.issue_serving(NAMES), other.issue_serving(NAMES)
    first.write(crt, key)
    server = https_server(
        hello,
        HttpsSettings(tls_cert_file=str(crt), tls_private_key_file=str(key)),
        limits=Limits(watches=0),
        certificates=certificates,
        serving=certificates.serving("serving", NAMES),
        clients=ClientAuthority(certificates.authority.certificate),
        metrics=Metrics(),
    )
    port = await server.start("127.0.0.1", 0)

    async def looked() -> int:
        clock.pass_by(LOOK_SECONDS)
        await certificates.renew()
        return (await shown(port, other.certificate)).serial_number

    try:
        assert await looked() == serial(first.certificate)
        # Half of a change, then the other half.
        crt.write_bytes(second.certificate)
        assert await looked() == serial(first.certificate)
        assert "cannot renew certificate tls-cert-file" in caplog.text
        key.write_bytes(second.key)
        assert await looked() == serial(second.certificate)
        crt.unlink()
        assert await looked() == serial(second.certificate)
        rsa_pair(other).write(crt, key)
        assert await looked() == serial(second.certificate)
        assert "restart the process to use it" in caplog.text
        first.write(crt, key)
        assert await looked() == serial(first.certificate)
    finally:
        await server.stop()


async def test_the_ca_of_clients_is_loaded_again_when_its_file_changes_and_a_broken_one_is_not(
    tmp_path: Path, clock: CertificateClock, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "clients.crt"
    with pytest.raises(CertificateError, match=r"--client-ca-file: cannot use .*clients\.crt"):
        ClientAuthority.of(HttpsSettings(client_ca_file=str(path)), certificates)
    first, second = CertificateAuthority.create("first"), CertificateAuthority.create("second")
    alice, bob = first.issue_client("alice"), second.issue_client("bob")
    path.write_bytes(first.certificate)
    clients = ClientAuthority.of(HttpsSettings(client_ca_file=str(path)), certificates)
    identities = clients.identities()

    async def who(request: Request) -> Reply:
        user = identities.authenticate_request(request)
        return Response(200, user.name.encode() if user is not None else b"nobody")

    server = https_server(
        who,
        HttpsSettings(),
        limits=Limits(watches=0),
        certificates=certificates,
        serving=certificates.serving("serving", NAMES),
        clients=clients,
        metrics=Metrics(),
    )
    port = await server.start("127.0.0.1", 0)
    ca = certificates.authority.certificate

    async def looked() -> None:
        clock.pass_by(LOOK_SECONDS)
        await certificates.renew()

    async def asked(upstream: Upstream) -> bytes:
        try:
            return (await upstream.exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).body
        except UpstreamError as error:
            assert not error.sent
            return b"refused"

    def connecting(pair: Pair) -> Upstream:
        return Upstream(f"https://127.0.0.1:{port}", pair_client_context(ca, pair))

    async def once(pair: Pair) -> bytes:
        upstream = connecting(pair)
        try:
            return await asked(upstream)
        finally:
            upstream.close()

    connected = connecting(alice)
    try:
        assert (await asked(connected), await once(alice), await once(bob)) == (b"alice", b"alice", b"refused")
        path.write_bytes(b"-----BEGIN CERTIFICATE-----\nbroken")
        await looked()
        assert "cannot renew certificate client-ca-file" in caplog.text
        assert (await asked(connected), await once(alice), await once(bob)) == (b"alice", b"alice", b"refused")
        path.write_bytes(second.certificate)
        await looked()
        assert (await once(alice), await once(bob)) == (b"refused", b"bob")
        # Who is connected stays so, as nobody.
        assert await asked(connected) == b"nobody"
        assert connected.opened == 1
    finally:
        connected.close()
        await server.stop()


def rsa_pair(authority: CertificateAuthority) -> Pair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signer = serialization.load_pem_private_key(authority.pair.key, None)
    issuer = x509.load_pem_x509_certificate(authority.certificate).subject
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer, issuer, key.public_key(), 7, now, now + timedelta(days=1))
    pem = builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Pair(pem, private)


def test_a_pair_that_does_not_fit_changes_nothing_of_a_context() -> None:
    authority = CertificateAuthority.create()
    first, second = authority.issue_serving(NAMES), authority.issue_serving(NAMES)
    context = pair_server_context(first)
    with pytest.raises(CertificateError):
        load_pair(context, Pair(second.certificate, first.key))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=authority.certificate.decode())
    mine = client.wrap_bio(outgoing, incoming, server_hostname="127.0.0.1")
    theirs = context.wrap_bio(incoming, outgoing, server_side=True)
    for _ in range(4):
        for side in (mine, theirs):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    found = mine.getpeercert(True)
    assert found is not None
    assert x509.load_der_x509_certificate(found).serial_number == serial(first.certificate)


# Servers and clients


async def test_an_https_server_shows_the_new_one_to_who_connects_anew_and_keeps_who_is_connected() -> None:
    clock = CertificateClock(YEAR_SECONDS * 0.61)
    certificates = Certificates(CertificateAuthority.create(now=clock))
    ca = certificates.authority.certificate
    serving = certificates.serving("serving", NAMES)
    server = https_server(
        hello,
        HttpsSettings(),
        limits=Limits(watches=0),
        certificates=certificates,
        serving=serving,
        clients=ClientAuthority(ca),
        metrics=Metrics(),
    )
    port = await server.start("127.0.0.1", 0)
    upstream = Upstream(f"https://127.0.0.1:{port}", pair_client_context(ca, certificates.authority.issue_client("x")))
    try:
        await upstream.exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        old = serial(serving.pair.certificate)
        assert (await shown(port, ca)).serial_number == old
        clock.pass_by(YEAR_SECONDS * 0.61)
        await certificates.renew()
        assert (await shown(port, ca)).serial_number == serial(serving.pair.certificate) != old
        await upstream.exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert upstream.opened == 1
    finally:
        upstream.close()
        await server.stop()
        await certificates.stop()


async def test_no_request_begins_on_a_connection_that_was_made_with_a_former_certificate() -> None:
    authority = CertificateAuthority.create()
    clients = [authority.issue_client("x") for _ in range(2)]
    used: list[int] = []
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Reply:
        assert request.client_certificate is not None
        used.append(x509.load_der_x509_certificate(request.client_certificate).serial_number)
        if request.path == "/wait":
            arrived.set()
            await go_on.wait()
        return Response(200, b"{}")

    server = http_server(handler, tls=pair_server_context(authority.issue_serving(NAMES), client_ca_pem=authority.certificate))
    port = await server.start("127.0.0.1", 0)
    contexts = [pair_client_context(authority.certificate, pair) for pair in clients]
    upstream = Upstream(f"https://127.0.0.1:{port}", contexts[0])
    ask, wait = (b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in (b"", b"wait"))
    try:
        busy = asyncio.ensure_future(upstream.exchange(wait))
        await arrived.wait()
        await upstream.exchange(ask)
        assert (upstream.connections, upstream.idle) == (2, 1)
        upstream.renew(contexts[1])
        assert upstream.idle == 0
        await upstream.exchange(ask)
        go_on.set()
        assert (await busy).status == 200
        assert upstream.idle == 1
        await upstream.exchange(ask)
        assert upstream.opened == 3
        old, new = (serial(pair.certificate) for pair in clients)
        assert used == [old, old, new, new]
    finally:
        upstream.close()
        await server.stop()
