"""The process `tenantry views`: virtual workspaces in a process of their own, on etcd."""

from __future__ import annotations

import logging
import socket
from importlib.metadata import version

from tenantry.apiserver.authentication import common_names
from tenantry.apiserver.forwarded_process import ForwardedProcess
from tenantry.apiserver.life_cycle import run_on_etcd
from tenantry.apiserver.request import Request
from tenantry.apiserver.storage_errors import not_owner
from tenantry.http.certificates import CertificateAuthority, pair_client_context
from tenantry.http.listen_addresses import bracketed
from tenantry.http.messages import Reply
from tenantry.placement.forwarding import Forwarding
from tenantry.placement.paths.tenant_paths import tenant_of
from tenantry.placement.range_map import RangeMap
from tenantry.placement.remote_peers import RemotePeers
from tenantry.placement.shard_connections import ShardConnections
from tenantry.placement.urls import Urls
from tenantry.placement.view_registration import ViewRegistration
from tenantry.placement.view_rows import ViewProcessRow
from tenantry.storage.history import HistoryLimits
from tenantry.storage.store import Store, StoreError
from views.metrics import register_metrics
from views.settings import ViewsSettings
from views.wiring import ViewServer
from views.writes import OwnersWrite

logger = logging.getLogger(__name__)


def run(settings: ViewsSettings) -> int:
    """Serves until SIGINT or SIGTERM. Returns the exit code."""
    return run_on_etcd(settings, ViewsProcess)


class ViewsProcess(ForwardedProcess[ViewsSettings]):
    """`tenantry views`. `url` is empty and `server` None until it listens; until then it answers 503."""

    def __init__(self, settings: ViewsSettings, store: Store, authority: CertificateAuthority) -> None:
        super().__init__(settings, store, authority)
        self.name = settings.views_name or socket.gethostname()
        self.url = ""
        self.map = RangeMap(store)
        self.server: ViewServer | None = None
        self._registration: ViewRegistration | None = None

    def __repr__(self) -> str:
        return f"<ViewsProcess {self.name} {self.uid} at {self.url or '(not listening)'}>"

    @property
    def startup_message(self) -> str:
        views = ", ".join(self.server.views) if self.server is not None else ""
        return f"tenantry views {self.name} ({views}) serves {self.url}"

    async def start(self) -> None:
        """Returns when it is registered: from then on gateways and shards send it the requests for its views."""
        settings, stack = self._settings, self._stack
        await self._serve_probes(settings.bind_address, settings.health_port)
        self.health.add("views", lambda: self._why_not() or None)
        await self.map.start()
        stack.push_async_callback(self.map.stop)
        client = self.certificates.client("client", common_names.VIEWS)
        ca = self._authority.certificate
        owners = ShardConnections(self.map, tls=pair_client_context(ca, client.pair))
        client.follow(lambda pair: owners.renew(pair_client_context(ca, pair)))
        owners.start()
        stack.callback(owners.stop)
        server = self._http_server()
        self.port = await server.start(settings.bind_address, settings.secure_port)
        stack.push_async_callback(server.stop)
        self.url = f"https://{bracketed(self._address())}:{self.port}"
        identity = await self._identity()
        peers = RemotePeers(
            self.map,
            owners,
            uid=self.uid,
            own=lambda _: None,
            identities=identity.requests,
            patience_seconds=settings.owner_patience_seconds,
            answer_seconds=settings.request_timeout_seconds,
            body_bytes=settings.max_request_body_bytes,
        )
        auditor = settings.auditor()
        if auditor is not None:
            await auditor.serve(stack, self.metrics)
        views = self.server = ViewServer(
            name=self.name,
            only=settings.names(),
            store=self._store,
            range_map=self.map,
            peers=peers,
            urls=Urls(settings.external_url),
            identity=identity,
            authorizers=await self._authorizers(),
            writes=OwnersWrite(
                Forwarding(owners, patience_seconds=settings.owner_patience_seconds),
                self.map,
                answer_seconds=settings.request_timeout_seconds,
                body_bytes=settings.max_request_body_bytes,
            ),
            health=self.health,
            metrics=self.metrics,
            version=version("tenantry"),
            memory=settings.memory(),
            history_limits=HistoryLimits(events=settings.history_events),
            auditor=auditor,
        )
        stack.push_async_callback(views.stop)
        register_metrics(self.metrics, views)
        stack.push_async_callback(server.drain, settings.shutdown_grace_seconds)
        await views.start()
        registration = ViewRegistration(
            self._store,
            self.uid,
            ViewProcessRow(self.name, self.url, version("tenantry"), sorted(views.views)),
            why_not=self._why_not,
            ttl_seconds=settings.session_ttl_seconds,
        )
        await registration.start()
        self._registration = registration
        # Before the server drains: no new requests come while its watches end.
        stack.push_async_callback(registration.stop)

    async def drain(self) -> None:
        await super().drain()
        if self._registration is not None:
            try:
                await self._registration.drain()
            except StoreError as error:
                logger.warning("cannot say that this process ends", extra={"error": str(error)})

    async def _handle(self, request: Request) -> Reply:
        if self.server is None:
            raise not_owner(f"the process of views {self.name} is starting")
        return await self.server.handle(request)

    def _why_not(self) -> str:
        return self.server.why_not() if self.server is not None else "starting"

    def _tenant_of(self, path: str) -> str:
        return tenant_of(self.server.tenancy.directory, path) if self.server is not None else ""
