"""A range that was taken from another shard is served at once; its history comes later, and those who need it wait."""

from __future__ import annotations

import asyncio

import pytest

from tenantry.storage import backfill
from tenantry.storage.range import Range, TooOld
from tenantry.storage.store import Damaged, Unavailable
from tests.storage.slow_history import SlowHistory
from tests.support.ranges import RESOURCE, cell_on, create, key, there
from tests.support.waiting import quiet


async def taken(store: SlowHistory) -> tuple[Range, int, int]:
    """A range after its second owner took it, the version before its one object was made, and that of the object."""
    first = cell_on(store)
    before = (await first.acquire("root", "r", "t")).version
    (record,) = await first.commit([create("a")])
    return await cell_on(store, "shard-2").acquire("root", "r", "t"), before, there(record).version


async def test_reads_of_the_present_and_writes_do_not_wait_for_a_backfill() -> None:
    store = SlowHistory()
    first = cell_on(store)
    before = (await first.acquire("root", "r", "t")).version
    (old,) = await first.commit([create("a")])
    second = cell_on(store, "shard-2")
    range_ = await second.acquire("root", "r", "t")
    loaded = range_.version
    await store.asked.wait()
    (new,) = await second.commit([create("b")])
    assert range_.get(key("a")) is not None and range_.get(key("b")) is not None
    await range_.backfilled(loaded)
    assert [event.version for event in range_.events_after(loaded, RESOURCE)] == [there(new).version]
    waiting = asyncio.create_task(range_.backfilled(before))
    await quiet()
    assert not waiting.done()
    with pytest.raises(TooOld):
        range_.events_after(before, RESOURCE)
    store.open.set()
    await waiting
    assert [event.version for event in range_.events_after(before, RESOURCE)] == [there(old).version, there(new).version]
    await second.close()


async def test_a_backfill_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "FIRST_RETRY_SECONDS", 0.0)
    store = SlowHistory()
    store.errors = [Unavailable("not now"), Unavailable("nor now")]
    range_, before, made = await taken(store)
    store.open.set()
    await range_.backfilled(before)
    assert [event.version for event in range_.events_after(before, RESOURCE)] == [made]


async def test_a_damaged_history_is_given_up() -> None:
    store = SlowHistory()
    store.errors = [Damaged("unreadable")]
    range_, before, _ = await taken(store)
    store.open.set()
    await range_.backfilled(before)
    assert range_.get(key("a")) is not None
    with pytest.raises(TooOld):
        range_.events_after(before, RESOURCE)


@pytest.mark.parametrize("begun", [False, True])
async def test_waiters_for_the_backfill_of_a_released_range_are_woken(begun: bool) -> None:
    store = SlowHistory()
    await taken(store)
    cell = cell_on(store, "shard-3")
    range_ = await cell.acquire("root", "r", "t")
    waiting = asyncio.create_task(range_.backfilled(0))
    if begun:
        await quiet()
    await cell.release("root")
    await waiting
    assert not range_.readable


async def test_closing_ends_backfills() -> None:
    store = SlowHistory()
    await taken(store)
    cell = cell_on(store, "shard-3")
    range_ = await cell.acquire("root", "r", "t")
    waiting = asyncio.create_task(range_.backfilled(0))
    await quiet()
    await cell.close()
    await waiting
