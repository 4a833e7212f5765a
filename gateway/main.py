"""The process `tenantry gateway`. It follows the catalog and the map in the store, and has no state of its own."""

from __future__ import annotations

import json
import socket
import uuid
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from gateway.lookups import SERVICE, Lookups
from gateway.map_feed import MapFeed
from gateway.metrics import GatewayMetrics
from gateway.proxy import Proxy
from gateway.routing import Router
from gateway.settings import GatewaySettings
from tenantry.apiserver.authentication import common_names
from tenantry.apiserver.authentication.client_authority import ClientAuthority
from tenantry.apiserver.authentication.client_certificate import RequestHeaders
from tenantry.apiserver.authentication.front_proxies import front_proxies
from tenantry.apiserver.authentication.service_account_tokens import token_cluster
from tenantry.apiserver.callers import ApiCallers
from tenantry.apiserver.life_cycle import Process, run_on_etcd
from tenantry.apiserver.serving import https_server, serving_names
from tenantry.base.files import write_private
from tenantry.base.flags import listed
from tenantry.http.certificates import CertificateAuthority, pair_client_context
from tenantry.http.listen_addresses import bracketed, from_here
from tenantry.http.renewal import Certificate
from tenantry.placement.catalog import Catalog
from tenantry.placement.forwarding import Forwarding
from tenantry.placement.paths.cluster_paths import ROOT
from tenantry.placement.paths.directory import Directory
from tenantry.placement.paths.tenant_paths import tenant_of
from tenantry.placement.range_map import RangeMap
from tenantry.placement.reachability import Reach, clock_gauge
from tenantry.placement.reachability_probe import ReachProbe
from tenantry.placement.shard_connections import ShardConnections
from tenantry.placement.urls import Urls
from tenantry.placement.view_connections import ViewConnections
from tenantry.placement.view_forwarding import ViewForwarding
from tenantry.placement.view_processes import ViewProcesses
from tenantry.rpc.server import RpcLimits, serve_renewed
from tenantry.storage.store import Store
from tenantry.tenancy.exports.export_urls import published_urls


def run(settings: GatewaySettings) -> int:
    """Serves until SIGINT or SIGTERM. Returns the exit code."""
    return run_on_etcd(settings, Gateway)


