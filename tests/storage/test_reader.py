"""What a process sees of a range that another one owns: the same objects, history and versions, and no way to write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.storage import resource_version
from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.load import events_of
from tenantry.storage.memory import MemoryStore
from tenantry.storage.range import Range, TooOld
from tenantry.storage.reader import Reader
from tenantry.storage.record import Change, Head, RecordEvent
from tenantry.storage.store import Batch, KeyValue, Put, Store, Unavailable
from tenantry.storage.store import Event as StoredEvent
from tests.support.patience import PATIENCE_SECONDS
from tests.support.ranges import RESOURCE, cell_on, create, head_of, key, there


@dataclass
class Two:
    """An owner, and a reader of the same range."""

    store: Store
    owner: Cell
    owned: Range
    reader: Reader
    ended: list[Range] = field(default_factory=list)
    changes: int = 0

    @property
    def read(self) -> Range:
        return self.reader.ranges["root"]

    async def together(self) -> None:
        """Returns when the reader shows what the owner has committed."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            revision = (await self.store.read(b"/fences/root", b"/fences/root0")).revision
            await self.reader.progressed("root", revision)

    def same(self) -> None:
        def all_of(range_: Range) -> dict[object, object]:
            return {record.key: (record.version, record.value, record.head) for record in range_.each()}

        assert all_of(self.read) == all_of(self.owned)


@asynccontextmanager
async def two(store: Store) -> AsyncIterator[Two]:
    owner = cell_on(store)
    owned = await owner.acquire("root", "r", "t")

    def changed() -> None:
        made.changes += 1

    made = Two(store, owner, owned, Reader(store, head_of, changed=changed, ended=lambda range_: made.ended.append(range_)))
    try:
        yield made
    finally:
        await made.reader.close()
        await owner.close()


def new(name: str) -> Change:
    return Change(key(name), b"{}", Head(uid=f"uid of {name}"), None)


def update(of: Two, name: str, value: bytes) -> Change:
    return Change(key(name), value, Head(uid=f"uid of {name}"), of.owned.get(key(name)))


def brief(events: list[RecordEvent] | tuple[RecordEvent, ...]) -> list[tuple[object, int, bytes | None, int | None]]:
    return [
        (
            event.key,
            event.version,
            event.record.value if event.record is not None else None,
            event.previous.version if event.previous is not None else None,
        )
        for event in events
    ]


async def test_it_has_the_objects_history_and_versions_of_the_owner(store: Store) -> None:
    async with two(store) as both:
        before = both.owned.version
        await both.owner.commit([new(name) for name in "abc"])
        await both.owner.commit([update(both, "b", b'{"old":1}')])
        loaded = await both.reader.load("root", "r", "t")
        both.same()
        seen: list[RecordEvent] = []
        loaded.subscribe(seen.extend)
        middle = both.owned.version
        await asyncio.gather(
            both.owner.commit([update(both, "a", b'{"new":1}')]),
            both.owner.commit([new("d")]),
            both.owner.commit([Change(key("b"), None, None, both.owned.get(key("b")))]),
            both.owner.commit([Change(key("c"), None, None, both.owned.get(key("c")))]),
        )
        await both.together()
        both.same()
        assert brief(seen) == brief(list(both.owned.events_after(middle, RESOURCE)))
        await loaded.backfilled(before)
        for since in (before, middle):
            assert brief(list(loaded.events_after(since, RESOURCE))) == brief(list(both.owned.events_after(since, RESOURCE)))


NAMES = st.sampled_from("abcd")
COMMITS = st.lists(st.dictionaries(NAMES, st.one_of(st.none(), st.integers(0, 9)), min_size=1), max_size=8)
"""Commits: what each writes, by name. None: it deletes the object."""


@given(before=COMMITS, after=COMMITS)
async def test_what_follows_a_load_is_as_if_it_was_loaded(
    before: list[dict[str, int | None]], after: list[dict[str, int | None]]
) -> None:
    store = MemoryStore()
    async with two(store) as both:

        async def commit(commits: list[dict[str, int | None]]) -> None:
            for written in commits:
                changes = []
                for name, number in written.items():
                    present = both.owned.get(key(name))
                    if number is not None:
                        head = Head(uid=f"uid of {name}")
                        changes.append(Change(key(name), b'{"n":%d}' % number, head, present))
                    elif present is not None:
                        changes.append(Change(key(name), None, None, present))
                if changes:
                    await both.owner.commit(changes)

        await commit(before)
        loaded = await both.reader.load("root", "r", "t")
        since, memory = loaded.version, {record.key: record for record in loaded.each()}
        await commit(after)
        await both.together()
        both.same()
        events = list(loaded.events_after(since, RESOURCE))
        assert brief(events) == brief(list(both.owned.events_after(since, RESOURCE)))
        for event in events:
            # The history refers to the records that were shown: what was replaced is in memory once.
            assert event.previous is memory.get(event.key)
            if event.record is not None:
                memory[event.key] = event.record
            else:
                del memory[event.key]
        # Read from the store once more, it is the same.
        await both.reader.release("root")
        await both.reader.load("root", "r", "t")
        both.same()


