"""A whole gateway over a store in memory: HTTPS, gRPC with health and reflection, probes, and an end without broken answers."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import aiohttp
import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway.main import Gateway
from gateway.settings import GatewaySettings
from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server
from tenantry.client import Client, Credentials
from tenantry.http.certificates import CertificateAuthority, pair_server_context
from tenantry.http.messages import Reply, Response
from tenantry.placement.map_rows import RangeRow, SessionRow, encode
from tenantry.storage.memory import MemoryStore
from tenantry.storage.secrets import shared_secret
from tenantry.storage.store import Put
from tests.support.patience import PATIENCE_SECONDS


@asynccontextmanager
async def running(
    tmp_path: Path, authority: CertificateAuthority | None = None
) -> AsyncIterator[tuple[Gateway, MemoryStore, CertificateAuthority]]:
    store = MemoryStore()
    authority = authority or CertificateAuthority.create()
    settings = GatewaySettings(
        bind_address="127.0.0.1", secure_port=0, gateway_port=0, health_port=0, access_directory=str(tmp_path / "access")
    )
    gateway = Gateway(settings, store, authority)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await gateway.start()
        try:
            yield gateway, store, authority
        finally:
            await gateway.stop()
            await store.close()


def credentials(authority: CertificateAuthority) -> Credentials:
    pair = authority.issue_client("somebody")
    return Credentials(authority.certificate, pair.certificate, pair.key)


async def own_root(store: MemoryStore, url: str) -> None:
    lease = await store.grant_lease(60)
    await store.commit([], [Put(b"/sessions/u1", encode(SessionRow("shard-1", url, lease)), 0, lease)], [])
    await store.commit([], [Put(b"/ranges/root", encode(RangeRow("r", "t", 1000, {}, "u1", 1)))], [])


async def test_requests_reach_the_owner_that_the_store_names(tmp_path: Path) -> None:
    async def answer(request: Request) -> Reply:
        return Response(200, request.path.encode(), "text/plain")

    async with running(tmp_path) as (gateway, store, authority), aiohttp.ClientSession() as session:
        shard = http_server(
            answer, tls=pair_server_context(authority.issue_serving(["127.0.0.1"]), client_ca_pem=authority.certificate)
        )
        port = await shard.start("127.0.0.1", 0)
        probes = f"http://127.0.0.1:{gateway.health_port}"
        async with session.get(f"{probes}/readyz") as ready, session.get(f"{probes}/livez") as live:
            assert (ready.status, live.status) == (500, 200)
        async with Client([f"127.0.0.1:{gateway.lookup_port}"], credentials(authority)) as client:
            maps = client.maps()
            assert (await anext(maps)).ranges == ()
            await own_root(store, f"https://127.0.0.1:{port}")
            async for known in maps:
                if known.ranges and known.ranges[0].shard:
                    break
            location = await client.ask("root")
            assert (location.shard, location.url) == ("shard-1", "https://localhost:6443/clusters/root")
            tls = ssl.create_default_context(cadata=authority.certificate.decode())
            async with session.get(f"https://127.0.0.1:{gateway.port}/clusters/root/api", ssl=tls) as got:
                assert await got.text() == "/clusters/root/api"
        async with session.get(f"{probes}/readyz") as ready, session.get(f"{probes}/metrics") as metrics:
            assert ready.status == 200
            assert "tenantry_gateway_upstream_connections" in await metrics.text()
        access = json.loads((tmp_path / "access" / "run.json").read_text())
        assert access["gateway"].endswith(str(gateway.lookup_port))
        await shard.stop()


async def test_health_and_reflection_tell_what_is_served(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, _, authority):
        who = credentials(authority)
        tls = grpc.ssl_channel_credentials(who.ca, who.key, who.certificate)
        async with grpc.aio.secure_channel(f"127.0.0.1:{gateway.lookup_port}", tls) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(service="tenantry.gateway.v1.Gateway"))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            asking = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                iter(
                    [
                        reflection_pb2.ServerReflectionRequest(list_services=""),
                        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tenantry.gateway.v1.Gateway"),
                    ]
                )
            )
            listed = await asking.read()
            assert {s.name for s in listed.list_services_response.service} == {
                "tenantry.gateway.v1.Gateway",
                "grpc.health.v1.Health",
                "grpc.reflection.v1alpha.ServerReflection",
            }
            assert (await asking.read()).file_descriptor_response.file_descriptor_proto


async def test_callers_without_a_certificate_of_ours_are_not_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateway, _, authority):
        stranger = CertificateAuthority.create().issue_client("tenantry-gateway")
        who = Credentials(authority.certificate, stranger.certificate, stranger.key)
        async with Client([f"127.0.0.1:{gateway.lookup_port}"], who, follow=False, timeout_seconds=2) as client:
            with pytest.raises(Exception, match="no answer"):
                await client.ranges()


async def test_a_shared_secret_is_made_once() -> None:
    store = MemoryStore()
    made = await asyncio.gather(*(shared_secret(store, "x", partial(str(n).encode)) for n in range(20)))
    assert len(set(made)) == 1
    await store.close()


async def test_every_certificate_of_a_gateway_is_renewed_while_it_serves(tmp_path: Path) -> None:
    # What was issued then has two fifths of its life left by now.
    offset = timedelta(days=-365 * 0.61)
    authority = CertificateAuthority.create(now=lambda: datetime.now(UTC) + offset)
    callers: list[int] = []

    async def answer(request: Request) -> Reply:
        assert request.client_certificate is not None
        callers.append(x509.load_der_x509_certificate(request.client_certificate).serial_number)
        return Response(200, b"{}")

    async def shown(port: int) -> int:
        """The serial number of what a server shows to who connects now."""
        context = ssl.create_default_context(cadata=authority.certificate.decode())
        context.set_alpn_protocols(["h2", "http/1.1"])
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        found = x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(True))
        writer.close()
        return found.serial_number

    async with running(tmp_path, authority) as (gateway, store, _):
        shard = http_server(
            answer, tls=pair_server_context(authority.issue_serving(["127.0.0.1"]), client_ca_pem=authority.certificate)
        )
        await own_root(store, f"https://127.0.0.1:{await shard.start('127.0.0.1', 0)}")
        pki = tmp_path / "access" / "pki"

        async def serials() -> tuple[int, int, int, int]:
            tls = ssl.create_default_context(cadata=authority.certificate.decode())
            # Every time a client that is not known yet.
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"https://127.0.0.1:{gateway.port}/clusters/root/api", ssl=tls) as got,
            ):
                assert got.status == 200
            who = Credentials.read(pki / "ca.crt", pki / "lookup-client.crt", pki / "lookup-client.key")
            async with Client([f"127.0.0.1:{gateway.lookup_port}"], who) as client:
                assert (await client.ask("root")).shard == "shard-1"
            written = x509.load_pem_x509_certificate(who.certificate).serial_number
            return callers[-1], await shown(gateway.port), await shown(gateway.lookup_port), written

        before = await serials()
        assert before == await serials()
        offset = timedelta()
        await gateway.certificates.renew()
        after = await serials()
        assert all(new != old for new, old in zip(after, before, strict=True))
        await shard.stop()
