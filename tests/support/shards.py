"""Registries and shards over one store, each with a map of its own, as processes have it."""

from __future__ import annotations

from itertools import count

from registry.assigner import BalancePolicy
from registry.wiring import Registry
from tenantry.placement.map import RangeInfo, ShardInfo
from tenantry.placement.map_rows import RangeLoad
from tenantry.placement.ownership import Ownership
from tenantry.placement.range_map import RangeMap
from tenantry.placement.session import Session
from tenantry.storage.cell import Cell
from tenantry.storage.fence import read_fence
from tenantry.storage.keys import Key
from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.record import Change, Head
from tenantry.storage.store import Store
from tests.support.waiting import eventually

CAPACITY = 100


class Member:
    """A shard without HTTP: its session, its cell, and what it owns."""

    def __init__(self, store: Store, name: str, uid: str) -> None:
        self.store = store
        self.info = ShardInfo(name, uid, f"https://{name}.test")
        self.guard = ReadGuard()
        self.cell = Cell(store, uid, lambda key, value: Head(), guard=self.guard)
        self.map = RangeMap(store)
        self.ownership = Ownership(self.cell, self.map)
        self.session = Session(store, self.info, self.guard, ttl_seconds=2.0, seen=self.map.reached, lost=self.ownership.give_up)

    async def start(self) -> Member:
        await self.map.start()
        await self.session.start()
        self.ownership.start()
        return self

    async def write(self, cluster: str, name: str) -> None:
        """Raises as a commit does."""
        await self.cell.commit([Change(Key(cluster, "core/configmaps", "default", name), b'{"metadata":{}}', Head(), None)])

    async def die(self) -> None:
        """As after kill -9, when the store has ended the lease: nothing is handed over."""
        await self.ownership.stop()
        await self.map.stop()
        await self.session.stop()
        await self.cell.close()


class FleetInMemory:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.map = RangeMap(store)
        self.registries: list[Registry] = []
        self.members: dict[str, Member] = {}
        self._uids = count(1)

    async def registry(self, *, capacity: int = CAPACITY, policy: BalancePolicy | None = None, balance: bool = True) -> Registry:
        if not self.map.version:
            await self.map.start()
        registry = Registry(self.store, capacity=capacity, policy=policy, balance=balance)
        self.registries.append(registry)
        await registry.start()
        return registry

    async def join(self, name: str) -> Member:
        if not self.map.version:
            await self.map.start()
        member = self.members[name] = Member(self.store, name, f"{name}-{next(self._uids)}")
        return await member.start()

    async def kill(self, name: str) -> None:
        await self.members.pop(name).die()

    def owners(self) -> dict[str, str]:
        return {info.name: info.shard for info in self.map.ranges()}

    def placed(self) -> bool:
        """No range moves, and each is in the memory of the shard that the map shows as its owner, and of no other."""
        owners = {name: {m.info.uid for m in self.members.values() if name in m.cell.ranges} for name in self.owners()}
        return bool(owners) and all(
            info.shard and not info.target and owners[info.name] == {info.owner} for info in self.map.ranges()
        )

    async def check_fences(self) -> None:
        """The map shows what the fences hold."""
        for info in self.map.ranges():
            fence = await read_fence(self.store, info.name)
            assert fence.value is not None
            assert (fence.value.owner, fence.value.generation) == (info.owner, info.generation)

    async def report(self, name: str, tenants: int) -> None:
        """The shard reports so many tenants for each of its ranges."""
        member = self.members[name]
        await member.session.report({range_name: RangeLoad(tenants=tenants) for range_name in member.cell.ranges})

    async def open(self, registry: Registry, ranges: int) -> list[RangeInfo]:
        """Opens ranges one after the other; all but `root`, as the map shows them."""
        await eventually(self.map.ranges)
        for _ in range(ranges):
            opened = await registry.open_range({}, self.map.version)
            await self.map.reached(opened.version)
        return [info for info in self.map.ranges() if info.name != "root"]

    async def stop(self) -> None:
        for member in self.members.values():
            await member.die()
        for registry in self.registries:
            await registry.stop()
        await self.map.stop()
