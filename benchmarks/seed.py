"""Writes the content of a platform into the store without its processes: shards, ranges and any number of tenants.

Of a tenant it writes only its copy in the catalog, from which paths are resolved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import orjson

from registry.intervals import ROOT_INTERVAL, prefixes
from tenantry.placement.map_rows import (
    LoadRow,
    OpenedRow,
    RangeLoad,
    RangeRow,
    SessionRow,
    encode,
    load_key,
    range_key,
    session_key,
)
from tenantry.storage.fence import FenceValue, fence_key
from tenantry.storage.keys import RANGES_OPENED, catalog_key
from tenantry.storage.store import Put, Store
from tenantry.tenancy.resources import WORKSPACES

PUTS = 120
COMMITS_AT_ONCE = 16
SESSION_SECONDS = 3600.0
CAPACITY = 1000


@dataclass(frozen=True, slots=True)
class Seeded:
    """The written content. `intervals`: of the ranges, by name. `leases`: of the shards `uid-0`, `uid-1`, …"""

    tenants: int
    intervals: dict[str, tuple[str, str]]
    leases: Sequence[int]

    def cluster(self, number: int) -> str:
        """The id of a tenant. Tenants are distributed evenly: tenant 0 is in the first range, tenant 1 in the second one."""
        return _cluster(list(self.intervals.values()), number)

    def owner_puts(self, name: str, owner: str, generation: int) -> list[Put]:
        """The writes of an assignment of a range to an owner."""
        start, end = self.intervals[name]
        return [
            Put(range_key(name), encode(RangeRow(start, end, CAPACITY, {}, owner, generation))),
            Put(fence_key(name), FenceValue(owner, generation).encode()),
        ]


async def seed(store: Store, *, tenants: int, ranges: int, urls: Sequence[str]) -> Seeded:
    """Writes the content. `urls`: one for each shard; each shard owns the same number of ranges."""
    intervals = dict(zip(_names(ranges), [ROOT_INTERVAL, *islice(prefixes(), ranges - 1)], strict=True))
    leases = [await store.grant_lease(SESSION_SECONDS) for _ in urls]
    seeded = Seeded(tenants, intervals, leases)
    held = [tenants // ranges + (at < tenants % ranges) for at in range(ranges)]
    for number, (url, lease) in enumerate(zip(urls, leases, strict=True)):
        session = SessionRow(f"shard-{number}", url, lease)
        loads = {name: RangeLoad(held[at], 20 * held[at]) for at, name in enumerate(intervals) if at % len(urls) == number}
        await store.commit([], [Put(session_key(f"uid-{number}"), encode(session), 0, lease)], [])
        await store.commit([], [Put(load_key(f"uid-{number}"), encode(LoadRow(loads)), 0, lease)], [])
    puts = [Put(RANGES_OPENED.encode(), encode(OpenedRow(ranges)))]
    for at, name in enumerate(intervals):
        puts += seeded.owner_puts(name, f"uid-{at % len(urls)}", 1)
    await _write(store, puts)
    await _write(store, _entries(seeded))
    return seeded


def _names(ranges: int) -> Iterator[str]:
    yield "root"
    yield from (f"range-{number}" for number in range(2, ranges + 1))


def _cluster(intervals: Sequence[tuple[str, str]], number: int) -> str:
    start = intervals[number % len(intervals)][0]
    return f"{start}{number // len(intervals):0{16 - len(start)}d}"


def _entries(seeded: Seeded) -> Iterator[Put]:
    intervals = list(seeded.intervals.values())
    for number in range(seeded.tenants):
        value = {"cluster": _cluster(intervals, number), "uid": f"{number:032x}", "type": "root:universal"}
        yield Put(catalog_key(WORKSPACES, "root", f"tenant-{number:07d}"), orjson.dumps(value))


async def _write(store: Store, puts: Iterable[Put]) -> None:
    left = iter(puts)
    batches = iter(lambda: list(islice(left, PUTS)), [])

    async def worker() -> None:
        for batch in batches:
            await store.commit([], batch, [])

    await asyncio.gather(*(worker() for _ in range(COMMITS_AT_ONCE)))
