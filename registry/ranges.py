"""The map of ranges: kept in the store, changed only by commits that compare, answered from memory."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from registry.intervals import ROOT_INTERVAL, unused
from tenantry.storage.keys import RANGES, prefix_end
from tenantry.storage.store import Fence, Fenced, Put, Store
from tenantry.tenancy.directory import RangeInfo, ShardInfo

log = logging.getLogger(__name__)

ROOT_RANGE = "root"
_PREFIX = RANGES.encode()
_ATTEMPTS = 10


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the store keeps of a range. Its owner is kept too, so that a restart changes as little as it can."""

    start: str
    end: str
    shard: str
    capacity: int
    generation: int
    labels: dict[str, str] = {}


class Owner(Protocol):
    """A shard, as far as the registry talks to it."""

    @property
    def info(self) -> ShardInfo: ...

    async def adopt(self, info: RangeInfo) -> None:
        """Take the range's fence, load it and serve it."""
        ...

    def tenants(self, range_name: str) -> int: ...


class RangeTable:
    """Implements `tenantry.tenancy.directory.Registry` for the shards that were handed in."""

    def __init__(self, store: Store, *, capacity: int) -> None:
        self._store = store
        self._capacity = capacity
        self._owners: dict[str, Owner] = {}
        self._ranges: tuple[RangeInfo, ...] = ()
        self._revisions: dict[str, int] = {}
        self._subscribers: list[Callable[[], None]] = []
        self._opening: dict[tuple[tuple[str, str], ...], asyncio.Task[RangeInfo]] = {}
        self._writing = asyncio.Lock()

    async def start(self, owners: Sequence[Owner]) -> None:
        """Read the map, give every range an owner among `owners`, and have them serve.

        A range keeps the shard that it had, when that one is here. A new store gets the range `root`.
        """
        self._owners = {owner.info.name: owner for owner in owners}
        await self._load()
        if not self._ranges:
            await self._write(ROOT_RANGE, ROOT_INTERVAL, next(iter(self._owners)), {})
        for info in self._ranges:
            if info.shard not in self._owners:
                await self._write(info.name, (info.start, info.end), self._least_loaded(), info.labels, info.generation + 1)
        for info in self._ranges:
            await self._owners[info.shard].adopt(info)

    async def stop(self) -> None:
        for task in self._opening.values():
            task.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)

    def ranges(self) -> Sequence[RangeInfo]:
        return self._ranges

    def range_of(self, cluster: str) -> RangeInfo | None:
        return next((r for r in self._ranges if r.holds(cluster)), None)

    def named(self, name: str) -> RangeInfo | None:
        return next((r for r in self._ranges if r.name == name), None)

    def shards(self) -> Sequence[ShardInfo]:
        return [owner.info for owner in self._owners.values()]

    def tenants(self, info: RangeInfo) -> int:
        owner = self._owners.get(info.shard)
        return owner.tenants(info.name) if owner is not None else 0

    async def open_range(self, labels: Mapping[str, str]) -> RangeInfo:
        """A new range on the shard that holds the fewest tenants. Callers that want the same at one time share one range."""
        wanted = tuple(sorted(labels.items()))
        task = self._opening.get(wanted)
        if task is None:
            task = self._opening[wanted] = asyncio.create_task(self._open(dict(labels)), name="open range")
            task.add_done_callback(lambda _: self._opening.pop(wanted, None))
        return await asyncio.shield(task)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback) if callback in self._subscribers else None

    async def _open(self, labels: dict[str, str]) -> RangeInfo:
        async with self._writing:
            for _ in range(_ATTEMPTS):
                name = f"range-{1 + max((_number(r.name) for r in self._ranges), default=0)}"
                shard = self._least_loaded()
                info = await self._mint(name, shard, labels)
                if info is not None:
                    await self._owners[shard].adopt(info)
                    self._publish((*self._ranges, info))
                    log.info("opened a range", extra={"range": name, "start": info.start, "shard": shard})
                    return info
                await self._load()
        raise RuntimeError(f"no range could be opened: {_ATTEMPTS} attempts were overtaken by other registries")

    async def _mint(self, name: str, shard: str, labels: dict[str, str]) -> RangeInfo | None:
        start, end = unused([(r.start, r.end) for r in self._ranges])
        row = Row(start, end, shard, self._capacity, 1, labels)
        try:
            self._revisions[name] = await self._commit(name, row)
        except Fenced:
            return None
        return _info(name, row)

    async def _write(
        self, name: str, interval: tuple[str, str], shard: str, labels: Mapping[str, str], generation: int = 1
    ) -> None:
        row = Row(*interval, shard, self._capacity, generation, dict(labels))
        self._revisions[name] = await self._commit(name, row)
        self._publish((*(r for r in self._ranges if r.name != name), _info(name, row)))

    async def _commit(self, name: str, row: Row) -> int:
        key = f"{RANGES}{name}".encode()
        return await self._store.commit([Fence(key, self._revisions.get(name, 0))], [Put(key, msgspec.json.encode(row))], [])

    async def _load(self) -> None:
        page = await self._store.read(_PREFIX, prefix_end(_PREFIX))
        found = []
        for kv in page.kvs:
            name = kv.key.decode().removeprefix(RANGES)
            self._revisions[name] = kv.mod_revision
            row = msgspec.json.decode(kv.value, type=Row)
            # Capacity is the operator's wish of today; everything else was settled when the range was opened.
            found.append(dataclasses.replace(_info(name, row), capacity=self._capacity))
        self._publish(found)

    def _least_loaded(self) -> str:
        load = dict.fromkeys(self._owners, (0, 0))
        for info in self._ranges:
            if info.shard in load:
                tenants, count = load[info.shard]
                load[info.shard] = (tenants + self.tenants(info), count + 1)
        return min(load, key=lambda name: (load[name][1], load[name][0]))

    def _publish(self, ranges: Sequence[RangeInfo]) -> None:
        self._ranges = tuple(sorted(ranges, key=lambda r: r.start))
        for subscriber in list(self._subscribers):
            subscriber()


def _info(name: str, row: Row) -> RangeInfo:
    return RangeInfo(
        name=name,
        start=row.start,
        end=row.end,
        shard=row.shard,
        capacity=row.capacity,
        generation=row.generation,
        labels=row.labels,
    )


def _number(name: str) -> int:
    """The number in `range-7`; the first range counts as 1."""
    text = name.removeprefix("range-")
    return int(text) if text.isdigit() else 1