class Gateway(Process[GatewaySettings]):
    def __init__(self, settings: GatewaySettings, store: Store, authority: CertificateAuthority) -> None:
        super().__init__(settings, store, authority)
        self.urls = Urls(settings.external_url)
        self.catalog = Catalog(store)
        self.map = RangeMap(store)
        self.directory = Directory(self.catalog, self.map, settings.external_url)
        self.lookup_port = 0
        self._feed = MapFeed(self.map, self.urls, cell=store.cell)
        self._root_seen = False

    def __repr__(self) -> str:
        return f"<Gateway {self.urls.external} {self.map!r}>"

    @property
    def startup_message(self) -> str:
        return f"tenantry gateway serves {self.urls.external} on port {self.port}"

    async def start(self) -> None:
        settings, stack = self._settings, self._stack
        await self.map.start()
        stack.push_async_callback(self.map.stop)
        await self.catalog.start()
        stack.push_async_callback(self.catalog.stop)
        self.directory.start()
        stack.callback(self.directory.stop)
        self.health.add("root-range", self._root_owned)
        client = self.certificates.client("client", common_names.GATEWAY)
        ca = self._authority.certificate
        owners = ShardConnections(
            self.map,
            tls=pair_client_context(ca, client.pair),
            grace_seconds=settings.stale_owner_seconds,
        )
        client.follow(lambda pair: owners.renew(pair_client_context(ca, pair)))
        owners.start()
        stack.callback(owners.stop)
        processes = ViewProcesses(self._store)
        await processes.start()
        stack.push_async_callback(processes.stop)
        view_connections = ViewConnections(processes, tls=pair_client_context(ca, client.pair))
        client.follow(lambda pair: view_connections.renew(pair_client_context(ca, pair)))
        view_connections.start()
        stack.callback(view_connections.stop)
        views = ViewForwarding(view_connections, answer_seconds=settings.view_answer_seconds)
        await self._report_reach(owners)
        forwarding = Forwarding(owners, patience_seconds=settings.patience_seconds)
        clients = ClientAuthority.of(settings, self.certificates)
        proxies = front_proxies(
            settings,
            self.certificates,
            clients,
            own=RequestHeaders(ca, allowed_names=common_names.FRONT_PROXIES),
        )
        of_proxies = (proxies.headers,) if proxies is not None else ()
        proxy = Proxy(
            Router(self.directory, token_cluster=token_cluster),
            forwarding,
            identities=(*of_proxies, clients.identities()),
            hidden=proxies.headers.has if proxies is not None else None,
            health=self.health,
            views=views,
        )
        self._register_metrics(owners, forwarding, views)
        await self._serve_probes(settings.bind_address, settings.health_port)
        host = urlsplit(settings.external_url).hostname or "localhost"
        serving = self.certificates.serving(
            "serving", serving_names(host, *listed(settings.serving_names), settings.bind_address)
        )
        await self._serve_lookups(serving)
        server = https_server(
            proxy,
            settings,
            limits=settings.limits(),
            certificates=self.certificates,
            serving=serving,
            clients=clients,
            metrics=self.metrics,
            callers=ApiCallers(
                partial(tenant_of, self.directory),
                home_of=token_cluster,
                certificates=clients.identities(),
                headers=of_proxies,
            ),
            proxies=proxies,
        )
        self.port = await server.start(settings.bind_address, settings.secure_port)
        stack.push_async_callback(server.stop)
        stack.push_async_callback(server.drain, settings.shutdown_grace_seconds)
        self._write_access_files()

    async def _report_reach(self, owners: ShardConnections) -> None:
        uid = uuid.uuid4().hex
        reach = Reach(self._store, own=uid)
        await reach.start()
        self._stack.push_async_callback(reach.stop)
        clock_gauge(self.metrics, reach)
        probe = ReachProbe(self._store, self.map, owners, uid=uid, name=f"gateway {socket.gethostname()}-{uid[:8]}")
        probe.start()
        self._stack.push_async_callback(probe.stop)

    async def _serve_lookups(self, serving: Certificate) -> None:
        settings = self._settings
        self._feed.start()
        lookups = Lookups(
            self.directory,
            urls=self.urls,
            urls_of=lambda cluster, export: published_urls(self.catalog, self.urls, cluster, export),
            tenants=lambda info: self.directory.tenants(info.name),
            feed=self._feed,
        )
        server = await serve_renewed(
            {SERVICE: lookups.add_to},
            f"{bracketed(settings.bind_address)}:{settings.gateway_port}",
            ca=self._authority.certificate,
            serving=serving,
            limits=RpcLimits(streams=settings.max_map_followers, largest_share=settings.largest_tenant_share),
        )
        self.metrics.shares += server.shares
        self.lookup_port = server.port
        self._stack.push_async_callback(server.stop, 1.0)
        self._stack.push_async_callback(self._feed.stop)

    def _root_owned(self) -> str | None:
        """Checked once: a gateway that was ready stays ready during a takeover. Otherwise all gateways would become unready
        together."""
        if not self._root_seen:
            root = self.map.range_of(ROOT)
            self._root_seen = root is not None and bool(root.shard)
        return None if self._root_seen else "no shard serves the root workspace yet"

    def _register_metrics(self, owners: ShardConnections, forwarding: Forwarding, views: ViewForwarding) -> None:
        def connections() -> tuple[int, int, int]:
            pools = owners.upstreams
            return sum(p.connections for p in pools), sum(p.idle for p in pools), sum(p.opened for p in pools)

        self.metrics.registry.register(
            GatewayMetrics(
                forwarding,
                views,
                connections=connections,
                cut=lambda: owners.cut,
                followers=lambda: self._feed.followers,
                version=lambda: self.map.version,
            )
        )

    def _write_access_files(self) -> None:
        if not self._settings.access_directory:
            return
        folder = Path(self._settings.access_directory)
        pki = folder / "pki"
        pki.mkdir(parents=True, exist_ok=True)
        (pki / "ca.crt").write_bytes(self._authority.certificate)
        self.certificates.client_files("lookup-client", pki, common_names.LOOKUP)
        addresses = {"url": self.urls.external, "gateway": f"{from_here(self._settings.bind_address)}:{self.lookup_port}"}
        write_private(folder / "run.json", json.dumps(addresses).encode())
