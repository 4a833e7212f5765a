"""One gateway as a process: it follows catalog and map from the store, and keeps nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import socket
import ssl
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from gateway.figures import GatewayFigures, ProxyFigures
from gateway.lookups import Lookups, serve
from gateway.map_feed import MapFeed
from gateway.proxy import Proxy
from gateway.routing import Router
from gateway.settings import GatewaySettings
from tenantry.apiserver.authentication.client_certificate import ClientCertificates
from tenantry.apiserver.authentication.service_account import token_cluster
from tenantry.apiserver.edge.certificates import (
    CertificateAuthority,
    CertificateError,
    Pair,
    pair_client_context,
    pair_server_context,
    server_context,
)
from tenantry.apiserver.edge.server import EdgeServer, ListenError
from tenantry.apiserver.edge.shared_authority import shared_authority
from tenantry.apiserver.endpoints.health import Health
from tenantry.apiserver.endpoints.plain import page_not_found
from tenantry.apiserver.files import write_private
from tenantry.apiserver.http import Reply, Request, Response
from tenantry.apiserver.limits import Limits
from tenantry.apiserver.logging import AccessLog, configure
from tenantry.apiserver.metrics import CONTENT_TYPE, Metrics
from tenantry.flags import SettingError
from tenantry.storage.etcd.store import EtcdStore
from tenantry.storage.store import Store, StoreError
from tenantry.tenancy.catalog import Catalog
from tenantry.tenancy.directory import Directory
from tenantry.tenancy.exports.urls import published_urls
from tenantry.tenancy.host import Urls
from tenantry.tenancy.owners import Owners
from tenantry.tenancy.range_map import RangeMap
from tenantry.tenancy.well_known import ROOT

log = logging.getLogger(__name__)

CLIENT_NAME = "tenantry-gateway"
"""Common name of the certificate by which shards know a gateway, and believe it who the caller is."""
REFUSALS = (StoreError, ListenError, CertificateError, SettingError, OSError)
"""What can stop a start for a reason that the operator can mend; its text says how."""


def run(settings: GatewaySettings) -> int:
    """Serves until SIGINT or SIGTERM; the exit code."""
    configure(settings.log_level)
    try:
        uvloop.run(_run(settings))
    except REFUSALS as error:
        print(f"tenantry: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(settings: GatewaySettings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        store = await EtcdStore.open(settings.etcd())
        stack.push_async_callback(store.close)
        gateway = Gateway(settings, store, await shared_authority(store))
        stack.push_async_callback(gateway.stop)
        await gateway.start()
        gc.collect()
        gc.freeze()
        print(f"tenantry gateway serves {settings.external_url} on port {gateway.port}", flush=True)
        await stopped.wait()


class Gateway:
    """Everything of a gateway but its store and signals. Made, started, stopped."""

    def __init__(self, settings: GatewaySettings, store: Store, authority: CertificateAuthority) -> None:
        self._settings = settings
        self._authority = authority
        self.urls = Urls(settings.external_url)
        self.catalog = Catalog(store)
        self.map = RangeMap(store)
        self.directory = Directory(self.catalog, self.map, settings.external_url)
        self.health = Health()
        self.metrics = Metrics()
        self._feed = MapFeed(self.map, self.urls, cell=store.cell)
        self._stack = AsyncExitStack()
        self._root_seen = False
        self.port = self.lookup_port = self.health_port = 0

    async def start(self) -> None:
        """Returns when it serves. Raises StoreError, ListenError, CertificateError, OSError."""
        settings, stack = self._settings, self._stack
        await self.map.start()
        stack.push_async_callback(self.map.stop)
        await self.catalog.start()
        stack.push_async_callback(self.catalog.stop)
        self.directory.start()
        stack.callback(self.directory.stop)
        self.health.add("root-range", self._root_owned)
        owners = Owners(
            self.map,
            tls=pair_client_context(self._authority.certificate, self._authority.issue_client(CLIENT_NAME)),
            grace_seconds=settings.stale_owner_seconds,
        )
        owners.start()
        stack.callback(owners.stop)
        figures = ProxyFigures()
        client_ca = self._client_ca()
        proxy = Proxy(
            Router(self.directory, token_cluster=token_cluster),
            owners,
            identities=ClientCertificates(client_ca),
            health=self.health,
            patience_seconds=settings.patience_seconds,
            figures=figures,
        )
        self._count(owners, figures)
        if settings.health_port >= 0:
            probes = EdgeServer(self._probe, limits=Limits(watches=0))
            self.health_port = await probes.start(settings.bind_address, settings.health_port)
            stack.push_async_callback(probes.stop)
        serving = self._authority.issue_serving(self._names())
        await self._serve_lookups(serving)
        edge = EdgeServer(
            proxy,
            tls=self._tls(serving, client_ca),
            limits=self._limits(),
            metrics=self.metrics,
            access_log=AccessLog(sys.stdout.buffer) if settings.access_log else None,
        )
        self.port = await edge.start(settings.bind_address, settings.secure_port)
        stack.push_async_callback(edge.stop)
        stack.push_async_callback(edge.drain, settings.shutdown_grace_seconds)
        self._leave_access()
        stack.callback(self.health.drain)

    async def stop(self) -> None:
        """Drains: watches and followers are ended cleanly, requests under way are finished."""
        await self._stack.aclose()

    def __repr__(self) -> str:
        return f"<Gateway {self.urls.external} {self.map!r}>"

    async def _serve_lookups(self, serving: Pair) -> None:
        settings = self._settings
        self._feed.start()
        lookups = Lookups(
            self.directory,
            urls=self.urls,
            urls_of=lambda cluster, export: published_urls(self, cluster, export),
            tenants=lambda info: self.directory.tenants(info.name),
            feed=self._feed,
            followers=settings.max_map_followers,
        )
        server = await serve(
            lookups,
            f"{_bracketed(settings.bind_address)}:{settings.gateway_port}",
            ca=self._authority.certificate,
            certificate=serving.certificate,
            key=serving.key,
        )
        self.lookup_port = server.port
        self._stack.push_async_callback(server.stop, 1.0)
        self._stack.push_async_callback(self._feed.stop)

    async def _probe(self, request: Request) -> Reply:
        request.verb = request.method.lower()
        if request.path == "/metrics":
            return Response(200, self.metrics.text(), CONTENT_TYPE, compressible=True)
        if request.path.strip("/").partition("/")[0] in ("healthz", "livez", "readyz"):
            return self.health.serve(request, request.path)
        return page_not_found()

    def _root_owned(self) -> str | None:
        """Only the first time: who was ready once stays so while an owner is replaced, or every gateway would go at once."""
        if not self._root_seen:
            root = self.map.range_of(ROOT)
            self._root_seen = root is not None and bool(root.shard)
        return None if self._root_seen else "no shard serves the root workspace yet"

    def _count(self, owners: Owners, figures: ProxyFigures) -> None:
        def connections() -> tuple[int, int, int]:
            pools = owners.upstreams
            return sum(p.connections for p in pools), sum(p.idle for p in pools), sum(p.opened for p in pools)

        self.metrics.registry.register(
            GatewayFigures(
                figures,
                connections=connections,
                cut=lambda: owners.cut,
                subscribers=lambda: self._feed.followers,
                version=lambda: self.map.version,
            )
        )

    def _tls(self, serving: Pair, client_ca: bytes) -> ssl.SSLContext:
        settings = self._settings
        if settings.tls_cert_file:
            return server_context(Path(settings.tls_cert_file), Path(settings.tls_private_key_file), client_ca_pem=client_ca)
        return pair_server_context(serving, client_ca_pem=client_ca)

    def _client_ca(self) -> bytes:
        path = self._settings.client_ca_file
        return Path(path).read_bytes() if path else self._authority.certificate

    def _limits(self) -> Limits:
        settings = self._settings
        return Limits(
            body_bytes=settings.max_request_body_bytes,
            reading_requests=settings.max_requests_inflight,
            writing_requests=settings.max_mutating_requests_inflight,
            watches=settings.max_watches,
            request_timeout_seconds=settings.request_timeout_seconds,
            drain_seconds=settings.shutdown_grace_seconds,
        )

    def _names(self) -> list[str]:
        """What the serving certificate is for; the first is its common name."""
        settings = self._settings
        host = urlsplit(settings.external_url).hostname or "localhost"
        more = filter(None, map(str.strip, settings.serving_names.split(",")))
        names = [host, *more, settings.bind_address, "127.0.0.1", "::1", "localhost", socket.gethostname()]
        return [name for name in dict.fromkeys(names) if name not in ("0.0.0.0", "::")]

    def _leave_access(self) -> None:
        folder = self._settings.access_directory
        if folder == Path():
            return
        pki = folder / "pki"
        pki.mkdir(parents=True, exist_ok=True)
        (pki / "ca.crt").write_bytes(self._authority.certificate)
        self._authority.issue_client("tenantry-lookup").write(pki / "lookup-client.crt", pki / "lookup-client.key")
        addresses = {"url": self.urls.external, "gateway": f"127.0.0.1:{self.lookup_port}"}
        write_private(folder / "run.json", json.dumps(addresses).encode())


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
