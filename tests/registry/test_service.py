"""The registry over gRPC: real sockets, real certificates, and the client of the library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from registry.service import LIMITS, SERVICE, RegistryService
from registry.wiring import Registry
from tenantry._proto.tenantry.registry.v1 import registry_pb2 as pb
from tenantry._proto.tenantry.registry.v1 import registry_pb2_grpc as stubs
from tenantry.client.registry import RegistryClient, RegistryError
from tenantry.http.certificates import CertificateAuthority
from tenantry.rpc.server import RpcLimits
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rpc import RpcOnSocket, details, rpc_on_socket
from tests.support.shards import FleetInMemory
from tests.support.waiting import eventually


class Service:
    """A registry behind a socket."""

    def __init__(self, fleet: FleetInMemory, authority: CertificateAuthority) -> None:
        self.fleet = fleet
        self.authority = authority
        self.stack = AsyncExitStack()
        self.replicas: list[RpcOnSocket] = []

    async def start(self, limits: RpcLimits = LIMITS, **settings: Any) -> str:
        """One more replica; its address."""
        service = RegistryService(
            await self.fleet.registry(),
            cell=self.fleet.store.cell,
            may_change=lambda name: name.startswith("tenantry-"),
            **settings,
        )
        served = await self.stack.enter_async_context(
            rpc_on_socket({SERVICE: service.add_to}, authority=self.authority, limits=limits)
        )
        self.replicas.append(served)
        return served.address

    @property
    def addresses(self) -> list[str]:
        return [served.address for served in self.replicas]

    async def client(self, name: str = "tenantry-test", addresses: list[str] | None = None) -> RegistryClient:
        pair = self.authority.issue_client(name)
        client = RegistryClient(
            addresses or self.addresses, ca=self.authority.certificate, certificate=pair.certificate, key=pair.key
        )
        self.stack.push_async_callback(client.close)
        return client

    def channel(self) -> grpc.aio.Channel:
        return self.replicas[0].channel()


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create()


@pytest.fixture
async def service(fleet: FleetInMemory, authority: CertificateAuthority) -> AsyncIterator[Service]:
    service = Service(fleet, authority)
    await service.start()
    yield service
    await service.stack.aclose()


async def until(updates: AsyncIterator[Any], condition: Callable[[Any], object]) -> Any:
    """The first update that fits."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for update in updates:
            if condition(update):
                return update
    raise AssertionError("the watch ended")


async def test_lists_show_what_the_map_shows(service: Service, fleet: FleetInMemory) -> None:
    client = await service.client()
    one = await fleet.join("one")
    await eventually(fleet.placed)
    opened = await client.open_range({"region": "eu"}, fleet.map.version)
    await fleet.map.reached(opened.version)
    await eventually(fleet.placed)
    await fleet.report("one", 7)
    await eventually(lambda: fleet.registries[0].loads.of("root").tenants)
    first, root = await client.ranges()
    assert (first.name, first.start, first.end, dict(first.labels)) == ("range-2", "000", "001", {"region": "eu"})
    assert (root.owner, root.shard, root.shard_url, root.generation) == (one.info.uid, "one", "https://one.test", 1)
    assert root.load.tenants == 7
    (shard,) = await client.shards()
    assert (shard.name, shard.uid, shard.url, shard.draining, shard.ranges) == ("one", one.info.uid, "https://one.test", False, 2)
    assert shard.load.tenants == 14


async def test_ranges_come_in_pages(service: Service, fleet: FleetInMemory) -> None:
    await fleet.join("one")
    await eventually(fleet.placed)
    await fleet.open(fleet.registries[0], 4)
    async with service.channel() as channel:
        stub = stubs.RegistryStub(channel)
        pages, token = [], ""
        while True:
            page = await stub.ListRanges(pb.ListRangesRequest(page_size=2, page_token=token), timeout=5)
            pages.append([r.name for r in page.ranges])
            token = page.next_page_token
            if not token:
                break
        assert pages == [["range-2", "range-3"], ["range-4", "range-5"], ["root"]]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListRanges(pb.ListRangesRequest(page_size=1001), timeout=5)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_watches_show_everything_and_then_changes(service: Service, fleet: FleetInMemory) -> None:
    client = await service.client()
    ranges, shards = client.watch_ranges(), client.watch_shards()
    await fleet.join("one")
    await until(ranges, lambda u: any(r.name == "root" and r.shard == "one" for r in u.ranges))
    await until(shards, lambda u: any(s.name == "one" and s.ranges == 1 for s in u.shards))
    await client.drain("one")
    update = await until(shards, lambda u: any(s.draining for s in u.shards))
    assert not update.full
    await fleet.join("two")
    await until(ranges, lambda u: any(r.name == "root" and r.shard == "two" and r.generation == 2 for r in u.ranges))
    gone = fleet.members["one"].info.uid
    await fleet.kill("one")
    await until(shards, lambda u: gone in u.removed)


async def test_watch_resumes_at_another_replica(service: Service, fleet: FleetInMemory) -> None:
    other = await service.start()
    client = await service.client(addresses=[service.addresses[0], other])
    client._channels._at = 0
    updates = client.watch_ranges()
    assert (await until(updates, lambda u: u.full)).full
    await service.replicas[0].server.stop(0)
    await fleet.join("one")
    update = await until(updates, lambda u: any(r.shard == "one" for r in u.ranges))
    assert not update.full, "it went on where it was"


