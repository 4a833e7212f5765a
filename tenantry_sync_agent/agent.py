"""The agent: leader election, and while it leads: heartbeats, discovery and the syncer."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from tenantry.base.backoff import Backoff
from tenantry.base.flags import listed
from tenantry.base.tasks import restarting
from tenantry_sync_agent import metrics, target
from tenantry_sync_agent.api_client import ApiClient, ApiError, Object, Unreachable
from tenantry_sync_agent.discovery import Type, Types, discover, synced
from tenantry_sync_agent.election import Election
from tenantry_sync_agent.kubeconfig import load
from tenantry_sync_agent.probes import Probes
from tenantry_sync_agent.reflector import Place, Reflector
from tenantry_sync_agent.settings import SyncSettings
from tenantry_sync_agent.syncer import Syncer
from tenantry_sync_agent.translation import cluster_of
from tenantry_sync_agent.upsyncer import Upsyncer
from tenantry_syncer.names import Target

logger = logging.getLogger(__name__)

_NODES = "/api/v1/nodes"
_BINDINGS = "/apis/apis.kcp.io/v1alpha2/apibindings"


class Agent:
    """One process. `run` until it is cancelled."""

    def __init__(self, settings: SyncSettings) -> None:
        self.settings = settings
        self.port = 0
        self.identity = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._election: Election | None = None
        self._syncer: Syncer | None = None

    async def run(self) -> None:
        settings = self.settings
        timeout = settings.request_timeout_seconds
        async with AsyncExitStack() as stack:
            probes = Probes(self.unready)
            self.port = await probes.start(settings.probe_address, settings.probe_port)
            stack.push_async_callback(probes.stop)
            above = await stack.enter_async_context(ApiClient(load(settings.from_kubeconfig), timeout_seconds=timeout))
            below = await stack.enter_async_context(ApiClient(load(settings.to_kubeconfig), timeout_seconds=timeout))
            logger.info("probes and metrics are on port %d", self.port)
            found = await self._find(above)
            name = Target(cluster_of(found), settings.target, found["metadata"]["uid"])
            self._election = Election(
                below,
                namespace=settings.lease_namespace,
                name=f"tenantry-sync-{name.key}",
                identity=self.identity,
                seconds=settings.lease_seconds,
            )
            await self._election.run(lambda: self._lead(above, below, name))

    def unready(self) -> str | None:
        """A process that waits for its turn to lead is ready."""
        if self._election is None:
            return "the SyncTarget is not known yet"
        if self._election.leading and not (self._syncer is not None and self._syncer.synced):
            return "not everything was listed yet"
        return None

    async def _find(self, above: ApiClient) -> Object:
        backoff = Backoff(0.2, 15.0)
        while True:
            try:
                return await above.get(above.server + target.path(self.settings.target))
            except (ApiError, Unreachable) as error:
                logger.warning("the SyncTarget cannot be read: %s", error)
            await backoff.pause()

    async def _lead(self, above: ApiClient, below: ApiClient, name: Target) -> None:
        assert self._election is not None
        syncer = Syncer(above, below, name, workers=self.settings.workers, check=self._election.check)
        upsyncer = Upsyncer(above, below, name, workers=self.settings.workers, check=self._election.check)
        reign = _Reign(self.settings, name, above, below, syncer, upsyncer)
        self._syncer = syncer
        tasks = [
            restarting(work, name=work.__name__)
            for work in (reign.follow_target, reign.send_heartbeats, reign.follow_types, reign.measure)
        ]
        await syncer.start()
        await upsyncer.start()
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._syncer = None
            await syncer.stop()
            await upsyncer.stop()


class _Reign:
    """What one leader knows and does beside syncing objects."""

    def __init__(
        self, settings: SyncSettings, name: Target, above: ApiClient, below: ApiClient, syncer: Syncer, upsyncer: Upsyncer
    ) -> None:
        self._settings = settings
        self._name = name
        self._above = above
        self._below = below
        self._syncer = syncer
        self._upsyncer = upsyncer
        self._urls: list[target.Urls] = []
        self._types_below: Types = {}
        self._resources: list[Object] = []
        self._known = asyncio.Event()
        self._changed = asyncio.Event()
        url = above.server + target.path()
        self._target = Reflector(
            above, url, key=_name_of, changed=self._target_changed, fieldSelector=f"metadata.name={settings.target}"
        )

    async def follow_target(self) -> None:
        await self._target.run()

    async def follow_types(self) -> None:
        """Tells the syncer which URLs and types there are, at once after a change of the SyncTarget, and from time to time."""
        backoff = Backoff(0.2, self._settings.discovery_seconds)
        while True:
            self._changed.clear()
            try:
                await self._look()
                backoff.reset()
                pause = self._settings.discovery_seconds
            except (ApiError, Unreachable) as error:
                logger.warning("discovery failed: %s", error)
                pause = backoff.next_seconds()
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def send_heartbeats(self) -> None:
        await self._known.wait()
        place = self._above.server + target.path(self._settings.target)
        while True:
            try:
                nodes = await self._nodes()
                await self._above.patch(f"{place}/status", target.heartbeat(datetime.now(UTC), self._resources, nodes))
                metrics.HEARTBEATS.inc()
                metrics.LAST_HEARTBEAT.set(time.time())
                await self._hold(place)
            except (ApiError, Unreachable) as error:
                logger.warning("heartbeat: %s", error)
            await Backoff.steady(self._settings.heartbeat_seconds).pause()

    async def _hold(self, place: str) -> None:
        """Keeps a finalizer on the SyncTarget, until it is deleted and everything was given back."""
        found = self._target.get(Place("", "", self._settings.target))
        if found is None:
            return
        metadata = found["metadata"]
        finalizers = metadata.get("finalizers") or []
        if not metadata.get("deletionTimestamp"):
            wanted = finalizers if self._name.finalizer in finalizers else [*finalizers, self._name.finalizer]
        else:
            wanted = [name for name in finalizers if name != self._name.finalizer or not self._syncer.ended]
        if wanted != finalizers:
            version = {"resourceVersion": metadata["resourceVersion"], "uid": metadata["uid"]}
            await self._above.patch(place, {"metadata": {**version, "finalizers": wanted}})

    async def measure(self) -> None:
        while True:
            metrics.QUEUE.set(len(self._syncer.queue) + len(self._upsyncer.queue))
            metrics.RETRYING.set(self._syncer.queue.retrying + self._upsyncer.queue.retrying)
            up, down = self._syncer.count()
            metrics.OBJECTS.labels("above").set(up)
            metrics.OBJECTS.labels("below").set(down)
            await asyncio.sleep(1.0)

    async def _look(self) -> None:
        self._types_below = await discover(self._below, self._below.server)
        wanted = listed(self._settings.resources)
        bindings: list[Object] = []
        if wanted:
            bindings, _ = await self._above.list(self._above.server + _BINDINGS)
        self._resources = target.synced_resources(wanted, bindings, self._types_below)
        self._known.set()
        types: dict[tuple[str, str], Type] = {}
        for urls in self._urls[:1]:
            # All ranges have the same types, as the SyncTarget names them.
            types = synced(await discover(self._above, f"{urls.syncer}/clusters/*"), self._types_below)
        contents = {**types, **target.first_versions(wanted, self._types_below)}.values()
        types = target.usable(types, self._resources)
        await self._syncer.update([urls.syncer for urls in self._urls], types, contents)
        await self._upsyncer.update([urls.upsyncer for urls in self._urls if urls.upsyncer], types)

    async def _target_changed(self, place: Place) -> None:
        found = self._target.get(place)
        if found is not None and found["metadata"].get("deletionTimestamp"):
            self._syncer.end()
        urls = target.urls_of(found) if found is not None else []
        if urls != self._urls:
            self._urls = urls
            self._changed.set()

    async def _nodes(self) -> list[Object]:
        if ("", "nodes") not in self._types_below:
            return []
        try:
            return (await self._below.list(self._below.server + _NODES))[0]
        except ApiError as error:
            # Without the permission to list nodes, a capacity is not reported.
            if error.code == 403:
                return []
            raise


def _name_of(obj: Object) -> Place:
    return Place("", "", obj["metadata"]["name"])
