"""`tenantry start`: registry, shards and gateway in one process, on SQLite."""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path

from gateway.local_proxy import LocalProxy
from gateway.lookups import LIMITS as LOOKUP_LIMITS
from gateway.lookups import SERVICE as LOOKUPS
from gateway.lookups import Lookups
from gateway.map_feed import MapFeed
from registry.service import SERVICE as REGISTRY
from registry.service import RegistryService
from shard.wiring import Shard
from tenantry.apiserver.authentication import common_names
from tenantry.apiserver.authentication.admin_tokens import AdminTokens, prepare
from tenantry.apiserver.authentication.client_authority import ClientAuthority
from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority
from tenantry.apiserver.authentication.front_proxies import front_proxies
from tenantry.apiserver.authentication.identity import Identity, identity_of
from tenantry.apiserver.authentication.service_account_tokens import TokenIssuer, token_cluster
from tenantry.apiserver.authorizers.configured_webhooks import configured_webhooks
from tenantry.apiserver.callers import ApiCallers
from tenantry.apiserver.life_cycle import Process, run_process
from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import https_server, serving_names
from tenantry.base.files import write_private
from tenantry.cli import kubeconfig
from tenantry.cli.local_platform import TTL_SECONDS, LocalPlatform
from tenantry.cli.settings import StartSettings
from tenantry.http.certificates import CertificateAuthority
from tenantry.http.listen_addresses import from_here
from tenantry.http.messages import Reply
from tenantry.kube.status import unavailable
from tenantry.placement.map import ShardInfo
from tenantry.placement.paths.directory import Directory
from tenantry.placement.paths.tenant_paths import tenant_of
from tenantry.placement.peers import Peers
from tenantry.placement.range_map import RangeMap
from tenantry.placement.range_opening import RangeOpening
from tenantry.placement.urls import Urls
from tenantry.rpc.server import serve_renewed
from tenantry.storage.sqlite.store import SqliteStore
from tenantry.storage.store import Store
from tenantry.tenancy.exports.export_urls import published_urls


def run(settings: StartSettings) -> int:
    """Serves until SIGINT or SIGTERM. Returns the exit code."""

    async def opening(stack: AsyncExitStack) -> WholePlatform:
        # The store is opened first: it locks the directory. If it is damaged, nothing else is written.
        store = await SqliteStore.open(settings.root_directory / "data")
        stack.push_async_callback(store.close)
        return WholePlatform(settings, store, CertificateAuthority.load_or_create(settings.root_directory / "pki"))

    return run_process(settings, opening)


