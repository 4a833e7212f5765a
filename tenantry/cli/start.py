"""`tenantry start`: registry, shards and gateway in one process, on SQLite."""

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
from importlib.metadata import version
from pathlib import Path

import uvloop

from gateway.front_door import FrontDoor
from gateway.lookups import SERVICE as LOOKUPS
from gateway.lookups import Lookups
from gateway.map_feed import MapFeed
from registry.service import SERVICE as REGISTRY
from registry.service import RegistryService
from shard.process import Identity, Shard
from tenantry.apiserver.authentication.admin_tokens import AdminTokenError, AdminTokens, prepare
from tenantry.apiserver.authentication.client_certificate import ClientCertificates
from tenantry.apiserver.authentication.service_account import KeyFileError, TokenIssuer, token_cluster
from tenantry.apiserver.authentication.static_tokens import StaticTokens, TokenFileError, read_token_file
from tenantry.apiserver.edge.certificates import CertificateAuthority, CertificateError, server_context
from tenantry.apiserver.edge.server import EdgeServer, ListenError
from tenantry.apiserver.endpoints.health import Health
from tenantry.apiserver.files import write_private
from tenantry.apiserver.http import Reply, Request
from tenantry.apiserver.limits import Limits
from tenantry.apiserver.logging import AccessLog, configure
from tenantry.apiserver.metrics import Metrics
from tenantry.apiserver.rpc.server import serve
from tenantry.cli import kubeconfig
from tenantry.cli.local_fleet import TTL_SECONDS, LocalFleet
from tenantry.cli.settings import Settings
from tenantry.kube.status import unavailable
from tenantry.storage.history import HistoryLimits
from tenantry.storage.keys import JOURNAL, prefix_end
from tenantry.storage.sqlite.store import SqliteStore
from tenantry.storage.store import Delete, StoreError
from tenantry.tenancy.exports.urls import published_urls
from tenantry.tenancy.host import Urls

log = logging.getLogger(__name__)

REFUSALS = (StoreError, ListenError, CertificateError, TokenFileError, AdminTokenError, KeyFileError, OSError)
"""What can stop a start for a reason that the operator can mend; its text says how."""


def run(settings: Settings) -> int:
    """Serves until SIGINT or SIGTERM; the exit code."""
    configure(settings.log_level)
    try:
        uvloop.run(Process(settings).run())
    except REFUSALS as error:
        print(f"tenantry: {error}", file=sys.stderr)
        return 1
    return 0


PROCESS_PREFIX = "tenantry-"
"""Of the names in the certificates of this system's own processes and commands."""


