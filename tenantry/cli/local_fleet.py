"""Registry and shards in one process, with the same parts as in separate processes, on a store that only it uses."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

from registry.wiring import Registry, forget_processes
from shard.load_reports import reporting_loads
from shard.local_peers import LocalPeers
from shard.wiring import Shard
from tenantry.placement.map import RangeInfo
from tenantry.placement.range_map import Opened, RangeMap
from tenantry.storage.store import Store
from tenantry.tenancy.well_known import ROOT

TTL_SECONDS = 30.0
"""The TTL of sessions. It is long because there is no other process that could take over: a busy machine then loses nothing."""
LOADING_SECONDS = 600.0
LOAD_REPORT_SECONDS = 2.0
"""Interval of the load reports, which only `tenantry top` uses: there is no balancing in one process."""


class LocalFleet:
    """The registry and the shards. Make the shards with `map` and `peers`, put them into `shards` by name, then call `start`.

    `capacity`: tenants of a range.
    """

    def __init__(self, store: Store, *, capacity: int) -> None:
        self._store = store
        self.map = RangeMap(store, opener=self._open_range)
        # Ranges are distributed over the shards at the start. Moving them within one process has no use.
        self.registry = Registry(store, capacity=capacity, balance=False, ttl_seconds=TTL_SECONDS, range_map=self.map)
        self.shards: dict[str, Shard] = {}
        self.peers = LocalPeers(self.map, self.shards)
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Returns when all ranges are served. Raises StoreError, or StatusError if ranges are not loaded in LOADING_SECONDS."""
        # All sessions in this store are of dead processes.
        await forget_processes(self._store)
        await self.map.start()
        self._stack.push_async_callback(self.map.stop)
        for shard in self.shards.values():
            await shard.join()
            self._stack.push_async_callback(shard.stop)
        await self.registry.start()
        self._stack.push_async_callback(self.registry.stop)
        while not self.map.ranges() or not all(info.shard for info in self.map.ranges()):
            await self.map.moved()
        for shard in self.shards.values():
            await shard.ownership.loaded(LOADING_SECONDS)
        # The shard of `root` starts first: it installs objects that the others look up.
        home = self.home
        await home.start()
        for shard in self.shards.values():
            if shard is not home:
                await shard.start()
        for shard in self.shards.values():
            await self._stack.enter_async_context(reporting_loads(shard, LOAD_REPORT_SECONDS))

    async def stop(self) -> None:
        await self._stack.aclose()

    @property
    def home(self) -> Shard:
        """The shard that owns the range of `root`. Raises KeyError before `start`."""
        info = self.map.range_of(ROOT)
        return self.shards[info.shard if info is not None else ""]

    def tenants(self, info: RangeInfo) -> int:
        """The number of tenants of a range."""
        shard = self.shards.get(info.shard)
        return shard.tenants(info.name) if shard is not None else 0

    async def _open_range(self, labels: Mapping[str, str], after_version: int) -> Opened:
        """Opens a range. Returns when its shard serves it."""
        opened = await self.registry.open_range(labels, after_version)
        await self.map.reached(opened.version)
        info = self.map.named(opened.name)
        if info is not None and info.shard:
            await self.shards[info.shard].ownership.serving(opened.name)
        return opened