class WholePlatform(Process[StartSettings]):
    """The process `tenantry start`: registry, shards and gateway.

    The server listens first, because the URL of all that follows has its port. Until the shards serve, it answers 503.
    """

    def __init__(self, settings: StartSettings, store: Store, authority: CertificateAuthority) -> None:
        super().__init__(settings, store, authority)
        self._root = settings.root_directory
        self._uid = uuid.uuid4().hex
        self._front: LocalProxy | None = None
        self._directory: Directory | None = None
        self._clients = ClientAuthority.of(settings, self.certificates)
        self._proxies = front_proxies(settings, self.certificates, self._clients)

    async def start(self) -> None:
        settings, stack, authority = self._settings, self._stack, self._authority
        auditor = settings.auditor()
        if auditor is not None:
            await auditor.serve(stack, self.metrics)
        serving = self.certificates.serving_files("serving", self._root / "pki", self._names())
        server = https_server(
            self._handle,
            settings,
            limits=settings.limits(watch_buffer_bytes=settings.watch_buffer_bytes),
            certificates=self.certificates,
            serving=serving,
            clients=self._clients,
            metrics=self.metrics,
            callers=ApiCallers(
                self._tenant_of,
                certificates=self._clients.identities(),
                headers=(self._proxies.headers,) if self._proxies is not None else (),
            ),
            proxies=self._proxies,
        )
        self.port = await server.start(settings.bind_address, settings.secure_port)
        stack.push_async_callback(server.stop)
        # The token is only in the kubeconfig, so it is written before anything else can fail.
        tokens = prepare(self._root, self._root / "admin.kubeconfig")
        kubeconfig.write(self._root / "admin.kubeconfig", url=self._url, ca_certificate=authority.certificate, tokens=tokens)
        identity, urls = await self._identity(tokens), Urls(self._url)
        stack.push_async_callback(identity.stop)
        identity.start()
        authorizers = await configured_webhooks(settings, calls=self.calls, metrics=self.metrics, process=self._uid)
        if authorizers is not None:
            stack.push_async_callback(authorizers.stop)
            authorizers.start()
        options = settings.shard_options(limits=settings.limits(), ttl_seconds=TTL_SECONDS)

        def make_shard(*, name: str, range_map: RangeMap, opening: RangeOpening, peers: Peers) -> Shard:
            return Shard(
                info=ShardInfo(name, uuid.uuid4().hex, urls.external),
                store=self._store,
                range_map=range_map,
                opening=opening,
                peers=peers,
                urls=urls,
                identity=identity,
                authorizers=authorizers,
                ca_certificate=authority.certificate,
                health=self.health,
                metrics=self.metrics,
                version=version("tenantry"),
                options=options,
                auditor=auditor,
            )

        names = [f"shard-{number + 1}" for number in range(settings.shards)]
        platform = LocalPlatform(self._store, capacity=settings.range_capacity, names=names, make_shard=make_shard)
        stack.push_async_callback(platform.stop)
        await platform.start()
        self._directory = platform.home.directory
        self._front = LocalProxy(
            self._directory,
            {name: shard.handle for name, shard in platform.shards.items()},
            token_cluster=token_cluster,
        )
        lookup_port = await self._serve_lookups(platform, urls)
        stack.push_async_callback(server.drain, settings.shutdown_grace_seconds)
        run_file = self._root / "run.json"
        lookups = f"{from_here(settings.bind_address)}:{lookup_port}"
        write_private(run_file, json.dumps({"url": self._url, "gateway": lookups, "registry": lookups}).encode())
        stack.callback(run_file.unlink, missing_ok=True)

    @property
    def startup_message(self) -> str:
        path = (self._root / "admin.kubeconfig").resolve()
        return (
            f"tenantry serves {self._url}\n"
            f"\n"
            f"  export KUBECONFIG={path}\n"
            f"  kubectl get workspaces\n"
            f"  {command_here()} ranges --root-directory {self._root}\n"
            f"\n"
            f"Ctrl-C stops it; the data stays in {self._root}."
        )

    async def _handle(self, request: Request) -> Reply:
        front = self._front
        if front is None:
            raise unavailable("the server is starting")
        return await front(request)

    def _tenant_of(self, path: str) -> str:
        return tenant_of(self._directory, path) if self._directory is not None else ""

    async def _serve_lookups(self, platform: LocalPlatform, urls: Urls) -> int:
        home, authority, pki = platform.home, self._authority, self._root / "pki"
        cell = self._store.cell
        self.certificates.client_files("lookup-client", pki, common_names.LOOKUP)
        serving = self.certificates.serving("grpc-serving", [*self._names(), common_names.REGISTRY])
        feed = MapFeed(platform.map, urls, cell=cell)
        feed.start()
        self._stack.push_async_callback(feed.stop)
        lookups = Lookups(
            home.directory,
            urls=urls,
            urls_of=lambda cluster, export: published_urls(home.catalog, urls, cluster, export),
            tenants=platform.tenants,
            feed=feed,
        )
        ranges = RegistryService(platform.registry, cell=cell, may_change=common_names.may_change_the_map)
        server = await serve_renewed(
            {LOOKUPS: lookups.add_to, REGISTRY: ranges.add_to},
            f"{from_here(self._settings.bind_address)}:{self._settings.gateway_port}",
            ca=authority.certificate,
            serving=serving,
            limits=LOOKUP_LIMITS,
        )
        self.metrics.shares += server.shares
        self._stack.push_async_callback(server.stop, 1.0)
        return server.port

    async def _identity(self, tokens: AdminTokens) -> Identity:
        return await identity_of(
            self._settings,
            requests=[*((self._proxies.headers,) if self._proxies is not None else ()), self._clients.identities()],
            users=tokens.users(),
            issuer=TokenIssuer.load(self._root / "pki" / "service-account.key"),
            calls=self.calls,
            metrics=self.metrics,
            process=self._uid,
            signer=ClusterAuthority(self._authority),
        )

    @property
    def _url(self) -> str:
        return f"https://{self._host_name()}:{self.port}"

    def _host_name(self) -> str:
        return self._settings.external_hostname or from_here(self._settings.bind_address)

    def _names(self) -> list[str]:
        return serving_names(self._host_name().strip("[]"), self._settings.bind_address)


def command_here() -> str:
    """How to call `tenantry` from another shell: by its path if it is in a virtual environment that is not active."""
    called = sys.argv[0]
    return called if Path(called).name == "tenantry" and shutil.which("tenantry") is None else "tenantry"
