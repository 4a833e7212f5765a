"""The gRPC look-ups and their client, over real sockets with TLS."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from gateway.lookups import SERVICE, Lookups
from gateway.map_feed import STEPS, MapFeed
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2 as pb
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2_grpc as stubs
from tenantry.client import Client, Credentials, InvalidArgument, Location, NoOwner, NotFound, SyncClient, Unreachable
from tenantry.client.tenant_map import Gap, TenantMap, whole
from tenantry.http.certificates import CertificateAuthority
from tenantry.placement.catalog import Catalog
from tenantry.placement.directory import Directory
from tenantry.placement.map_rows import RangeRow, SessionRow, encode
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.rpc.server import RpcLimits, RpcServer, serve
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Delete, Put
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import eventually

URL = "https://tenantry.test:6443"
ORG, TEAM, LOST = "aaa0000000000001", "bbb0000000000001", "ccc0000000000001"


@dataclass
class World:
    """A store, a map over it, and one gateway's look-ups."""

    store: MemoryStore
    map: RangeMap
    feed: MapFeed
    lookups: Lookups
    server: RpcServer
    authority: CertificateAuthority

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    @property
    def credentials(self) -> Credentials:
        pair = self.authority.issue_client("tenantry-lookup")
        return Credentials(self.authority.certificate, pair.certificate, pair.key)

    def client(self, **more: Any) -> Client:
        return Client([self.address], self.credentials, **more)

    @asynccontextmanager
    async def stub(self) -> AsyncIterator[Any]:
        """With a certificate of its own."""
        who = self.credentials
        tls = grpc.ssl_channel_credentials(who.ca, who.key, who.certificate)
        async with grpc.aio.secure_channel(self.address, tls) as channel:
            yield stubs.GatewayStub(channel)

    async def give(self, name: str, uid: str, generation: int, interval: tuple[str, str] | None = None) -> int:
        """Returns the version of the map that shows it."""
        start, end = interval or INTERVALS[name]
        version = await self.store.commit(
            [], [Put(f"/ranges/{name}".encode(), encode(RangeRow(start, end, 1000, {}, uid, generation)))], []
        )
        await self.map.reached(version)
        return version

    async def shard(self, uid: str, name: str) -> None:
        put = Put(f"/sessions/{uid}".encode(), encode(SessionRow(name, f"https://{name}:8443", 1)))
        await self.map.reached(await self.store.commit([], [put], []))