class Process:
    """Everything of one `tenantry start`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = settings.root_directory
        self._front: FrontDoor | None = None
        self._health = Health()
        self._metrics = Metrics()

    async def run(self) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        async with AsyncExitStack() as stack:
            # The store first: whoever holds its directory decides, and a damaged one is left as it is.
            store = await SqliteStore.open(self._root / "data")
            stack.push_async_callback(store.close)
            # The directory is this process's alone, so what journals are there are of processes that were killed.
            journals = JOURNAL.encode()
            await store.commit([], [], [Delete(journals, prefix_end(journals))])
            await self._start(store, stack)
            # What start-up made lives as long as the process: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            await stopped.wait()
            self._health.drain()

    async def _start(self, store: SqliteStore, stack: AsyncExitStack) -> None:
        settings, pki = self._settings, self._root / "pki"
        authority = CertificateAuthority.load_or_create(pki)
        edge = EdgeServer(
            self._handle,
            tls=self._tls(authority, pki),
            limits=self._limits(),
            metrics=self._metrics,
            access_log=AccessLog(sys.stdout.buffer) if settings.access_log else None,
        )
        port = await edge.start(settings.bind_address, settings.secure_port)
        stack.push_async_callback(edge.stop)
        url = f"https://{self._host_name()}:{port}"
        # The token is in the kubeconfig alone: it must be there before anything else can fail.
        tokens = prepare(self._root, self._root / "admin.kubeconfig")
        kubeconfig.write(self._root / "admin.kubeconfig", url=url, ca_certificate=authority.certificate, tokens=tokens)
        identity = self._identity(authority, tokens)

        fleet = LocalFleet(store, capacity=settings.range_capacity)
        for number in range(settings.shards):
            name = f"shard-{number + 1}"
            fleet.shards[name] = Shard(
                name=name,
                store=store,
                registry=fleet.map,
                peers=fleet.peers,
                urls=Urls(url),
                identity=identity,
                ca_certificate=authority.certificate,
                health=self._health,
                metrics=self._metrics,
                version=version("tenantry"),
                history_limits=HistoryLimits(events=settings.history_events),
                home_creator_groups=self._home_creator_groups(),
                ttl_seconds=TTL_SECONDS,
                publish_on_exports=settings.api_export_urls,
            )
        stack.push_async_callback(fleet.stop)
        await fleet.start()
        self._front = FrontDoor(
            fleet.home.host.directory,
            {name: shard.handle for name, shard in fleet.shards.items()},
            token_cluster=token_cluster,
        )
        gateway_port = await self._serve_lookups(authority, pki, fleet, stack)
        stack.push_async_callback(edge.drain, settings.shutdown_grace_seconds)
        run_file = self._root / "run.json"
        write_private(run_file, json.dumps({"url": url, "gateway": f"{self._address()}:{gateway_port}"}).encode())
        stack.callback(run_file.unlink, missing_ok=True)
        self._welcome(url)

    async def _handle(self, request: Request) -> Reply:
        front = self._front
        if front is None:
            raise unavailable("the server is starting")
        return await front(request)

    async def _serve_lookups(self, authority: CertificateAuthority, pki: Path, fleet: LocalFleet, stack: AsyncExitStack) -> int:
        host = fleet.home.host
        cell = host.cell.store.cell
        certificate, key = pki / "lookup-client.crt", pki / "lookup-client.key"
        authority.issue_client("tenantry-lookup").write(certificate, key)
        serving = authority.issue_serving(self._names())
        feed = MapFeed(fleet.map, host.urls, cell=cell)
        feed.start()
        stack.push_async_callback(feed.stop)
        service = Lookups(
            host.directory,
            urls=host.urls,
            urls_of=lambda cluster, export: published_urls(host, cluster, export),
            tenants=fleet.tenants,
            feed=feed,
        )
        ranges = RegistryService(fleet.registry, cell=cell, may_change=lambda name: name.startswith(PROCESS_PREFIX))
        server = await serve(
            {LOOKUPS: service.add_to, REGISTRY: ranges.add_to},
            f"{self._address()}:{self._settings.gateway_port}",
            ca=authority.certificate,
            certificate=serving.certificate,
            key=serving.key,
        )
        stack.push_async_callback(server.stop, 1.0)
        return server.port

    def _identity(self, authority: CertificateAuthority, tokens: AdminTokens) -> Identity:
        settings = self._settings
        issuer = TokenIssuer.load(self._root / "pki" / "service-account.key")
        users = tokens.users()
        if settings.token_auth_file:
            users = read_token_file(Path(settings.token_auth_file)) | users
        return Identity(
            requests=[ClientCertificates(self._client_ca(authority))],
            tokens=[StaticTokens(users, issuer.audiences)],
            issuer=issuer,
            anonymous=settings.anonymous_auth,
        )

    def _home_creator_groups(self) -> tuple[str, ...] | None:
        settings = self._settings
        if not settings.enable_home_workspaces:
            return None
        return tuple(filter(None, map(str.strip, settings.home_workspaces_home_creator_groups.split(","))))

    def _client_ca(self, authority: CertificateAuthority) -> bytes:
        path = self._settings.client_ca_file
        return Path(path).read_bytes() if path else authority.certificate

    def _tls(self, authority: CertificateAuthority, pki: Path) -> ssl.SSLContext:
        settings = self._settings
        if settings.tls_cert_file:
            certificate, key = Path(settings.tls_cert_file), Path(settings.tls_private_key_file)
        else:
            certificate, key = authority.serving(pki, self._names())
        return server_context(certificate, key, client_ca_pem=self._client_ca(authority))

    def _limits(self) -> Limits:
        settings = self._settings
        return Limits(
            body_bytes=settings.max_request_body_bytes,
            reading_requests=settings.max_requests_inflight,
            writing_requests=settings.max_mutating_requests_inflight,
            watches=settings.max_watches,
            watch_buffer_bytes=settings.watch_buffer_bytes,
            request_timeout_seconds=settings.request_timeout_seconds,
            drain_seconds=settings.shutdown_grace_seconds,
        )

    def _address(self) -> str:
        """Where to reach what listens on the bind address from this machine."""
        address = self._settings.bind_address
        return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, f"[{address}]" if ":" in address else address)

    def _host_name(self) -> str:
        return self._settings.external_hostname or self._address()

    def _names(self) -> list[str]:
        """What the serving certificate is for; the first is its common name."""
        names = [
            self._host_name().strip("[]"),
            self._settings.bind_address,
            "127.0.0.1",
            "::1",
            "localhost",
            socket.gethostname(),
        ]
        return [name for name in dict.fromkeys(names) if name not in ("0.0.0.0", "::")]

    def _welcome(self, url: str) -> None:
        path = (self._root / "admin.kubeconfig").resolve()
        print(
            f"tenantry serves {url}\n"
            f"\n"
            f"  export KUBECONFIG={path}\n"
            f"  kubectl get workspaces\n"
            f"  tenantry ranges --root-directory {self._root}\n"
            f"\n"
            f"Ctrl-C stops it; the data stays in {self._root}.",
            flush=True,
        )
