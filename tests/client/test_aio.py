"""The client of the gateways, over real sockets with TLS: what it knows from memory, what it asks, and where it goes on."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from gateway.lookups import SERVICE, Lookups
from gateway.map_feed import MapFeed
from tenantry.client import Client, NoOwner, Unreachable
from tenantry.client.tenant_map import TenantMap
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.storage.store import Delete
from tests.support.lookups import LOST, ORG, TEAM, URL, GatewayLookups
from tests.support.rpc import rpc_on_socket


async def test_a_client_resolves_ids_from_its_map(gateway: GatewayLookups) -> None:
    async with gateway.client() as client:
        await client.ready()
        assert client.locate(TEAM) == (await client.ask(TEAM))._replace(path="")
        assert client.locate("zzz0000000000001") is None
        version = await gateway.give("range-3", "u1", 2)
        async for known in client.maps():
            if known.version >= version:
                break
        assert client.locate(TEAM) == (await client.ask(TEAM))._replace(path="")
        # Without a living owner it is the gateway's to say so.
        with pytest.raises(NoOwner):
            await client.resolve(LOST)


async def test_the_map_of_a_follower_is_the_map(gateway: GatewayLookups) -> None:
    """Many changes of every kind: what a follower has in the end is what there is."""
    chance = random.Random(7)
    async with gateway.client() as client:
        await client.ready()
        for number in range(300):
            name = f"range-{10 + chance.randrange(20)}"
            if chance.random() < 0.15:
                await gateway.store.commit([], [], [Delete(f"/ranges/{name}".encode())])
            elif chance.random() < 0.15:
                await gateway.store.commit([], [], [Delete(f"/sessions/u{chance.randrange(5)}".encode())])
            elif chance.random() < 0.2:
                uid = chance.randrange(5)
                await gateway.shard(f"u{uid}", f"shard-{uid}")
            else:
                prefix = f"m{name[6:]}"
                await gateway.give(name, f"u{chance.randrange(5)}", number, (prefix, prefix + "x"))
        last = await gateway.give("root", "u1", 1000)
        async for known in client.maps():
            if known.version >= last:
                break
        assert same(known, gateway.map)
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


async def test_a_client_goes_on_with_another_gateway_and_keeps_its_map_meanwhile(gateway: GatewayLookups) -> None:
    urls = Urls(URL)
    feed = MapFeed(gateway.map, urls, cell=gateway.store.cell)
    feed.start()
    second = Lookups(gateway.lookups._directory, urls=urls, urls_of=lambda *_: None, tenants=lambda _: 0, feed=feed)
    async with (
        rpc_on_socket({SERVICE: second.add_to}, authority=gateway.authority) as other,
        Client([other.address, gateway.address], gateway.credentials) as client,
    ):
        before = await client.ready()
        await feed.stop()
        await other.server.stop(0)
        assert client.locate(TEAM) is not None
        last = await gateway.give("range-3", "u1", 2)
        async for known in client.maps():
            if known.version >= last:
                break
        assert known.version > before.version and client.resyncs == 0
        assert (await client.ask("root:org")).cluster == ORG


async def test_a_gateway_that_hangs_is_left_for_the_next(gateway: GatewayLookups) -> None:
    """Connections are taken, and nothing is ever said on them."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    hung = await asyncio.start_server(hang, "127.0.0.1", 0)
    address = f"127.0.0.1:{hung.sockets[0].getsockname()[1]}"
    try:
        async with Client([address, gateway.address], gateway.credentials, timeout_seconds=6, follow=False) as client:
            assert (await client.ask("root:org")).cluster == ORG
            # And stays with it.
            async with asyncio.timeout(2):
                assert (await client.ask("root:org")).cluster == ORG
        async with Client([address], gateway.credentials, timeout_seconds=0.2, follow=False) as client:
            with pytest.raises(Unreachable, match=f"no answer from {address}"):
                await client.ask("root:org")
    finally:
        hung.close()


async def test_an_update_that_makes_no_sense_is_followed_by_the_whole_map(
    gateway: GatewayLookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied = TenantMap.applied

    def broken(self: TenantMap, update: Any) -> TenantMap:
        monkeypatch.setattr(TenantMap, "applied", applied)
        raise ValueError("no such interval")

    async with Client([gateway.address], gateway.credentials) as client:
        await client.ready()
        monkeypatch.setattr(TenantMap, "applied", broken)
        last = await gateway.give("range-3", "u1", 2)
        async for known in client.maps():
            if known.version >= last:
                break


async def test_nobody_there_is_said_so(gateway: GatewayLookups) -> None:
    async with Client(["127.0.0.1:9"], gateway.credentials, timeout_seconds=1) as client:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
            await client.resolve("root:org")
        assert client.locate(TEAM) is None
