"""A range that was taken from another shard is served at once; its history comes later, and those who need it wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from tenantry.storage import backfill
from tenantry.storage.memory import MemoryStore
from tenantry.storage.range import Range, TooOld
from tenantry.storage.store import Batch, Damaged, StoreError, Unavailable
from tests.support.ranges import RESOURCE, cell_on, create, key, there
from tests.support.waiting import quiet


class SlowPast(MemoryStore):
    """Its watches show nothing before `open` is set, and fail first with what is in `errors`."""

    def __init__(self) -> None:
        super().__init__(cell=1)
        self.open = asyncio.Event()
        self.asked = asyncio.Event()
        self.errors: list[StoreError] = []

    async def watch(self, start: bytes, end: bytes, *, from_revision: int) -> AsyncGenerator[Batch, None]:
        self.asked.set()
        await self.open.wait()
        if self.errors:
            raise self.errors.pop()
        async for batch in super().watch(start, end, from_revision=from_revision):
            yield batch


async def taken(store: SlowPast) -> tuple[Range, int, int]:
    """A range after its second owner took it, the version before its one object was made, and that of the object."""
    first = cell_on(store)
    before = (await first.adopt("root", "r", "t")).version
    (record,) = await first.commit([create("a")])
    return await cell_on(store, "shard-2").adopt("root", "r", "t"), before, there(record).version


async def test_the_present_does_not_wait_for_the_past() -> None:
    store = SlowPast()
    first = cell_on(store)
    before = (await first.adopt("root", "r", "t")).version
    (old,) = await first.commit([create("a")])
    second = cell_on(store, "shard-2")
    held = await second.adopt("root", "r", "t")
    loaded = held.version
    await store.asked.wait()
    (new,) = await second.commit([create("b")])
    assert held.get(key("a")) is not None and held.get(key("b")) is not None
    await held.backfilled(loaded)
    assert [event.version for event in held.events_after(loaded, RESOURCE)] == [there(new).version]
    waiting = asyncio.create_task(held.backfilled(before))
    await quiet()
    assert not waiting.done()
    with pytest.raises(TooOld):
        held.events_after(before, RESOURCE)
    store.open.set()
    await waiting
    assert [event.version for event in held.events_after(before, RESOURCE)] == [there(old).version, there(new).version]
    await second.close()


async def test_the_past_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "FIRST_RETRY_SECONDS", 0.0)
    store = SlowPast()
    store.errors = [Unavailable("not now"), Unavailable("nor now")]
    held, before, made = await taken(store)
    store.open.set()
    await held.backfilled(before)
    assert [event.version for event in held.events_after(before, RESOURCE)] == [made]


async def test_a_damaged_past_is_given_up() -> None:
    store = SlowPast()
    store.errors = [Damaged("unreadable")]
    held, before, _ = await taken(store)
    store.open.set()
    await held.backfilled(before)
    assert held.get(key("a")) is not None
    with pytest.raises(TooOld):
        held.events_after(before, RESOURCE)


@pytest.mark.parametrize("begun", [False, True])
async def test_who_waits_for_the_past_of_a_lost_range_is_let_go(begun: bool) -> None:
    store = SlowPast()
    await taken(store)
    cell = cell_on(store, "shard-3")
    held = await cell.adopt("root", "r", "t")
    waiting = asyncio.create_task(held.backfilled(0))
    if begun:
        await quiet()
    await cell.release("root")
    await waiting
    assert not held.readable


async def test_closing_ends_what_is_read() -> None:
    store = SlowPast()
    await taken(store)
    cell = cell_on(store, "shard-3")
    held = await cell.adopt("root", "r", "t")
    waiting = asyncio.create_task(held.backfilled(0))
    await quiet()
    await cell.close()
    await waiting
