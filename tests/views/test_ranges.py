"""The ranges that a process of views keeps: loaded when they are needed, never behind, and dropped when they are not used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tenantry.apiserver.hub import Hubs
from tenantry.base.broadcast import Broadcast
from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog
from tenantry.placement.map import RangeInfo
from tenantry.storage.cell import Cell
from tenantry.storage.memory import MemoryStore
from tenantry.storage.range import Range
from tenantry.storage.reader import Reader
from tenantry.storage.store import Batch, Page, Unavailable
from tests.support.maps import MapInMemory
from tests.support.ranges import cell_on, create, head_of, key
from tests.support.waiting import until
from views import ranges
from views.ranges import LoadedRanges

INFOS = [RangeInfo(name=name, start=name, end=f"{name}~", shard="s") for name in ("a", "b", "root")]


class Breakable(MemoryStore):
    """`away`: it answers no reads. `silent`: its watches break."""

    away = False
    silent = False
    reads = 0

    async def read(self, start: bytes, end: bytes, *, revision: int | None = None, limit: int | None = None) -> Page:
        if self.away:
            raise Unavailable("it is away")
        self.reads += 1
        return await super().read(start, end, revision=revision, limit=limit)

    async def watch(
        self, start: bytes, end: bytes, *, from_revision: int, asked: Broadcast[[]] | None = None, previous: bool = True
    ) -> AsyncGenerator[Batch, None]:
        async for batch in super().watch(start, end, from_revision=from_revision, asked=asked, previous=previous):
            if self.silent:
                raise Unavailable("the watch is broken")
            yield batch


class WatchedHubs(Hubs):
    """Watches that a test says there are."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: set[str] = set()
        self.ended: list[str] = []

    def watched(self, range_: Range) -> bool:
        return range_.name in self.kept

    def end(self, range_: Range) -> None:
        self.ended.append(range_.name)


@dataclass
class Process:
    store: Breakable
    owner: Cell
    reader: Reader
    hubs: WatchedHubs
    ranges: LoadedRanges
    map: MapInMemory
    changes: list[set[str]] = field(default_factory=list)

    async def refused(self, name: str) -> str:
        with pytest.raises(StatusError) as refused:
            await self.ranges.prepare(name)
        assert refused.value.code == 503 and "Retry-After" in refused.value.headers
        return str(refused.value)


@asynccontextmanager
async def process(
    *, fresh_seconds: float = 5.0, broken_seconds: float = 600.0, idle_seconds: float = 600.0, ranges_max: int = 10
) -> AsyncIterator[Process]:
    store = Breakable()
    owner = cell_on(store)
    for info in INFOS:
        await owner.acquire(info.name, info.start, info.end)
    hubs, map_ = WatchedHubs(), MapInMemory(INFOS)
    reader = Reader(store, head_of, ended=hubs.end)
    catalog = Catalog(store, progress=True)
    await catalog.start()
    loaded = LoadedRanges(
        reader,
        catalog,
        map_,
        hubs,
        fresh_seconds=fresh_seconds,
        broken_seconds=broken_seconds,
        idle_seconds=idle_seconds,
        ranges_max=ranges_max,
    )
    loaded.start()
    try:
        yield Process(store, owner, reader, hubs, loaded, map_)
    finally:
        store.away = False
        await loaded.stop()
        await reader.close()
        await catalog.stop()
        await owner.close()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "LOOK_SECONDS", 0.01)


async def test_a_request_sees_what_was_committed_before_it() -> None:
    async with process() as views:
        for number in range(20):
            await views.owner.commit([create(f"one-{number}")])
            await views.owner.commit([create(f"other-{number}", cluster="a")])
            await views.ranges.prepare("root")
            assert views.reader.ranges["root"].get(key(f"one-{number}")) is not None


async def test_requests_at_one_time_share_a_load_and_the_reads_of_the_revision() -> None:
    async with process() as views:
        await asyncio.gather(*(views.ranges.prepare("root") for _ in range(50)))
        await asyncio.gather(*(views.ranges.prepare("root") for _ in range(50)))
        assert views.store.reads < 20


async def test_what_is_not_used_is_dropped_and_loaded_again() -> None:
    async with process(idle_seconds=0.0) as views:
        views.hubs.kept.add("a")
        await views.ranges.prepare("a")
        await views.ranges.prepare("root")
        await until(lambda: set(views.reader.ranges) == {"a"})
        assert views.hubs.ended == ["root"]
        await views.ranges.prepare("root")
        views.hubs.kept.clear()
        await until(lambda: not views.reader.ranges)


async def test_the_least_recently_used_makes_room() -> None:
    async with process(ranges_max=2) as views:
        await views.ranges.prepare("a")
        await views.ranges.prepare("root")
        await views.ranges.prepare("a")
        await views.ranges.prepare("b")
        assert set(views.reader.ranges) == {"a", "b"}
        views.hubs.kept |= {"a", "b"}
        assert "as many as it may have" in await views.refused("root")
        await views.ranges.prepare("a")


async def test_a_range_that_the_map_does_not_have_is_refused_and_dropped() -> None:
    async with process() as views:
        await views.refused("none")
        await views.ranges.prepare("root")
        views.map.put(RangeInfo(name="root", start="root", end="root-", shard="s"))
        await until(lambda: not views.reader.ranges)


async def test_without_the_store_requests_are_refused_and_watches_end_after_a_while() -> None:
    async with process(broken_seconds=0.1) as views:
        await views.ranges.prepare("root")
        views.hubs.kept.add("root")
        views.store.away = True
        await views.refused("root")
        await until(lambda: views.ranges.why_not)
        await until(lambda: views.hubs.ended == ["root"])
        views.store.away = False
        await until(lambda: not views.ranges.why_not)
        await views.ranges.prepare("root")


async def test_a_range_without_its_changes_is_not_served() -> None:
    async with process(fresh_seconds=0.1, broken_seconds=0.3) as views:
        await views.ranges.prepare("root")
        views.hubs.kept.add("root")
        views.store.silent = True
        await views.owner.commit([create("one")])
        assert "does not get its changes" in await views.refused("root")
        await until(lambda: views.hubs.ended == ["root"])
        views.store.silent = False
        await until(lambda: not views.ranges.why_not)
        await views.ranges.prepare("root")
        assert views.reader.ranges["root"].get(key("one")) is not None


async def test_ranges_without_their_changes_end_no_watches_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async with process(fresh_seconds=0.2, broken_seconds=0.39) as views:
        own = views.reader.progressed

        async def progressed(name: str, revision: int) -> None:
            if name != "root":
                await asyncio.Event().wait()
            await own(name, revision)

        for name in ("root", "a", "b"):
            await views.ranges.prepare(name)
            views.hubs.kept.add(name)
        monkeypatch.setattr(views.reader, "progressed", progressed)
        await until(lambda: len(views.hubs.ended) >= 2)
        assert set(views.hubs.ended) == {"a", "b"}