INTERVALS = {"range-2": ("aaa", "aab"), "range-3": ("bbb", "bbc"), "range-4": ("ccc", "ccd"), "root": ("r", "t")}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    store = MemoryStore()
    workspaces = [("root", "org", ORG), (ORG, "team", TEAM), ("root", "lost", LOST)]
    for parent, name, cluster in workspaces:
        key = f"/catalog/tenancy.kcp.io/workspaces/{parent}/{name}".encode()
        await store.commit([], [Put(key, b'{"cluster":"%b"}' % cluster.encode())], [])
    catalog, range_map, urls = Catalog(store), RangeMap(store), Urls(URL)
    await range_map.start()
    await catalog.start()
    directory = Directory(catalog, range_map, URL)
    directory.start()
    feed = MapFeed(range_map, urls, cell=store.cell, heartbeat_seconds=0.05)
    feed.start()
    lookups = Lookups(
        directory,
        urls=urls,
        urls_of=lambda cluster, export: [f"{URL}/x"] if (cluster, export) == (ORG, "cowboys") else None,
        tenants=lambda info: directory.tenants(info.name),
        feed=feed,
    )
    authority = CertificateAuthority.create()
    serving = authority.issue_serving(["127.0.0.1"])
    server = await serve(
        {SERVICE: lookups.add_to},
        "127.0.0.1:0",
        ca=authority.certificate,
        certificate=serving.certificate,
        key=serving.key,
        limits=RpcLimits(calls=8, streams=40),
    )
    world = World(store, range_map, feed, lookups, server, authority)
    await world.shard("u1", "shard-1")
    await world.shard("u2", "shard-2")
    for name, uid in (("range-2", "u1"), ("range-3", "u2"), ("root", "u1"), ("range-4", "u9")):
        await world.give(name, uid, 1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        yield world
    await feed.stop()
    await server.stop(0)
    directory.stop()
    await catalog.stop()
    await range_map.stop()
    await store.close()


def details(error: Any) -> dict[str, Any]:
    """google.rpc's details of an error, by the names of their types."""
    found = {}
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    for kind in (
        error_details_pb2.ErrorInfo,
        error_details_pb2.RetryInfo,
        error_details_pb2.ResourceInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.QuotaFailure,
    ):
        for packed in status.details:
            message = kind()
            if packed.Unpack(message):
                found[kind.__name__] = message
    return found


async def test_resolves_paths_and_ids(world: World) -> None:
    async with world.client(follow=False) as client:
        by_path = await client.resolve("root:org:team")
        assert by_path == Location(
            TEAM, "range-3", "shard-2", 1, f"{URL}/clusters/{TEAM}", "https://shard-2:8443", "root:org:team"
        )
        assert await client.resolve(TEAM) == by_path
        assert (await client.resolve("root")).range == "root"


async def test_refusals_carry_what_is_needed_to_act(world: World) -> None:
    async with world.stub() as stub:

        async def refused(tenant: str, code: grpc.StatusCode, **more: Any) -> dict[str, Any]:
            with pytest.raises(grpc.RpcError) as caught:
                await stub.Resolve(pb.ResolveRequest(tenant=tenant, **more), timeout=5)
            assert caught.value.code() is code
            return details(caught.value)

        for unknown in ("root:nobody", "zzz0000000000001", "aaa0000000000002"):
            found = await refused(unknown, grpc.StatusCode.NOT_FOUND)
            assert found["ResourceInfo"].resource_name == unknown
        for malformed in ("", "Root:Org", "a::b"):
            found = await refused(malformed, grpc.StatusCode.INVALID_ARGUMENT)
            (violation,) = found["BadRequest"].field_violations
            assert violation.field == "tenant" and "root:org:team" in violation.description, "it says what would be right"
        found = await refused("root:lost", grpc.StatusCode.UNAVAILABLE)
        assert found["ErrorInfo"].reason == "NO_OWNER" and found["RetryInfo"].retry_delay.ToMilliseconds() > 0


@pytest.mark.parametrize("tenant", ["x" * 100_000, "root:" * 20_000, "é" * 50_000, "root:" + ":".join(["team"] * 10_000)])
async def test_a_long_question_has_a_short_answer(world: World, tenant: str) -> None:
    """Clients take no more than some KiB of trailers."""
    async with world.stub() as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Resolve(pb.ResolveRequest(tenant=tenant))
        assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
        assert sum(len(key) + len(value) for key, value in caught.value.trailing_metadata()) < 4096
        assert re.search(r"… \(\d+ characters\)$", str(caught.value.details()))
        details(caught.value)


async def test_a_batch_repeats_little_of_a_long_name(world: World) -> None:
    async with world.stub() as stub:
        answer = await stub.BatchResolve(pb.BatchResolveRequest(tenants=["x" * 100_000] * 10))
        assert len(answer.failures) == 10 and answer.ByteSize() < 10 * 1024


async def test_a_bug_shows_nothing_of_the_inside(world: World, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def broken(tenant: str) -> None:
        raise KeyError("a secret of the inside")

    monkeypatch.setattr(world.lookups, "_locate", broken)
    async with world.stub() as stub:
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Resolve(pb.ResolveRequest(tenant=TEAM))
            assert caught.value.code() is grpc.StatusCode.INTERNAL
            assert "secret" not in str(caught.value.details())
            assert details(caught.value)["ErrorInfo"].reason == "INTERNAL"
    assert "a secret of the inside" in caplog.text


async def test_a_newer_generation_is_waited_for(world: World) -> None:
    async with world.client(follow=False) as client:
        asking = asyncio.create_task(client.resolve(TEAM, newer_than=1))
        await eventually(lambda: bool(world.lookups._changes))
        await world.give("range-3", "u1", 2)
        assert (await asking).shard == "shard-1"
    async with world.client(follow=False, timeout_seconds=3) as client:
        with pytest.raises(NoOwner) as caught:
            await client.resolve(TEAM, newer_than=2)
        assert caught.value.reason == "STALE_GENERATION" and caught.value.retry_after_seconds


async def test_batches_answer_each_tenant_for_itself(world: World) -> None:
    tenants = [TEAM, "root:org", "root:nobody", "A b", "root:lost", ORG, "root:org:team", "zzz0000000000001"]
    async with world.client(follow=False) as client:
        found = await client.resolve_many(tenants)
        kinds = [type(item) for item in found]
        assert kinds == [Location, Location, NotFound, InvalidArgument, NoOwner, Location, Location, NotFound]
        assert found[0] == found[6] == (await client.ask(TEAM))._replace(path="")
        assert await client.resolve_many([ORG] * 25_000) == [(await client.ask(ORG))._replace(path="")] * 25_000
        assert await client.resolve_many([]) == []
    async with world.stub() as stub:
        answer = await stub.BatchResolve(pb.BatchResolveRequest(tenants=[TEAM, ORG] * 500))
        assert (len(answer.places), len(answer.place), len(answer.clusters)) == (2, 1000, 0)
        with pytest.raises(grpc.RpcError) as caught:
            await stub.BatchResolve(pb.BatchResolveRequest(tenants=[ORG] * 10_001))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_client_resolves_ids_from_its_map(world: World) -> None:
    async with world.client() as client:
        await client.ready()
        assert client.locate(TEAM) == (await client.ask(TEAM))._replace(path="")
        assert client.locate("zzz0000000000001") is None
        version = await world.give("range-3", "u1", 2)
        async for known in client.maps():
            if known.version >= version:
                break
        assert client.locate(TEAM) == (await client.ask(TEAM))._replace(path="")
        # Without a living owner it is the gateway's to say so.
        with pytest.raises(NoOwner):
            await client.resolve(LOST)


async def test_the_map_of_a_follower_is_the_map(world: World) -> None:
    """Many changes of every kind: what a follower has in the end is what there is."""
    chance = random.Random(7)
    async with world.client() as client:
        await client.ready()
        for number in range(300):
            name = f"range-{10 + chance.randrange(20)}"
            if chance.random() < 0.15:
                await world.store.commit([], [], [Delete(f"/ranges/{name}".encode())])
            elif chance.random() < 0.15:
                await world.store.commit([], [], [Delete(f"/sessions/u{chance.randrange(5)}".encode())])
            elif chance.random() < 0.2:
                uid = chance.randrange(5)
                await world.shard(f"u{uid}", f"shard-{uid}")
            else:
                prefix = f"m{name[6:]}"
                await world.give(name, f"u{chance.randrange(5)}", number, (prefix, prefix + "x"))
        last = await world.give("root", "u1", 1000)
        async for known in client.maps():
            if known.version >= last:
                break
        assert same(known, world.map)
        assert client.resyncs == 0


def same(known: TenantMap, there: RangeMap) -> bool:
    left = [(r.name, r.start, r.end, r.shard, r.owner, r.generation) for r in known.ranges]
    right = [(r.name, r.start, r.end, r.shard, r.owner, r.generation) for r in there.ranges()]
    assert left == right
    assert sorted((s.name, s.uid, s.url) for s in known.shards.values()) == sorted((s.name, s.uid, s.url) for s in there.shards())
    for info in there.ranges():
        found = known.locate(info.start)
        assert found is not None and (found.range, found.shard) == (info.name, info.shard)
        assert found.shard_url == next((s.url for s in there.shards() if s.uid == info.owner), "")
    return True


async def read_until(call: Any, version: int) -> list[pb.MapUpdate]:
    updates: list[pb.MapUpdate] = []
    while not updates or updates[-1].version < version:
        updates.append(await call.read())
    return updates


async def test_a_follower_that_knows_a_version_gets_what_is_new(world: World) -> None:
    async with world.stub() as stub:
        first = await stub.WatchMap(pb.WatchMapRequest()).read()
        assert first.full and len(first.ranges) == 4 and first.silence_milliseconds > 0
        last = await world.give("range-3", "u1", 2)
        resumed = await read_until(stub.WatchMap(pb.WatchMapRequest(known_version=first.version, known_cell=first.cell)), last)
        assert not any(update.full for update in resumed)
        assert [r.name for update in resumed for r in update.ranges] == ["range-3"]
        assert resumed[0].from_version == first.version
        for known in (
            {"known_version": 1, "known_cell": first.cell},
            {"known_version": first.version, "known_cell": first.cell + 1},
        ):
            assert (await stub.WatchMap(pb.WatchMapRequest(**known)).read()).full


async def test_heartbeats_come_when_nothing_changes(world: World) -> None:
    async with world.stub() as stub:
        call = stub.WatchMap(pb.WatchMapRequest())
        first = await call.read()
        for _ in range(3):
            beat = await call.read()
            assert not beat.ranges and not beat.shards and not beat.full
            assert beat.from_version >= first.version


async def test_a_slow_follower_gets_the_whole_map_and_nothing_piles_up(world: World) -> None:
    updates = world.feed.follow(0, 0)
    first = whole(pb.MapUpdate.FromString(await anext(updates)))
    for number in range(STEPS + 10):
        last = await world.give("range-3", f"u{1 + number % 2}", number + 2)
    assert len(world.feed._steps) <= STEPS
    late = pb.MapUpdate.FromString(await anext(updates))
    assert late.full and late.version >= last > first.version
    await updates.aclose()
    assert world.feed.followers == 0


async def test_each_change_is_encoded_once_for_all_followers(world: World) -> None:
    followers = [world.feed.follow(0, 0) for _ in range(20)]
    await asyncio.gather(*(anext(f) for f in followers))
    version = await world.give("range-3", "u1", 2)
    seen = []
    for follower in followers:
        while pb.MapUpdate.FromString(update := await anext(follower)).version < version:
            pass
        seen.append(update)
    assert len({id(update) for update in seen}) == 1
    for follower in followers:
        await follower.aclose()


def assert_overdrawn(error: Any) -> None:
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert {"QuotaFailure", "RetryInfo"} <= details(error).keys()


async def test_one_client_cannot_have_all_places_of_followers(world: World) -> None:
    _, streams = world.server.shares
    async with world.stub() as greedy, world.stub() as other:
        held = [greedy.WatchMap(pb.WatchMapRequest()) for _ in range(20)]
        for call in held:
            await call.read()
        with pytest.raises(grpc.RpcError) as caught:
            await greedy.WatchMap(pb.WatchMapRequest()).read()
        assert_overdrawn(caught.value)
        followed = other.WatchMap(pb.WatchMapRequest())
        assert (await followed.read()).full
        assert (await other.Resolve(pb.ResolveRequest(tenant=ORG))).cluster == ORG
        assert (streams.used, streams.largest, streams.refused) == (21, 20, 1)
        for call in (*held, followed):
            call.cancel()
        await eventually(lambda: streams.used == 0 and world.feed.followers == 0)


async def test_one_client_cannot_have_all_calls(world: World) -> None:
    calls, _ = world.server.shares
    waiting = pb.ResolveRequest(tenant=ORG, newer_than_generation=100)
    async with world.stub() as greedy, world.stub() as other:
        held = [greedy.Resolve(waiting) for _ in range(4)]
        await eventually(lambda: calls.used == 4)
        with pytest.raises(grpc.RpcError) as caught:
            await greedy.Resolve(waiting)
        assert_overdrawn(caught.value)
        assert (await other.Resolve(pb.ResolveRequest(tenant=ORG))).cluster == ORG
        assert (calls.used, calls.largest, calls.refused) == (4, 4, 1)
        for call in held:
            call.cancel()
        await eventually(lambda: calls.used == 0)
        assert (await greedy.Resolve(pb.ResolveRequest(tenant=ORG))).cluster == ORG


async def test_a_client_goes_on_with_another_gateway_and_keeps_its_map_meanwhile(world: World) -> None:
    urls = Urls(URL)
    feed = MapFeed(world.map, urls, cell=world.store.cell)
    feed.start()
    second = Lookups(world.lookups._directory, urls=urls, urls_of=lambda *_: None, tenants=lambda _: 0, feed=feed)
    serving = world.authority.issue_serving(["127.0.0.1"])
    other = await serve(
        {SERVICE: second.add_to}, "127.0.0.1:0", ca=world.authority.certificate, certificate=serving.certificate, key=serving.key
    )
    async with Client([f"127.0.0.1:{other.port}", world.address], world.credentials) as client:
        before = await client.ready()
        await feed.stop()
        await other.stop(0)
        assert client.locate(TEAM) is not None
        last = await world.give("range-3", "u1", 2)
        async for known in client.maps():
            if known.version >= last:
                break
        assert known.version > before.version and client.resyncs == 0
        assert (await client.ask("root:org")).cluster == ORG


async def test_a_gateway_that_hangs_is_left_for_the_next(world: World) -> None:
    """Connections are taken, and nothing is ever said on them."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    hung = await asyncio.start_server(hang, "127.0.0.1", 0)
    address = f"127.0.0.1:{hung.sockets[0].getsockname()[1]}"
    try:
        async with Client([address, world.address], world.credentials, timeout_seconds=6, follow=False) as client:
            assert (await client.ask("root:org")).cluster == ORG
            # And stays with it.
            async with asyncio.timeout(2):
                assert (await client.ask("root:org")).cluster == ORG
        async with Client([address], world.credentials, timeout_seconds=0.2, follow=False) as client:
            with pytest.raises(Unreachable, match=f"no answer from {address}"):
                await client.ask("root:org")
    finally:
        hung.close()


async def test_an_update_that_makes_no_sense_is_followed_by_the_whole_map(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    applied = TenantMap.applied

    def broken(self: TenantMap, update: Any) -> TenantMap:
        monkeypatch.setattr(TenantMap, "applied", applied)
        raise ValueError("no such interval")

    async with Client([world.address], world.credentials) as client:
        await client.ready()
        monkeypatch.setattr(TenantMap, "applied", broken)
        last = await world.give("range-3", "u1", 2)
        async for known in client.maps():
            if known.version >= last:
                break


async def test_nobody_there_is_said_so(world: World) -> None:
    async with Client(["127.0.0.1:9"], world.credentials, timeout_seconds=1) as client:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
            await client.resolve("root:org")
        assert client.locate(TEAM) is None


async def test_the_synchronous_client_does_the_same(world: World) -> None:
    def use() -> Sequence[object]:
        with SyncClient([world.address], world.credentials) as client:
            known = client.ready()
            assert next(client.maps()).version >= known.version
            with pytest.raises(NotFound):
                client.resolve("root:nobody")
            return (
                client.locate(TEAM) == client.ask(TEAM)._replace(path="") == client.resolve_many([TEAM])[0],
                [(r.name, r.tenants) for r in client.ranges()],
                [(s.name, s.ranges, s.tenants) for s in client.shards()],
                client.urls("root:org", "cowboys"),
            )

    same_place, ranges, shards, urls = await asyncio.to_thread(use)
    assert same_place
    assert ranges == [("range-2", 1), ("range-3", 1), ("range-4", 1), ("root", 0)]
    assert shards == [("shard-1", ("range-2", "root"), 1), ("shard-2", ("range-3",), 1)]
    assert urls == [f"{URL}/x"]


def test_a_gap_is_noticed() -> None:
    known = whole(pb.MapUpdate(full=True, version=5, cell=1))
    assert known.applied(pb.MapUpdate(from_version=5, version=9, cell=1)).version == 9
    for wrong in (pb.MapUpdate(from_version=4, version=9, cell=1), pb.MapUpdate(from_version=5, version=9, cell=2)):
        with pytest.raises(Gap):
            known.applied(wrong)
