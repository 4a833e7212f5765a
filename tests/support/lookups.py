"""A gateway's look-ups over gRPC, on a store in memory, without an HTTP front proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.lookups import SERVICE, Lookups
from gateway.map_feed import MapFeed
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2_grpc as stubs
from tenantry.client import Client, Credentials
from tenantry.http.certificates import CertificateAuthority
from tenantry.placement.catalog import Catalog
from tenantry.placement.map_rows import RangeRow, SessionRow, encode
from tenantry.placement.paths.directory import Directory
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.rpc.server import RpcLimits
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Put
from tests.support.rpc import RpcOnSocket, rpc_on_socket

URL = "https://tenantry.test:6443"
ORG, TEAM, LOST = "aaa0000000000001", "bbb0000000000001", "ccc0000000000001"
"""Of the workspaces root:org, root:org:team, and root:lost, whose range nobody alive owns."""
_INTERVALS = {"range-2": ("aaa", "aab"), "range-3": ("bbb", "bbc"), "range-4": ("ccc", "ccd"), "root": ("r", "t")}


@dataclass
class GatewayLookups:
    """A store, a map over it, and one gateway's look-ups."""

    store: MemoryStore
    map: RangeMap
    feed: MapFeed
    lookups: Lookups
    served: RpcOnSocket

    @property
    def address(self) -> str:
        return self.served.address

    @property
    def authority(self) -> CertificateAuthority:
        return self.served.authority

    @property
    def credentials(self) -> Credentials:
        return self.served.credentials("tenantry-lookup")

    def client(self, **more: Any) -> Client:
        return Client([self.address], self.credentials, **more)

    @asynccontextmanager
    async def stub(self) -> AsyncIterator[Any]:
        """With a certificate of its own."""
        async with self.served.channel("tenantry-lookup") as channel:
            yield stubs.GatewayStub(channel)

    async def give(self, name: str, uid: str, generation: int, interval: tuple[str, str] | None = None) -> int:
        """Returns the version of the map that shows it."""
        start, end = interval or _INTERVALS[name]
        version = await self.store.commit(
            [], [Put(f"/ranges/{name}".encode(), encode(RangeRow(start, end, 1000, {}, uid, generation)))], []
        )
        await self.map.reached(version)
        return version

    async def shard(self, uid: str, name: str) -> None:
        put = Put(f"/sessions/{uid}".encode(), encode(SessionRow(name, f"https://{name}:8443", 1)))
        await self.map.reached(await self.store.commit([], [put], []))


@asynccontextmanager
async def gateway_lookups() -> AsyncIterator[GatewayLookups]:
    """With three workspaces, four ranges and two shards."""
    store = MemoryStore()
    for parent, name, cluster in (("root", "org", ORG), (ORG, "team", TEAM), ("root", "lost", LOST)):
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
    try:
        async with rpc_on_socket({SERVICE: lookups.add_to}, limits=RpcLimits(calls=8, streams=40)) as served:
            made = GatewayLookups(store, range_map, feed, lookups, served)
            await made.shard("u1", "shard-1")
            await made.shard("u2", "shard-2")
            for name, uid in (("range-2", "u1"), ("range-3", "u2"), ("root", "u1"), ("range-4", "u9")):
                await made.give(name, uid, 1)
            try:
                yield made
            finally:
                await feed.stop()
    finally:
        directory.stop()
        await catalog.stop()
        await range_map.stop()
        await store.close()