async def test_a_deletion_of_what_is_not_there_is_an_error() -> None:
    deletion = StoredEvent(KeyValue(key("a").encode(), b"", 5, 0), True, None)
    with pytest.raises(ValueError, match="is not in memory"):
        events_of(1, Batch(5, [deletion]), head_of, lambda key: None)


async def test_it_knows_that_nothing_changed(store: Store) -> None:
    async with two(store) as both:
        loaded = await both.reader.load("root", "r", "t")
        elsewhere = await store.commit([], [Put(b"/elsewhere", b"")], [])
        async with asyncio.timeout(PATIENCE_SECONDS):
            await both.reader.progressed("root", elsewhere)
        assert resource_version.revision_of(loaded.version) >= elsewhere


async def test_it_waits_for_what_is_on_its_way(store: Store) -> None:
    async with two(store) as both:
        loaded = await both.reader.load("root", "r", "t")
        for number in range(20):
            await both.owner.commit([new(f"n{number}")])
            async with asyncio.timeout(PATIENCE_SECONDS):
                await both.reader.in_flight_applied()
            assert loaded.get(key(f"n{number}")) is not None


async def test_it_commits_nothing(store: Store) -> None:
    async with two(store) as both:
        await both.reader.load("root", "r", "t")
        with pytest.raises(NotOwned):
            await both.reader.commit([create("a")])


async def test_a_range_that_was_dropped_can_be_loaded_again(store: Store) -> None:
    async with two(store) as both:
        first = await both.reader.load("root", "r", "t")
        with pytest.raises(ValueError, match="overlaps"):
            await both.reader.load("other", "s", "t")
        followed = both.reader._followed["root"]
        await both.reader.release("root")
        with pytest.raises(Unavailable, match="not followed any more"):
            await followed.progressed(await store.commit([], [Put(b"/elsewhere", b"")], []))
        assert both.ended == [first] and not first.owned and not both.reader.ranges
        assert not both.reader.owns("root")
        await both.owner.commit([new("a")])
        second = await both.reader.load("root", "r", "t")
        assert there(second.get(key("a"))).version == there(both.owned.get(key("a"))).version
        assert both.changes == 3


async def test_after_a_compaction_it_loads_again_and_ends_the_watches(store: Store) -> None:
    async with two(store) as both:
        await both.owner.commit([new("a"), new("b")])
        first = await both.reader.load("root", "r", "t")
        before = first.version
        followed = both.reader._followed["root"]
        await followed.stop_following()
        await both.owner.commit([update(both, "a", b'{"new":1}')])
        revision = await store.commit([], [Put(b"/elsewhere", b"")], [])
        await store.commit([], [Put(b"/elsewhere", b"")], [])
        await store.compact(revision)
        await followed.start_following()
        await both.together()
        assert both.ended == [first] and both.read is not first
        both.same()
        await both.read.backfilled(before)
        with pytest.raises(TooOld):
            both.read.events_after(before, RESOURCE)


async def test_a_version_is_raised_without_a_write_in_the_range(store: Store) -> None:
    async with two(store) as both:
        await both.owner.commit([new("a")])
        read = await both.reader.load("root", "r", "t")
        await both.together()
        before, mark = read.version, key("mark")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await both.reader.raise_version(read, mark, b"{}")
        assert resource_version.revision_of(read.version) > resource_version.revision_of(before)
        assert read.get(mark) is None and both.owned.get(mark) is None


async def test_an_owner_raises_a_version_with_a_record(store: Store) -> None:
    async with two(store) as both:
        before, mark = both.owned.version, key("mark")
        await asyncio.gather(*(both.owner.raise_version(both.owned, mark, b"{}") for _ in range(3)))
        assert both.owned.version > before and there(both.owned.get(mark)).value == b"{}"
