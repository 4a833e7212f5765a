"""The process `tenantry registry`. Any number may run: all of them answer, one leads."""

from __future__ import annotations

import socket
import uuid

from registry.assigner import BalancePolicy
from registry.service import LIMITS, SERVICE, RegistryService
from registry.settings import RegistrySettings
from registry.wiring import Registry
from tenantry.apiserver.authentication import common_names
from tenantry.apiserver.life_cycle import Process, run_on_etcd
from tenantry.apiserver.serving import serving_names
from tenantry.base.flags import listed
from tenantry.http.certificates import CertificateAuthority
from tenantry.http.listen_addresses import bracketed
from tenantry.placement.reachability import clock_gauge
from tenantry.rpc.server import RpcServer, serve_renewed
from tenantry.storage.store import Store


def run(settings: RegistrySettings) -> int:
    """Serves until SIGINT or SIGTERM. Returns the exit code."""
    return run_on_etcd(settings, RegistryProcess)


class RegistryProcess(Process[RegistrySettings]):
    def __init__(self, settings: RegistrySettings, store: Store, authority: CertificateAuthority) -> None:
        super().__init__(settings, store, authority)
        self.registry = Registry(
            store,
            capacity=settings.range_capacity,
            identity=f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}",
            balance=settings.balance,
            policy=BalancePolicy(churn=settings.balance_churn),
            ttl_seconds=settings.election_ttl_seconds,
            retention_seconds=settings.etcd_retention_seconds,
        )

    def __repr__(self) -> str:
        return f"<RegistryProcess port={self.port} {self.registry!r}>"

    @property
    def startup_message(self) -> str:
        return f"tenantry registry serves on port {self.port}"

    async def start(self) -> None:
        settings, stack = self._settings, self._stack
        self._register_metrics()
        await self.registry.start()
        stack.push_async_callback(self.registry.stop)
        await self._serve_probes(settings.bind_address, settings.health_port)
        server = await self._serve()
        self.port = server.port
        stack.push_async_callback(server.stop, settings.shutdown_grace_seconds)

    async def _serve(self) -> RpcServer:
        settings, authority = self._settings, self._authority
        service = RegistryService(self.registry, cell=self._store.cell, may_change=common_names.may_change_the_map)
        serving = self.certificates.serving(
            "serving", serving_names(common_names.REGISTRY, *listed(settings.serving_names), settings.bind_address)
        )
        server = await serve_renewed(
            {SERVICE: service.add_to},
            f"{bracketed(settings.bind_address)}:{settings.registry_port}",
            ca=authority.certificate,
            serving=serving,
            limits=LIMITS,
        )
        self.metrics.shares += server.shares
        return server

    def _register_metrics(self) -> None:
        registry, gauge = self.registry, self.metrics.gauge
        gauge("tenantry_registry_leading", "1 if this registry leads, else 0.", lambda: registry.election.leading)
        gauge("tenantry_registry_ranges", "Number of ranges in the map.", lambda: len(registry.map.ranges()))
        gauge(
            "tenantry_registry_ranges_without_owner",
            "Number of ranges that no living shard owns.",
            lambda: sum(not info.shard for info in registry.map.ranges()),
        )
        gauge("tenantry_registry_shards", "Number of living shards.", lambda: len(registry.map.shards()))
        gauge(
            "tenantry_registry_shards_out_of_reach",
            "Number of living shards that get no ranges because gateways and other shards cannot reach them.",
            lambda: sum(bool(registry.reach.why_not(shard.uid)) for shard in registry.map.shards()),
        )
        clock_gauge(self.metrics, registry.reach)
        gauge(
            "tenantry_registry_map_version",
            "The revision of the store up to which the map is complete.",
            lambda: registry.map.version,
        )
        gauge("tenantry_registry_moves", "Number of range moves that this registry started.", lambda: registry.assignments.moves)
