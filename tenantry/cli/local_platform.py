"""Registry and shards in one process, with the same parts as in separate processes, on a store that only it uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Protocol

from registry.openings import CannotOpen
from registry.stale_keys import forget_processes
from registry.wiring import Registry
from shard.load_reports import reporting_loads
from shard.local_peers import LocalPeers
from shard.wiring import Shard
from tenantry.kube.status import unavailable
from tenantry.placement.map import RangeInfo
from tenantry.placement.peers import Peers
from tenantry.placement.range_map import RangeMap
from tenantry.placement.range_opening import OpenedRange, RangeOpening
from tenantry.storage.store import Store
from tenantry.tenancy.well_known import ROOT

TTL_SECONDS = 30.0
"""The TTL of sessions. It is long because there is no other process that could take over: a busy machine then loses nothing."""
LOADING_SECONDS = 600.0
LOAD_REPORT_SECONDS = 2.0
"""Interval of the load reports, which only `tenantry top` uses: there is no balancing in one process."""


class MakeShard(Protocol):
    def __call__(self, *, name: str, range_map: RangeMap, opening: RangeOpening, peers: Peers) -> Shard: ...


class LocalPlatform:
    """The registry, the map, and a shard for each of `names`, which `make_shard` makes. `capacity`: tenants of a range."""

    def __init__(self, store: Store, *, capacity: int, names: Iterable[str], make_shard: MakeShard) -> None:
        self._store = store
        self.map = RangeMap(store)
        # Ranges are distributed over the shards at the start. Moving them within one process has no use.
        self.registry = Registry(store, capacity=capacity, balance=False, ttl_seconds=TTL_SECONDS, range_map=self.map)
        opening, peers = RangeOpening(self.map, self._open_range), LocalPeers(self._owner_of)
        self.shards = {name: make_shard(name=name, range_map=self.map, opening=opening, peers=peers) for name in names}
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
            await self._stack.enter_async_context(
                reporting_loads(shard.cell.ranges, shard.tenants, shard.session, LOAD_REPORT_SECONDS)
            )

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

    def _owner_of(self, range_name: str) -> Shard | None:
        info = self.map.named(range_name)
        return self.shards.get(info.shard) if info is not None else None

    async def _open_range(self, labels: Mapping[str, str], after_version: int) -> OpenedRange:
        """Opens a range. Returns when its shard serves it."""
        try:
            opened = await self.registry.open_range(labels, after_version)
        except CannotOpen as error:
            raise unavailable(str(error), 1) from error
        await self.map.reached(opened.version)
        info = self.map.named(opened.name)
        if info is not None and info.shard:
            await self.shards[info.shard].ownership.serving(opened.name)
        return opened