async def test_watch_with_a_version_of_another_cell_gets_everything(service: Service, fleet: FleetInMemory) -> None:
    await fleet.join("one")
    await eventually(fleet.placed)
    async with service.channel() as channel:
        stub = stubs.RegistryStub(channel)
        known = pb.WatchRangesRequest(known_version=fleet.map.version, known_cell=99)
        stream = stub.WatchRanges(known, timeout=5)
        assert (await stream.read()).full
        stream.cancel()


async def test_quiet_watches_get_heartbeats_and_too_many_are_refused(
    fleet: FleetInMemory, authority: CertificateAuthority
) -> None:
    service = Service(fleet, authority)
    await service.start(RpcLimits(streams=1), heartbeat_seconds=0.02)
    await eventually(fleet.map.ranges)
    async with service.stack, service.channel() as channel:
        stub = stubs.RegistryStub(channel)
        stream = stub.WatchRanges(pb.WatchRangesRequest(), timeout=5)
        first = await stream.read()
        while (update := await stream.read()).ranges:
            pass
        assert update.version >= first.version and not update.full
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.WatchShards(pb.WatchShardsRequest(), timeout=5).read()
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        stream.cancel()


async def test_drain_and_undrain(service: Service, fleet: FleetInMemory) -> None:
    client = await service.client()
    await fleet.join("one")
    await eventually(fleet.placed)
    await eventually(fleet.registries[0].map.shards)
    assert (await client.drain("one")).draining
    assert not (await client.undrain("one")).draining
    with pytest.raises(RegistryError, match="no shard with the name") as refused:
        await client.drain("two")
    assert refused.value.code == grpc.StatusCode.NOT_FOUND
    with pytest.raises(RegistryError, match="shard is empty"):
        await client.drain("")
    await fleet.join("one")
    await eventually(lambda: len(fleet.registries[0].map.shards()) == 2)
    with pytest.raises(RegistryError) as refused:
        await client.drain("one")
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "AMBIGUOUS_NAME")


async def test_refusals_carry_standard_details(service: Service, fleet: FleetInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    await eventually(fleet.map.ranges)
    async with service.channel() as channel:
        stub = stubs.RegistryStub(channel)

        async def refusal(request: pb.OpenRangeRequest) -> tuple[grpc.StatusCode, list[str]]:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.OpenRange(request, timeout=5)
            return refused.value.code(), sorted(details(refused.value))

        version = fleet.map.version
        no_shard = await refusal(pb.OpenRangeRequest(after_version=version))
        assert no_shard == (grpc.StatusCode.UNAVAILABLE, ["ErrorInfo", "RetryInfo"])
        bad_label = await refusal(pb.OpenRangeRequest(labels={"a b": "c"}, after_version=version))
        assert bad_label == (grpc.StatusCode.INVALID_ARGUMENT, ["BadRequest"])
        long_label = await refusal(pb.OpenRangeRequest(labels={"\N{GRINNING FACE}" * 100_000: "v"}))
        assert long_label == (grpc.StatusCode.INVALID_ARGUMENT, ["BadRequest"])
        many = await refusal(pb.OpenRangeRequest(labels={f"l{n}": "" for n in range(65)}))
        assert many == (grpc.StatusCode.INVALID_ARGUMENT, ["BadRequest"])
        # The call's own deadline ends the wait for what does not come.
        never = asyncio.Event()
        monkeypatch.setattr(Registry, "open_range", lambda *_: never.wait())
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await stub.OpenRange(pb.OpenRangeRequest(after_version=version), timeout=0.2)
        assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_what_is_refused_is_quoted_in_part_only(service: Service, fleet: FleetInMemory) -> None:
    """Whoever sends a megabyte gets the refusal, not a broken stream."""
    client = await service.client()
    for call in (client.drain, client.undrain):
        with pytest.raises(RegistryError, match=r"100\d{4} characters") as refused:
            await call("n" * 1_000_000)
        assert refused.value.code == grpc.StatusCode.NOT_FOUND


async def test_a_page_token_of_nobody_is_refused(service: Service, fleet: FleetInMemory) -> None:
    async with service.channel() as channel:
        stub = stubs.RegistryStub(channel)
        for token in ("\x00", "~", "R", "root:a"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.ListRanges(pb.ListRangesRequest(page_token=token), timeout=5)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_strangers_may_look_and_not_touch(service: Service, fleet: FleetInMemory) -> None:
    client = await service.client("ada")
    await eventually(fleet.map.ranges)
    assert await client.ranges()
    for call in (client.drain("one"), client.undrain("one"), client.open_range({}, 0)):
        with pytest.raises(RegistryError, match="certificate of ada does not") as refused:
            await call
        assert refused.value.code == grpc.StatusCode.PERMISSION_DENIED
    other = CertificateAuthority.create().issue_client("tenantry-test")
    stranger = RegistryClient(service.addresses, ca=service.authority.certificate, certificate=other.certificate, key=other.key)
    async with stranger:
        with pytest.raises(RegistryError):
            await stranger.shards(deadline_seconds=0.5)


async def test_calls_go_on_at_another_replica(service: Service, fleet: FleetInMemory) -> None:
    await service.start()
    client = await service.client()
    await fleet.join("one")
    await eventually(fleet.placed)
    await eventually(lambda: all(registry.map.shards() for registry in fleet.registries))
    await service.replicas[0].server.stop(0)
    for _ in range(4):
        assert len(await client.shards()) == 1
    version = fleet.map.version
    opened = await asyncio.gather(*(client.open_range({}, version) for _ in range(5)))
    assert len(set(opened)) == 1


async def test_health_and_reflection(service: Service) -> None:
    async with service.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        async for listed in reflection.ServerReflectionInfo(iter([request]), timeout=5):
            assert SERVICE in {s.name for s in listed.list_services_response.service}
