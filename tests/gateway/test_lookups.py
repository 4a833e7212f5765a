"""The gRPC look-ups, over real sockets with TLS."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import grpc
import pytest

from gateway.map_feed import STEPS
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2 as pb
from tenantry.client import InvalidArgument, Location, NoOwner, NotFound
from tenantry.client.tenant_map import whole
from tests.support.lookups import ORG, TEAM, URL, GatewayLookups
from tests.support.rpc import details
from tests.support.waiting import eventually


async def test_resolves_paths_and_ids(gateway: GatewayLookups) -> None:
    async with gateway.client(follow=False) as client:
        by_path = await client.resolve("root:org:team")
        assert by_path == Location(
            TEAM, "range-3", "shard-2", 1, f"{URL}/clusters/{TEAM}", "https://shard-2:8443", "root:org:team"
        )
        assert await client.resolve(TEAM) == by_path
        assert (await client.resolve("root")).range == "root"


async def test_refusals_carry_what_is_needed_to_act(gateway: GatewayLookups) -> None:
    async with gateway.stub() as stub:

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
async def test_a_long_question_has_a_short_answer(gateway: GatewayLookups, tenant: str) -> None:
    """Clients take no more than some KiB of trailers."""
    async with gateway.stub() as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Resolve(pb.ResolveRequest(tenant=tenant))
        assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
        assert sum(len(key) + len(value) for key, value in caught.value.trailing_metadata()) < 4096
        assert re.search(r"… \(\d+ characters\)$", str(caught.value.details()))
        details(caught.value)


async def test_a_batch_repeats_little_of_a_long_name(gateway: GatewayLookups) -> None:
    async with gateway.stub() as stub:
        answer = await stub.BatchResolve(pb.BatchResolveRequest(tenants=["x" * 100_000] * 10))
        assert len(answer.failures) == 10 and answer.ByteSize() < 10 * 1024


async def test_a_bug_shows_nothing_of_the_inside(gateway: GatewayLookups, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def broken(tenant: str) -> None:
        raise KeyError("a secret of the inside")

    monkeypatch.setattr(gateway.lookups, "_locate", broken)
    async with gateway.stub() as stub:
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Resolve(pb.ResolveRequest(tenant=TEAM))
            assert caught.value.code() is grpc.StatusCode.INTERNAL
            assert "secret" not in str(caught.value.details())
            assert details(caught.value)["ErrorInfo"].reason == "INTERNAL"
    assert "a secret of the inside" in caplog.text


async def test_a_newer_generation_is_waited_for(gateway: GatewayLookups) -> None:
    async with gateway.client(follow=False) as client:
        asking = asyncio.create_task(client.resolve(TEAM, newer_than=1))
        await eventually(lambda: bool(gateway.lookups._changes))
        await gateway.give("range-3", "u1", 2)
        assert (await asking).shard == "shard-1"
    async with gateway.client(follow=False, timeout_seconds=3) as client:
        with pytest.raises(NoOwner) as caught:
            await client.resolve(TEAM, newer_than=2)
        assert caught.value.reason == "STALE_GENERATION" and caught.value.retry_after_seconds


async def test_batches_answer_each_tenant_for_itself(gateway: GatewayLookups) -> None:
    tenants = [TEAM, "root:org", "root:nobody", "A b", "root:lost", ORG, "root:org:team", "zzz0000000000001"]
    async with gateway.client(follow=False) as client:
        found = await client.resolve_many(tenants)
        kinds = [type(item) for item in found]
        assert kinds == [Location, Location, NotFound, InvalidArgument, NoOwner, Location, Location, NotFound]
        assert found[0] == found[6] == (await client.ask(TEAM))._replace(path="")
        assert await client.resolve_many([ORG] * 25_000) == [(await client.ask(ORG))._replace(path="")] * 25_000
        assert await client.resolve_many([]) == []
    async with gateway.stub() as stub:
        answer = await stub.BatchResolve(pb.BatchResolveRequest(tenants=[TEAM, ORG] * 500))
        assert (len(answer.places), len(answer.place), len(answer.clusters)) == (2, 1000, 0)
        with pytest.raises(grpc.RpcError) as caught:
            await stub.BatchResolve(pb.BatchResolveRequest(tenants=[ORG] * 10_001))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def read_until(call: Any, version: int) -> list[pb.MapUpdate]:
    updates: list[pb.MapUpdate] = []
    while not updates or updates[-1].version < version:
        updates.append(await call.read())
    return updates


async def test_a_follower_that_knows_a_version_gets_what_is_new(gateway: GatewayLookups) -> None:
    async with gateway.stub() as stub:
        first = await stub.WatchMap(pb.WatchMapRequest()).read()
        assert first.full and len(first.ranges) == 4 and first.silence_milliseconds > 0
        last = await gateway.give("range-3", "u1", 2)
        resumed = await read_until(stub.WatchMap(pb.WatchMapRequest(known_version=first.version, known_cell=first.cell)), last)
        assert not any(update.full for update in resumed)
        assert [r.name for update in resumed for r in update.ranges] == ["range-3"]
        assert resumed[0].from_version == first.version
        for known in (
            {"known_version": 1, "known_cell": first.cell},
            {"known_version": first.version, "known_cell": first.cell + 1},
        ):
            assert (await stub.WatchMap(pb.WatchMapRequest(**known)).read()).full


async def test_heartbeats_come_when_nothing_changes(gateway: GatewayLookups) -> None:
    async with gateway.stub() as stub:
        call = stub.WatchMap(pb.WatchMapRequest())
        first = await call.read()
        for _ in range(3):
            beat = await call.read()
            assert not beat.ranges and not beat.shards and not beat.full
            assert beat.from_version >= first.version


async def test_a_slow_follower_gets_the_whole_map_and_nothing_piles_up(gateway: GatewayLookups) -> None:
    updates = gateway.feed.follow(0, 0)
    first = whole(pb.MapUpdate.FromString(await anext(updates)))
    for number in range(STEPS + 10):
        last = await gateway.give("range-3", f"u{1 + number % 2}", number + 2)
    assert len(gateway.feed._steps) <= STEPS
    late = pb.MapUpdate.FromString(await anext(updates))
    assert late.full and late.version >= last > first.version
    await updates.aclose()
    assert gateway.feed.followers == 0


async def test_each_change_is_encoded_once_for_all_followers(gateway: GatewayLookups) -> None:
    followers = [gateway.feed.follow(0, 0) for _ in range(20)]
    await asyncio.gather(*(anext(f) for f in followers))
    version = await gateway.give("range-3", "u1", 2)
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


async def test_one_client_cannot_have_all_places_of_followers(gateway: GatewayLookups) -> None:
    _, streams = gateway.served.server.shares
    async with gateway.stub() as greedy, gateway.stub() as other:
        under_way = [greedy.WatchMap(pb.WatchMapRequest()) for _ in range(20)]
        for call in under_way:
            await call.read()
        with pytest.raises(grpc.RpcError) as caught:
            await greedy.WatchMap(pb.WatchMapRequest()).read()
        assert_overdrawn(caught.value)
        followed = other.WatchMap(pb.WatchMapRequest())
        assert (await followed.read()).full
        assert (await other.Resolve(pb.ResolveRequest(tenant=ORG))).cluster == ORG
        assert (streams.used, streams.largest, streams.refused) == (21, 20, 1)
        for call in (*under_way, followed):
            call.cancel()
        await eventually(lambda: streams.used == 0 and gateway.feed.followers == 0)


async def test_one_client_cannot_have_all_calls(gateway: GatewayLookups) -> None:
    calls, _ = gateway.served.server.shares
    waiting = pb.ResolveRequest(tenant=ORG, newer_than_generation=100)
    async with gateway.stub() as greedy, gateway.stub() as other:
        under_way = [greedy.Resolve(waiting) for _ in range(4)]
        await eventually(lambda: calls.used == 4)
        with pytest.raises(grpc.RpcError) as caught:
            await greedy.Resolve(waiting)
        assert_overdrawn(caught.value)
        assert (await other.Resolve(pb.ResolveRequest(tenant=ORG))).cluster == ORG
        assert (calls.used, calls.largest, calls.refused) == (4, 4, 1)
        for call in under_way:
            call.cancel()
        await eventually(lambda: calls.used == 0)
        assert (await greedy.Resolve(pb.ResolveRequest(tenant=ORG))).cluster == ORG
