"""What writes under way will add to a cluster counts before they are committed."""

from __future__ import annotations

import asyncio

import pytest

from tenantry.storage.record import Change, Head
from tenantry.storage.store import Unavailable
from tests.storage.faults import FaultyStore
from tests.support.ranges import cell_on, create, key, there
from tests.support.waiting import quiet


async def test_what_is_being_written_counts() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    record = there((await cell.commit([create("a", b"12345")]))[0])
    assert cell.usage("root") == (1, 5)
    store.gate.clear()
    writes = [
        cell.commit([create("b", b"123"), create("c", b"1234", "r-other")]),
        cell.commit([Change(key("a"), b"1234567", Head(), record)]),
    ]
    await quiet()
    assert cell.usage("root") == (2, 10)
    assert cell.usage("root", without="core/configmaps") == (0, 10)
    assert cell.usage("r-other") == (1, 4)
    store.gate.set()
    await asyncio.gather(*writes)
    assert (cell.usage("root"), cell.usage("r-other")) == ((2, 10), (1, 4))


@pytest.mark.parametrize("value", [None, b"1"])
async def test_what_becomes_less_counts_once_it_has(value: bytes | None) -> None:
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    record = there((await cell.commit([create("a", b"12345")]))[0])
    store.gate.clear()
    write = cell.commit([Change(key("a"), value, Head() if value else None, record)])
    await quiet()
    assert cell.usage("root") == (1, 5)
    store.gate.set()
    await write
    assert cell.usage("root") == ((1, 1) if value else (0, 0))


async def test_what_failed_counts_no_more() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    store.faults.append("unavailable")
    write = cell.commit([create("a", b"12345")])
    assert cell.usage("root") == (1, 5)
    with pytest.raises(Unavailable):
        await write
    assert cell.usage("root") == (0, 0)


async def test_writes_that_add_nothing_end_in_any_order() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    records = [there((await cell.commit([create(name, b"12345")]))[0]) for name in "ab"]
    await asyncio.gather(*(cell.commit([Change(record.key, b"1", Head(), record)]) for record in records))
    assert cell.usage("root") == (2, 2)
