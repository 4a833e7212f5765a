"""A gRPC server and its clients go on over a renewal of their certificates, without a restart."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import grpc
import pytest

from tenantry._proto.tenantry.registry.v1 import registry_pb2 as pb
from tenantry._proto.tenantry.registry.v1 import registry_pb2_grpc as stubs
from tenantry.client.registry import RegistryClient
from tenantry.http.certificates import CertificateAuthority
from tenantry.http.renewal import Certificate, Certificates
from tenantry.rpc.server import serve
from tests.support.certificates import NAMES, YEAR_SECONDS, CertificateClock, serial, shown
from tests.support.rpc import rpc_on_socket


class Shards(stubs.RegistryServicer):
    """A registry that only tells shards. Each call is told the certificate's serial number."""

    def __init__(self) -> None:
        self.callers: list[int] = []
        self.more = asyncio.Event()

    async def ListShards(self, _: Any, context: Any) -> pb.ListShardsResponse:
        self.callers.append(serial(context.auth_context()["x509_pem_cert"][0]))
        return pb.ListShardsResponse()

    async def WatchShards(self, _: Any, context: Any) -> Any:
        yield pb.ShardsUpdate(full=True, version=1)
        await self.more.wait()
        yield pb.ShardsUpdate(full=True, version=2)
        await asyncio.Event().wait()


async def test_grpc_servers_and_clients_go_on_over_a_renewal() -> None:
    clock = CertificateClock(YEAR_SECONDS * 0.61)
    certificates = Certificates(CertificateAuthority.create(now=clock))
    ca = certificates.authority.certificate
    serving, client = certificates.serving("serving", NAMES), certificates.client("client", "x")
    shards = Shards()
    server = await serve(
        {"tenantry.registry.v1.Registry": partial(stubs.add_RegistryServicer_to_server, shards)},
        "127.0.0.1:0",
        ca=ca,
        certificate=serving.pair.certificate,
        key=serving.pair.key,
    )
    serving.follow(server.renew)
    registries = RegistryClient([f"127.0.0.1:{server.port}"], ca=ca, certificate=client.pair.certificate, key=client.pair.key)
    client.follow(lambda pair: registries.renew(pair.certificate, pair.key))

    async def serials() -> tuple[int, int]:
        """What the server shows, and what the client does."""
        await registries.shards()
        return (await shown(server.port, ca, client.pair)).serial_number, shards.callers[-1]

    def serials_of(*those: Certificate) -> tuple[int, ...]:
        return tuple(serial(one.pair.certificate) for one in those)

    watch = registries.watch_shards()
    try:
        async with asyncio.timeout(30):
            assert (await anext(watch)).version == 1
            first = serials_of(serving, client)
            assert await serials() == first
            clock.pass_by(YEAR_SECONDS * 0.61)
            await certificates.renew()
            assert set(serials_of(serving, client)).isdisjoint(first)
            assert await serials() == serials_of(serving, client)
            shards.more.set()
            assert (await anext(watch)).version == 2
            assert len(registries._channels._former) == 1, "the watch's connections"
            await watch.aclose()  # type: ignore[attr-defined]
            assert not registries._channels._former
            await registries.shards()
    finally:
        await registries.close()
        await server.stop(0)
        await certificates.stop()


async def test_a_grpc_server_takes_nobody_without_a_certificate_after_a_renewal() -> None:
    async with rpc_on_socket({}) as served:
        authority, server = served.authority, served.server
        server.renew(authority.issue_serving(NAMES))
        for pair in (None, CertificateAuthority.create("another").issue_client("x")):
            credentials = grpc.ssl_channel_credentials(authority.certificate, *((pair.key, pair.certificate) if pair else ()))
            async with grpc.aio.secure_channel(served.address, credentials) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
