"""The process `tenantry shard`: one shard, on etcd."""

from __future__ import annotations

import asyncio
import logging
import socket
from importlib.metadata import version

import msgspec

from shard.load_reports import reporting_loads
from shard.registry_opener import RegistryOpener
from shard.settings import ShardSettings
from shard.wiring import Shard
from tenantry.apiserver.authentication import common_names
from tenantry.apiserver.authentication.client_certificate import RequestHeaders
from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority
from tenantry.apiserver.forwarded_process import ForwardedProcess
from tenantry.apiserver.life_cycle import run_on_etcd
from tenantry.apiserver.request import Handler, Request
from tenantry.apiserver.storage_errors import not_owner
from tenantry.base.backoff import Backoff
from tenantry.client.registry import RegistryClient
from tenantry.http.certificates import CertificateAuthority, pair_client_context
from tenantry.http.listen_addresses import bracketed
from tenantry.http.messages import Reply
from tenantry.placement.map import ShardInfo
from tenantry.placement.paths.tenant_paths import tenant_of
from tenantry.placement.range_map import RangeMap
from tenantry.placement.range_opening import RangeOpening
from tenantry.placement.reachability import CLOCK_WARNING_SECONDS, Reach, ahead, clock_gauge
from tenantry.placement.reachability_probe import NEIGHBOURS, ReachProbe
from tenantry.placement.remote_peers import RemotePeers
from tenantry.placement.remote_views import RemoteViews
from tenantry.placement.shard_connections import ShardConnections
from tenantry.placement.urls import Urls
from tenantry.placement.view_connections import ViewConnections
from tenantry.placement.view_forwarding import ViewForwarding
from tenantry.placement.view_processes import ViewProcesses
from tenantry.storage.etcd.config import EtcdConfig
from tenantry.storage.etcd.store import EtcdStore
from tenantry.storage.store import Store, StoreError

logger = logging.getLogger(__name__)

_DRAIN_RETRY_SECONDS = 0.2


def run(settings: ShardSettings) -> int:
    """Serves until SIGINT or SIGTERM, and then until other shards own its ranges. Returns the exit code."""
    return run_on_etcd(settings, ShardProcess)


