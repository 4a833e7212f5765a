"""Transactions that write the copies of objects, and not the objects."""

from __future__ import annotations

import asyncio

import pytest

from tenantry.storage.cell import NotOwned, Stale
from tenantry.storage.fence import acquire_fence
from tenantry.storage.keys import catalog_key
from tenantry.storage.record import Change, Head, Record, RecordEvent
from tests.storage.faults import FaultyStore
from tests.support.ranges import RESOURCE, cell_on, create, key, there
from tests.support.waiting import quiet

COPY = catalog_key("g/r", "root", "a")


def copy_of(record: Record | None, value: bytes | None = b"copy", name: str = "a") -> Change:
    return Change(key(name), None, None, record, {COPY: value})


async def stored(store: FaultyStore) -> list[bytes]:
    return [kv.value for kv in (await store.read(b"/catalog/", b"/catalog0")).kvs]


async def test_the_object_stays_as_it_is() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    record = there((await cell.commit([create("a", b"1")]))[0])
    events: list[RecordEvent] = []
    range_.subscribe(events.extend, RESOURCE)
    committed: list[Change] = []
    cell.commits.subscribe(lambda _, changes: committed.extend(changes))
    assert list(await cell.commit((), copies=[copy_of(record)])) == []
    assert (range_.get(key("a")), events, await stored(store)) == (record, [], [b"copy"])
    assert [change.catalog for change in committed] == [{COPY: b"copy"}]
    assert (await store.read(record.key.encode(), record.key.encode() + b"\0")).kvs[0].value == b"1"
    # One that does not exist.
    await cell.commit((), copies=[copy_of(None, None, name="missing")])
    assert (range_.get(key("missing")), await stored(store)) == (None, [])


async def test_no_other_transaction_writes_it_meanwhile() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    record = there((await cell.commit([create("a", b"1")]))[0])
    store.gate.clear()
    copying = cell.commit((), copies=[copy_of(record)])
    with pytest.raises(Stale):
        cell.commit([Change(key("a"), b"2", Head(), record)])
    with pytest.raises(Stale):
        cell.commit((), copies=[copy_of(record)])
    waiting = asyncio.create_task(cell.writes_done([key("a")]))
    await quiet()
    assert not waiting.done()
    store.gate.set()
    await asyncio.gather(copying, waiting)
    await cell.commit([Change(key("a"), b"2", Head(), record)])
    with pytest.raises(Stale):
        cell.commit((), copies=[copy_of(record)])
    with pytest.raises(Stale):
        cell.commit((), copies=[copy_of(None)])
    with pytest.raises(ValueError, match="twice"):
        cell.commit([create("b")], copies=[copy_of(None, name="b")])


async def test_only_the_owner_of_the_range_writes_copies() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    record = there((await cell.commit([create("a", b"1")]))[0])
    store.gate.clear()
    in_flight = cell.commit((), copies=[copy_of(record)])
    await quiet()
    queued = cell.commit([create("b")], copies=[copy_of(None, name="c")])
    store.gate.set()
    await asyncio.gather(in_flight, queued)
    await acquire_fence(store, "root", "shard-2")
    store.gate.clear()
    first = cell.commit((), copies=[copy_of(record, b"late")])
    await quiet()
    second = cell.commit((), copies=[copy_of(None, b"later", name="d")])
    store.gate.set()
    for write in (first, second):
        with pytest.raises(NotOwned):
            await write
    assert await stored(store) == [b"copy"]
    with pytest.raises(NotOwned):
        cell.commit((), copies=[copy_of(record)])
