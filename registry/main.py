"""One registry as a process. Any number may run: all answer, one leads."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
import uuid
from contextlib import AsyncExitStack

import uvloop

from registry.assigner import Policy
from registry.process import Registry
from registry.service import SERVICE, RegistryService
from registry.settings import RegistrySettings
from tenantry.apiserver.edge.certificates import CertificateAuthority, CertificateError
from tenantry.apiserver.edge.server import EdgeServer, ListenError
from tenantry.apiserver.edge.shared_authority import shared_authority
from tenantry.apiserver.endpoints.health import Health
from tenantry.apiserver.endpoints.plain import page_not_found
from tenantry.apiserver.http import Reply, Request, Response
from tenantry.apiserver.limits import Limits
from tenantry.apiserver.logging import configure
from tenantry.apiserver.metrics import CONTENT_TYPE, Metrics
from tenantry.apiserver.rpc.server import RpcServer, serve
from tenantry.flags import SettingError
from tenantry.storage.etcd.store import EtcdStore
from tenantry.storage.store import Store, StoreError

log = logging.getLogger(__name__)

SERVER_NAME = "tenantry-registry"
"""In the certificate of every registry: clients need not know by which name they reached one."""
PROCESS_PREFIX = "tenantry-"
"""Of the common names of the platform's own processes and commands, which alone may change anything."""
REFUSALS = (StoreError, ListenError, CertificateError, SettingError, OSError)
"""What can stop a start for a reason that the operator can mend; its text says how."""


def run(settings: RegistrySettings) -> int:
    """Serves until SIGINT or SIGTERM; the exit code."""
    configure(settings.log_level)
    try:
        uvloop.run(_run(settings))
    except REFUSALS as error:
        print(f"tenantry: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(settings: RegistrySettings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        store = await EtcdStore.open(settings.etcd())
        stack.push_async_callback(store.close)
        process = RegistryProcess(settings, store, await shared_authority(store))
        stack.push_async_callback(process.stop)
        await process.start()
        gc.collect()
        gc.freeze()
        print(f"tenantry registry serves on port {process.port}", flush=True)
        await stopped.wait()


class RegistryProcess:
    """Everything of a registry's process but its store and signals. Made, started, stopped."""

    def __init__(self, settings: RegistrySettings, store: Store, authority: CertificateAuthority) -> None:
        self._settings = settings
        self._store = store
        self._authority = authority
        self.registry = Registry(
            store,
            capacity=settings.range_capacity,
            identity=f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}",
            balance=settings.balance,
            policy=Policy(churn=settings.balance_churn),
            ttl_seconds=settings.election_ttl_seconds,
            retention_seconds=settings.etcd_retention_seconds,
        )
        self.health = Health()
        self.metrics = Metrics()
        self._stack = AsyncExitStack()
        self.port = self.health_port = 0

    def __repr__(self) -> str:
        return f"<RegistryProcess port={self.port} {self.registry!r}>"

    async def start(self) -> None:
        """Returns when it answers. Raises StoreError, ListenError, CertificateError, OSError."""
        settings, stack = self._settings, self._stack
        self._count()
        await self.registry.start()
        stack.push_async_callback(self.registry.stop)
        server = await self._serve()
        self.port = server.port
        if settings.health_port >= 0:
            probes = EdgeServer(self._probe, limits=Limits(watches=0))
            self.health_port = await probes.start(settings.bind_address, settings.health_port)
            stack.push_async_callback(probes.stop)
        stack.push_async_callback(server.stop, settings.shutdown_grace_seconds)
        stack.callback(self.health.drain)

    async def stop(self) -> None:
        """Ends watches, finishes calls under way, and gives up the lead."""
        await self._stack.aclose()

    async def _serve(self) -> RpcServer:
        settings = self._settings
        service = RegistryService(self.registry, cell=self._store.cell, may_change=lambda name: name.startswith(PROCESS_PREFIX))
        serving = self._authority.issue_serving(self._names())
        address = f"[{settings.bind_address}]" if ":" in settings.bind_address else settings.bind_address
        return await serve(
            {SERVICE: service.add_to},
            f"{address}:{settings.registry_port}",
            ca=self._authority.certificate,
            certificate=serving.certificate,
            key=serving.key,
        )

    def _names(self) -> list[str]:
        more = filter(None, map(str.strip, self._settings.serving_names.split(",")))
        names = [SERVER_NAME, *more, self._settings.bind_address, "127.0.0.1", "::1", "localhost", socket.gethostname()]
        return [name for name in dict.fromkeys(names) if name not in ("0.0.0.0", "::")]

    async def _probe(self, request: Request) -> Reply:
        request.verb = request.method.lower()
        if request.path == "/metrics":
            return Response(200, self.metrics.text(), CONTENT_TYPE, compressible=True)
        if request.path.strip("/").partition("/")[0] in ("healthz", "livez", "readyz"):
            return self.health.serve(request, request.path)
        return page_not_found()

    def _count(self) -> None:
        registry, gauge = self.registry, self.metrics.gauge
        gauge("tenantry_registry_leading", "1 while this registry leads.", lambda: registry.election.leading)
        gauge("tenantry_registry_ranges", "Ranges in the map.", lambda: len(registry.map.ranges()))
        gauge(
            "tenantry_registry_ranges_without_owner",
            "Ranges that no living shard owns.",
            lambda: sum(not info.shard for info in registry.map.ranges()),
        )
        gauge("tenantry_registry_shards", "Living shards.", lambda: len(registry.map.shards()))
        gauge("tenantry_registry_map_version", "The store's revision up to which the map is known.", lambda: registry.map.version)
        gauge("tenantry_registry_moves", "Moves that this registry began.", lambda: registry.assignments.moves)