class ShardProcess(ForwardedProcess[ShardSettings]):
    """`tenantry shard`.

    `url` is empty and `shard` None until the server listens: the system may choose the port, and the shard is made with its URL.
    Until then the server answers 503, and gateways and other shards try again.
    """

    def __init__(self, settings: ShardSettings, store: Store, authority: CertificateAuthority) -> None:
        super().__init__(settings, store, authority)
        self.name = settings.shard_name or socket.gethostname()
        self.url = ""
        self.map = RangeMap(store)
        self.reach = Reach(store, own=self.uid)
        self.shard: Shard | None = None

    def __repr__(self) -> str:
        return f"<ShardProcess {self.name} {self.uid} at {self.url or '(not listening)'} {self.map!r}>"

    @property
    def startup_message(self) -> str:
        return f"tenantry shard {self.name} serves {self.url}"

    async def start(self) -> None:
        """Returns when the shard may serve: root is installed, and its ranges are loaded or being loaded."""
        settings, stack, authority = self._settings, self._stack, self._authority
        await self._serve_probes(settings.bind_address, settings.health_port)
        self.health.add("session", self._session_check)
        await self.map.start()
        stack.push_async_callback(self.map.stop)
        client = self.certificates.client("client", common_names.SHARD)
        ca = authority.certificate
        registries = RegistryClient(
            settings.registries(),
            ca=ca,
            certificate=client.pair.certificate,
            key=client.pair.key,
            server_name=common_names.REGISTRY,
        )
        client.follow(lambda pair: registries.renew(pair.certificate, pair.key))
        stack.push_async_callback(registries.close)
        owners = ShardConnections(self.map, tls=pair_client_context(ca, client.pair))
        client.follow(lambda pair: owners.renew(pair_client_context(ca, pair)))
        owners.start()
        stack.callback(owners.stop)
        views = ViewProcesses(self._store)
        await views.start()
        stack.push_async_callback(views.stop)
        view_connections = ViewConnections(views, tls=pair_client_context(ca, client.pair))
        client.follow(lambda pair: view_connections.renew(pair_client_context(ca, pair)))
        view_connections.start()
        stack.callback(view_connections.stop)
        await self.reach.start()
        stack.push_async_callback(self.reach.stop)
        self.health.add("reachable", self._reachable_check)
        clock_gauge(self.metrics, self.reach)
        auditor = settings.auditor()
        if auditor is not None:
            await auditor.serve(stack, self.metrics)
        server = self._http_server()
        self.port = await server.start(settings.bind_address, settings.secure_port)
        stack.push_async_callback(server.stop)
        self.url = f"https://{bracketed(self._address())}:{self.port}"
        identity = await self._identity(peers=(common_names.SHARD,), signer=ClusterAuthority(authority))
        peers = RemotePeers(
            self.map,
            owners,
            uid=self.uid,
            own=self._own,
            identities=identity.requests,
            patience_seconds=settings.peer_patience_seconds,
            answer_seconds=settings.request_timeout_seconds,
            body_bytes=settings.max_request_body_bytes,
        )
        shard = self.shard = Shard(
            info=ShardInfo(self.name, self.uid, self.url),
            store=self._store,
            range_map=self.map,
            opening=RangeOpening(self.map, RegistryOpener(registries)),
            peers=peers,
            urls=Urls(settings.external_url),
            identity=identity,
            authorizers=await self._authorizers(),
            ca_certificate=ca,
            health=self.health,
            metrics=self.metrics,
            version=version("tenantry"),
            options=settings.shard_options(limits=settings.limits(), ttl_seconds=settings.session_ttl_seconds),
            open_store=self._heartbeat_store if isinstance(self._store, EtcdStore) else None,
            view_processes=views,
            auditor=auditor,
            remote_views=RemoteViews(
                ViewForwarding(view_connections),
                identities=identity.requests,
                peers=RequestHeaders(ca, allowed_names=(common_names.SHARD, common_names.VIEWS)),
                body_bytes=settings.max_request_body_bytes,
            ),
        )
        stack.push_async_callback(shard.stop)
        stack.push_async_callback(server.drain, settings.shutdown_grace_seconds)
        await shard.join()
        probe = ReachProbe(self._store, self.map, owners, uid=self.uid, name=f"shard {self.name}", neighbours=NEIGHBOURS)
        probe.start()
        stack.push_async_callback(probe.stop)
        await stack.enter_async_context(
            reporting_loads(shard.cell.ranges, shard.tenants, shard.session, settings.load_report_seconds)
        )
        await shard.start()

    async def drain(self) -> None:
        """Has other shards take over the ranges. Returns when they own them, if there is no other shard, or after
        `handover_seconds`."""
        await super().drain()
        if self.shard is None:
            return
        try:
            async with asyncio.timeout(self._settings.handover_seconds):
                await self._request_drain(self.shard)
                while self._owned() and self._others():
                    await self.map.moved()
        except TimeoutError:
            logger.warning("ranges were not handed over in time: %s", ", ".join(self._owned()))

    async def _request_drain(self, shard: Shard) -> None:
        backoff = Backoff.steady(_DRAIN_RETRY_SECONDS)
        while True:
            try:
                await shard.session.drain()
                return
            except StoreError as error:
                logger.warning("cannot mark the session as draining, retrying", extra={"error": str(error)})
                await backoff.pause()

    def _owned(self) -> list[str]:
        return [info.name for info in self.map.ranges() if info.owner == self.uid]

    def _others(self) -> bool:
        return any(info.uid != self.uid and not info.draining for info in self.map.shards())

    async def _handle(self, request: Request) -> Reply:
        if self.shard is None:
            raise not_owner(f"shard {self.name} is starting")
        return await self.shard.handle(request)

    def _own(self, range_name: str) -> Handler | None:
        return self.shard.handler_of(range_name) if self.shard is not None else None

    def _session_check(self) -> str | None:
        if self.shard is None:
            return "starting"
        return None if self.shard.cell.guard.alive else "the session lease is not confirmed"

    def _reachable_check(self) -> str | None:
        why = self.reach.why_not(self.uid)
        if not why:
            return None
        difference = self.reach.clock_difference_seconds
        off = f"; its clock is off: {ahead(difference)}" if abs(difference) >= CLOCK_WARNING_SECONDS else ""
        return f"this shard gets no ranges: {why}{off}"

    async def _heartbeat_store(self) -> Store:
        return await EtcdStore.open(heartbeat_config(self._settings.etcd(), self._settings.session_ttl_seconds))

    def _tenant_of(self, path: str) -> str:
        return tenant_of(self.shard.directory, path) if self.shard is not None else ""


def heartbeat_config(config: EtcdConfig, ttl_seconds: float) -> EtcdConfig:
    """The configuration of the heartbeat's connection. Its deadlines are shorter than the lease, so that another member can be
    tried."""
    return msgspec.structs.replace(
        config,
        deadline_seconds=ttl_seconds / 2,
        dial_seconds=ttl_seconds / 4,
        last_retry_seconds=ttl_seconds / 8,
        keepalive_timeout_seconds=ttl_seconds / 2,
    )
