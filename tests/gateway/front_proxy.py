"""A gateway's surroundings: a map that the test changes at will, and shards that are servers on real sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.proxy import Proxy
from gateway.routing import Router
from tenantry.apiserver.authentication.client_certificate import ClientCertificates
from tenantry.apiserver.endpoints.health import Health
from tenantry.apiserver.request import Handler, Request
from tenantry.apiserver.serving import http_server
from tenantry.http.certificates import CertificateAuthority, pair_client_context, pair_server_context
from tenantry.http.limits import Limits
from tenantry.http.server import HttpServer
from tenantry.placement.catalog import Catalog
from tenantry.placement.forwarding import Forwarding
from tenantry.placement.map import RangeInfo, ShardInfo
from tenantry.placement.map_rows import encode
from tenantry.placement.paths.directory import Directory
from tenantry.placement.shard_connections import ShardConnections
from tenantry.placement.view_connections import ViewConnections
from tenantry.placement.view_forwarding import ViewForwarding
from tenantry.placement.view_processes import ViewProcesses
from tenantry.placement.view_rows import ViewNameRow, ViewProcessRow, view_name_key, view_process_key
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Delete, Put
from tests.support.maps import MapInMemory

URL = "https://tenantry.test:6443"
A, B = "aaa0000000000001", "bbb0000000000001"


def some_ranges() -> list[RangeInfo]:
    intervals = [("range-a", "aaa", "aab"), ("range-b", "bbb", "bbc"), ("root", "r", "t")]
    return [RangeInfo(name=name, start=start, end=end, shard="", generation=0) for name, start, end in intervals]


@dataclass
class Door:
    """A running front proxy, its map, and the certificates of everybody."""

    authority: CertificateAuthority
    map: MapInMemory
    directory: Directory
    owners: ShardConnections
    forwarding: Forwarding
    edge: HttpServer[Request]
    port: int
    health: Health
    store: MemoryStore
    views: ViewProcesses
    servers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def caller(self, user: str = "", groups: Sequence[str] = ()) -> ssl.SSLContext:
        """A client's TLS, with a certificate if a user is named."""
        if user:
            return pair_client_context(self.authority.certificate, self.authority.issue_client(user, groups))
        return ssl.create_default_context(cadata=self.authority.certificate.decode())

    async def edge_shard(self, name: str, handler: Handler, *ranges: str, limits: Limits | None = None) -> HttpServer[Request]:
        """A shard that is our own HTTP server, and owns these ranges."""
        server = http_server(handler, tls=self.server_tls(), limits=limits)
        port = await server.start("127.0.0.1", 0)
        self.servers.append(server.stop)
        self.own(name, port, *ranges)
        return server

    async def raw_shard(
        self, name: str, talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], *ranges: str
    ) -> None:
        """A shard that says what the test says, byte by byte."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await talk(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=self.server_tls())

        async def stop() -> None:
            server.close()

        self.servers.append(stop)
        self.own(name, server.sockets[0].getsockname()[1], *ranges)

    def own(self, name: str, port: int, *ranges: str) -> None:
        self.map.add_shard(ShardInfo(name, f"{name}-uid", f"https://127.0.0.1:{port}"))
        for range_name in ranges:
            self.map.give(range_name, f"{name}-uid")

    async def edge_views(self, name: str, handler: Handler, *views: str) -> None:
        """A process of views that is our own HTTP server."""
        server = http_server(handler, tls=self.server_tls())
        port = await server.start("127.0.0.1", 0)
        self.servers.append(server.stop)
        row = ViewProcessRow(name, f"https://127.0.0.1:{port}", "1.0", list(views))
        puts = [Put(view_name_key(view), encode(ViewNameRow(name))) for view in views]
        await self.views.reached(await self.store.commit([], [Put(view_process_key(name), encode(row)), *puts], []))

    async def views_end(self, name: str) -> None:
        """As after a crash."""
        await self.views.reached(await self.store.commit([], [], [Delete(view_process_key(name))]))

    def server_tls(self) -> ssl.SSLContext:
        context = pair_server_context(self.authority.issue_serving(["127.0.0.1"]), client_ca_pem=self.authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@asynccontextmanager
async def running_door(
    *, limits: Limits | None = None, grace_seconds: float = 1.0, patience_seconds: float = 5.0
) -> AsyncIterator[Door]:
    authority = CertificateAuthority.create()
    store = MemoryStore()
    await store.commit([], [Put(b"/catalog/tenancy.kcp.io/workspaces/root/org", b'{"cluster":"' + A.encode() + b'"}')], [])
    await store.commit(
        [], [Put(f"/catalog/tenancy.kcp.io/workspaces/{A}/team".encode(), b'{"cluster":"' + B.encode() + b'"}')], []
    )
    catalog = Catalog(store)
    await catalog.start()
    map_ = MapInMemory(some_ranges())
    directory = Directory(catalog, map_, URL)
    directory.start()
    owners = ShardConnections(
        map_,
        tls=pair_client_context(authority.certificate, authority.issue_client("tenantry-gateway")),
        grace_seconds=grace_seconds,
    )
    owners.start()
    health = Health()
    processes = ViewProcesses(store)
    await processes.start()
    views = ViewConnections(processes, tls=pair_client_context(authority.certificate, authority.issue_client("tenantry-gateway")))
    views.start()
    forwarding = Forwarding(owners, patience_seconds=patience_seconds)
    proxy = Proxy(
        Router(directory, token_cluster=lambda _: None),
        forwarding,
        identities=[ClientCertificates(authority.certificate)],
        health=health,
        views=ViewForwarding(views, answer_seconds=patience_seconds),
    )
    tls = pair_server_context(authority.issue_serving(["127.0.0.1"]), client_ca_pem=authority.certificate)
    edge = http_server(proxy, tls=tls, limits=limits)
    port = await edge.start("127.0.0.1", 0)
    running = Door(authority, map_, directory, owners, forwarding, edge, port, health, store, processes)
    try:
        yield running
    finally:
        await edge.stop()
        owners.stop()
        views.stop()
        await processes.stop()
        for stop in running.servers:
            await stop()
        directory.stop()
        await catalog.stop()
        await store.close()
