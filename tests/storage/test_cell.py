from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from tenantry.storage import resource_version
from tenantry.storage.cell import NotOwned, Stale
from tenantry.storage.commit import CommitLimits
from tenantry.storage.fence import FenceValue, acquire_fence, read_fence
from tenantry.storage.keys import catalog_key
from tenantry.storage.memory import MemoryStore
from tenantry.storage.range import Range
from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.record import Change, Head, Record
from tenantry.storage.retry_on_conflict import ATTEMPTS, transact
from tenantry.storage.store import (
    Batch,
    Compare,
    CompareFailed,
    Delete,
    Indeterminate,
    Overdrawn,
    Put,
    Store,
    Unavailable,
    Unencodable,
)
from tests.storage.faults import FaultyStore
from tests.support.logged import logged
from tests.support.patience import PATIENCE_SECONDS
from tests.support.ranges import RESOURCE, cell_on, create, key, there
from tests.support.waiting import one_turn, quiet

IMPATIENT = CommitLimits(answer_seconds=0.02, first_retry_seconds=0.001, last_retry_seconds=0.002)


def broken(range_: Range, owner: FenceValue | None) -> None:
    raise ZeroDivisionError


async def test_a_write_is_read_back_and_found_again(store: Store) -> None:
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    assert range_.version == resource_version.end_of_revision(store.cell, (await store.read(b"/", b"0")).revision)
    (record,) = await cell.commit([create("a", b"1")])
    assert record is not None
    assert range_.get(key("a")) is record
    assert record.version < range_.version
    (changed,) = await cell.commit([Change(key("a"), b"2", Head(), record)])
    assert changed is not None
    assert changed.version > record.version
    await cell.commit([create("b", b"3")])
    assert await cell.commit([Change(key("a"), None, None, changed)]) == [None]
    other = await cell_on(store, "shard-2").acquire("root", "r", "t")
    (found,) = other.list(RESOURCE)
    assert found == Record(key("b"), b"3", range_.list(RESOURCE)[0].version, Head(uid="uid of b"))


async def test_the_order_is_memory_then_hooks_then_subscribers_then_writer(store: Store) -> None:
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    seen: list[object] = []
    changes = [create("a"), create("b")]
    cell.commits.subscribe(lambda revision, done: seen.append(("hook", revision, len(done), range_.count(RESOURCE))))
    range_.subscribe(lambda events: seen.append(("subscriber", [event.key.name for event in events])))
    future = asyncio.ensure_future(cell.commit(changes))
    future.add_done_callback(lambda _: seen.append("writer"))
    await future
    await quiet()
    revision = resource_version.revision_of(range_.version)
    assert seen == [("hook", revision, 2, 2), ("subscriber", ["a", "b"]), "writer"]


async def test_hooks_and_subscribers_that_raise_cost_nobody_else_anything(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    seen: list[object] = []

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    cell.commits.subscribe(broken)
    cell.commits.subscribe(lambda *_: seen.append("hook"))
    range_.subscribe(broken)
    range_.subscribe(lambda _: seen.append("subscriber"))
    await cell.commit([create("a")])
    await cell.commit([create("b")])
    assert seen == ["hook", "subscriber"] * 2
    assert len(logged(caplog)) == 4


async def test_expectations_are_compared_by_the_call_itself() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    first = cell.commit([create("a")])
    with pytest.raises(Stale) as refused:
        cell.commit([create("b"), create("a")])
    assert refused.value.key == key("a")
    (record,) = await first
    with pytest.raises(Stale):
        cell.commit([create("a")])
    with pytest.raises(Stale):
        cell.commit([Change(key("b"), b"", Head(), record)])
    (changed,) = await cell.commit([Change(key("a"), b"2", Head(), record)])
    with pytest.raises(Stale):
        cell.commit([Change(key("a"), b"3", Head(), record)])
    with pytest.raises(NotOwned):
        cell.commit([create("a", cluster="zzz")])
    for impossible in (
        [create("c"), create("c")],
        [Change(key("c"), None, None, None)],
        [create(str(at)) for at in range(121)],
        [create(str(at), catalog={b"/catalog/%d" % at: b""}) for at in range(61)],
    ):
        with pytest.raises(ValueError):
            cell.commit(impossible)
    with pytest.raises(ValueError):
        cell.commit([], [Put(key("c").encode(), b"")])
    # Nothing of what was refused is left pending.
    await asyncio.wait_for(cell.writes_done([key(name) for name in "abc"]), 1)
    assert await cell.commit([]) == ()
    assert await cell.commit([Change(key("a"), None, None, changed)]) == [None]


async def test_who_waits_for_writes_waits_for_the_one_under_way() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    store.gate.clear()
    write = asyncio.ensure_future(cell.commit([create("a")]))
    waits = [asyncio.create_task(cell.writes_done([key("z"), key("a")])) for _ in range(2)]
    await quiet()
    assert not any(wait.done() for wait in waits)
    waits[0].cancel()
    await quiet()
    assert waits[0].cancelled()
    store.gate.set()
    await waits[1]
    assert range_.get(key("a")) is not None
    await write


async def test_memory_has_the_batch_that_was_in_flight() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    await cell.in_flight_applied()
    store.gate.clear()
    write = asyncio.ensure_future(cell.commit([create("a")]))
    await quiet()
    write.cancel()
    applied = asyncio.create_task(cell.in_flight_applied())
    await quiet()
    assert not applied.done()
    later = asyncio.ensure_future(cell.commit([create("b")]))
    store.gate.set()
    await applied
    assert range_.get(key("a")) is not None
    await later


async def test_writers_of_one_key_take_turns(store: Store) -> None:
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")

    async def add() -> None:
        while True:
            await cell.writes_done([key("counter")])
            current = range_.get(key("counter"))
            value = str(int(current.value) + 1 if current else 1).encode()
            await cell.commit([Change(key("counter"), value, Head(), current)])
            return

    await asyncio.gather(*(add() for _ in range(20)))
    record = range_.get(key("counter"))
    assert record is not None
    assert record.value == b"20"


async def test_a_cancelled_writer_takes_nothing_back() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    store.gate.clear()

    async def write() -> None:
        await cell.commit([create("a"), create("b")])

    task = asyncio.create_task(write())
    await quiet()
    task.cancel()
    await quiet()
    store.gate.set()
    await cell.writes_done([key("a")])
    assert range_.count(RESOURCE) == 2


async def test_what_waits_goes_into_one_transaction_that_compares_its_fences() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    await cell.acquire("two", "000", "001")
    store.commits.clear()
    store.gate.clear()
    writes = [cell.commit([create("first")])]
    await quiet()
    writes += [cell.commit([create(str(at), cluster="000a" if at % 2 else "root")]) for at in range(99)]
    writes += [cell.commit([create(f"x{at}"), create(f"y{at}")]) for at in range(3)]
    store.gate.set()
    records = await asyncio.gather(*writes)
    assert [len(puts) - 1 for _, puts, _ in store.commits] == [1, 99, 6]
    assert [[fence.key for fence in fences] for fences, _, _ in store.commits] == [
        [b"/journal/shard-1", b"/fences/root"],
        [b"/journal/shard-1", b"/fences/root", b"/fences/two"],
        [b"/journal/shard-1", b"/fences/root"],
    ]
    made = [there(record).version for group in records for record in group]
    assert made == sorted(set(made))


async def test_bytes_bound_a_batch_and_big_ones_go_alone() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    store.commits.clear()
    big = b"v" * 600_000
    await asyncio.gather(*(cell.commit([create(name, big * (3 if name == "c" else 1))]) for name in "abcd"))
    assert [len(puts) - 1 for _, puts, _ in store.commits] == [1, 1, 1, 1]


async def test_a_raw_key_is_written_once_a_batch() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    copy = catalog_key("g/r", "root", "a")
    await asyncio.gather(
        cell.commit([create("a", catalog={copy: b"1"})]),
        cell.commit([create("b", catalog={copy: b"2"})], [Put(b"/ranges/x", b"r")]),
        cell.commit([create("c", catalog={copy: None})], (), [Delete(b"/ranges/x")]),
        cell.commit([], [Put(copy, b"3")]),
    )
    page = await store.read(b"/catalog/", b"/catalog0")
    assert [(kv.key, kv.value) for kv in page.kvs] == [(copy, b"3")]
    assert (await store.read(b"/ranges/", b"/ranges0")).kvs == []


async def test_too_much_waiting_is_refused() -> None:
    store = FaultyStore()
    cell = cell_on(store, limits=CommitLimits(waiting_operations=4, waiting_bytes=1000, largest_share=1))
    await cell.acquire("root", "r", "t")
    store.gate.clear()
    writes = [cell.commit([create("in flight")])]
    await quiet()
    writes.append(cell.commit([create("a"), create("b")]))
    with pytest.raises(Overdrawn):
        cell.commit([create("c"), create("d")])
    with pytest.raises(Overdrawn):
        cell.commit([create("c", b"v" * 1000)])
    writes.append(cell.commit([create("c")]))
    store.gate.set()
    await asyncio.gather(*writes)
    await cell.commit([create("d")])


@pytest.mark.parametrize("large", [False, True])
async def test_one_cluster_does_not_fill_the_queue_and_others_do_not_wait_behind_it(large: bool) -> None:
    store = FaultyStore()
    limits = CommitLimits(waiting_operations=1000, waiting_bytes=1 << 20, batch_operations=20, batch_bytes=20 << 10)
    cell = cell_on(store, limits=limits)
    await cell.acquire("root", "r", "t")
    value = b"v" * (10_000 if large else 10)
    store.gate.clear()
    done: list[str] = []
    writes: list[asyncio.Future[Any]] = []

    def write(name: str, cluster: str, value: bytes) -> None:
        write = asyncio.ensure_future(cell.commit([create(name, value, cluster)]))
        write.add_done_callback(lambda _: done.append(cluster))
        writes.append(write)

    write("in flight", "r-quiet", b"")
    await quiet()
    with pytest.raises(Overdrawn):
        for number in range(2000):
            write(str(number), "r-greedy", value)
    greedy = len(writes) - 1
    assert 40 <= greedy <= 500
    for number in range(5):
        write(str(number), "r-quiet", value)
    store.gate.set()
    await asyncio.gather(*writes)
    # Of the greedy one's at most as many came first as of the quiet one's, and what shared a batch with them.
    assert done.index("r-quiet", done.index("r-quiet") + 1) <= 21
    assert [at for at, cluster in enumerate(done) if cluster == "r-quiet"][-1] <= 6 + 5 + 20
    # It is all given back.
    assert (cell.waiting[0].used, cell.waiting[1].used) == (0, 0)


@pytest.mark.parametrize("silent_reads", [0, 1, 3])
@pytest.mark.parametrize(
    "faults", [["lost before"], ["lost after"], ["late"], ["lost before", "late", "unavailable", "lost after"]]
)
async def test_it_is_found_out_what_became_of_a_lost_answer_and_nothing_happens_twice(
    faults: list[str], silent_reads: int
) -> None:
    store = FaultyStore()
    cell = cell_on(store, limits=CommitLimits(first_retry_seconds=0.001))
    range_ = await cell.acquire("root", "r", "t")
    seen: list[str] = []
    range_.subscribe(lambda events: seen.extend(event.key.name for event in events))
    await cell.commit([create("before")])
    store.faults.extend(faults)
    store.silent_reads = silent_reads
    record = there(*await cell.commit([create("a", b"1")]))
    store.silent_reads = 0
    assert await store.deliver() == 0
    (stored,) = (await store.read(key("a").encode(), key("a").encode() + b"\0")).kvs
    assert resource_version.make(1, stored.mod_revision, stored.index) == record.version
    await cell.commit([create("after")])
    assert seen == ["before", "a", "after"]
    assert not store.faults


async def test_a_store_that_does_not_answer_tells_writers_and_memory_learns_the_outcome() -> None:
    store = FaultyStore()
    cell = cell_on(store, limits=IMPATIENT)
    range_ = await cell.acquire("root", "r", "t")
    silent = ["lost after"] + ["lost before"] * 100_000
    store.faults.extend(silent)
    store.silent_reads = 100_000
    writes = [asyncio.ensure_future(cell.commit([create("a")]))]
    await quiet()
    writes.append(asyncio.ensure_future(cell.commit([create("b")])))
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Indeterminate, Unavailable]
    with pytest.raises(Unavailable):
        cell.commit([create("c")])
    with pytest.raises(Stale):
        cell.commit([create("a")])
    store.faults.clear()
    store.silent_reads = 0
    await cell.writes_done([key("a")])
    assert [record.key.name for record in range_.list(RESOURCE)] == ["a"]
    await cell.commit([create("b")])


async def test_a_store_that_takes_no_writes_any_more_still_tells_of_the_last_one() -> None:
    """As etcd does when it is full: the commit that filled it is done."""
    store = FaultyStore()
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    store.faults.extend(["lost after"] + ["unavailable"] * 100_000)
    await asyncio.wait_for(cell.commit([create("a")]), PATIENCE_SECONDS)
    assert range_.count(RESOURCE) == 1
    with pytest.raises(Unavailable):
        await cell.commit([create("b")])
    store.faults.clear()
    await cell.commit([create("b")])


async def test_closing_does_not_wait_for_a_silent_store() -> None:
    store = FaultyStore()
    cell = cell_on(store, limits=IMPATIENT)
    await cell.acquire("root", "r", "t")
    store.faults.extend(["lost before"] * 100_000)
    write = asyncio.ensure_future(cell.commit([create("a")]))
    await quiet()
    await asyncio.wait_for(cell.close(), 30)
    with pytest.raises(Indeterminate):
        await write
    with pytest.raises(Unavailable):
        cell.commit([create("b")])


async def test_an_unavailable_store_changes_nothing() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    store.faults.append("unavailable")
    with pytest.raises(Unavailable):
        await cell.commit([create("a")])
    assert range_.count(RESOURCE) == 0
    await cell.commit([create("a")])


async def test_closing_commits_what_waits(store: Store) -> None:
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    write = asyncio.ensure_future(cell.commit([create("a")]))
    await cell.close()
    await write
    assert range_.count(RESOURCE) == 1
    assert (await store.read(b"/journal/", b"/journal0")).kvs == []
    await cell.close()
    with pytest.raises(Unavailable):
        cell.commit([create("b")])


async def test_an_owner_that_lost_its_fence_is_demoted_at_once() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    lost = await cell.acquire("root", "r", "t")
    kept = await cell.acquire("two", "000", "001")
    demotions: list[object] = []
    cell.demotions.subscribe(broken)
    cell.demotions.subscribe(lambda range_, owner: demotions.append((range_, owner and owner.owner)))
    await cell.commit([create("before")])
    await acquire_fence(store, "root", "shard-2")
    store.gate.clear()
    writes = [cell.commit([create("a")]), cell.commit([create("a", cluster="000x")])]
    await quiet()
    writes += [cell.commit([create("b"), create("b", cluster="000x")]), cell.commit([create("c", cluster="000x")])]
    store.gate.set()
    outcomes: list[Any] = await asyncio.gather(*(asyncio.ensure_future(write) for write in writes), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotOwned, list, NotOwned, list]
    assert outcomes[0].owner.owner == "shard-2"
    assert outcomes[0].cluster == "root"
    assert demotions == [(lost, "shard-2")]
    assert (lost.owned, lost.readable, kept.readable) == (False, False, True)
    assert list(cell.ranges) == ["two"]
    assert not cell.owns("root")
    with pytest.raises(NotOwned):
        cell.range_of("root")
    assert [record.key.name for record in kept.list(RESOURCE)] == ["a", "c"]
    assert [record.key.name for record in lost.list(RESOURCE)] == ["before"]
    back = await cell.acquire("root", "r", "t")
    assert [record.key.name for record in back.list(RESOURCE)] == ["before"]
    await cell.commit([create("again")])


async def test_writers_of_a_lost_range_are_told_a_few_in_a_turn() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    await cell.acquire("two", "000", "001")
    await acquire_fence(store, "root", "shard-2")
    store.gate.clear()
    writes = [asyncio.ensure_future(cell.commit([create(f"a{i}")])) for i in range(400)]
    kept = asyncio.ensure_future(cell.commit([create("kept", cluster="000x")]))
    await quiet()
    store.gate.set()
    most = answered = 0
    while answered < len(writes):
        await one_turn()
        done = sum(write.done() for write in writes)
        most, answered = max(most, done - answered), done
    assert most <= 64
    assert all(type(write.exception()) is NotOwned for write in writes)
    await kept
    await cell.close()


async def test_a_lost_answer_and_a_lost_fence() -> None:
    """The batch took effect before the range changed hands, or it never will."""
    for fault, expected in (("lost after", list), ("late", NotOwned)):
        store = FaultyStore()
        cell = cell_on(store, limits=CommitLimits(first_retry_seconds=0.001))
        await cell.acquire("root", "r", "t")
        store.faults.append(fault)
        write = asyncio.ensure_future(cell.commit([create("a")]))
        await store.faulted.wait()
        await acquire_fence(store, "root", "shard-2")
        (outcome,) = await asyncio.gather(write, return_exceptions=True)
        assert type(outcome) is expected
        assert await store.deliver() == 0
        found = await cell_on(store, "shard-3").acquire("root", "r", "t")
        assert found.count(RESOURCE) == (1 if expected is list else 0)


async def test_a_uid_used_twice_loses_everything_it_touches() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    await cell.commit([create("a")])
    await store.commit([], [Put(b"/journal/shard-1", b"77")], [])
    with pytest.raises(NotOwned):
        await cell.commit([create("b")])
    assert not cell.ranges
    with pytest.raises(CompareFailed):
        await cell.commit([], [Put(b"/ranges/x", b"")])


async def test_a_forgotten_journal_costs_one_write_and_the_ranges_are_taken_up_again() -> None:
    """As of a shard that was without a session for so long that the registry took it for dead."""
    store = FaultyStore()
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    await cell.commit([create("a")])
    await store.commit([], [], [Delete(b"/journal/shard-1")])
    with pytest.raises(NotOwned):
        await cell.commit([create("b")])
    assert not cell.ranges
    range_ = await cell.acquire("root", "r", "t", take=False)
    await cell.commit([create("c")])
    assert [range_.get(key(name)) is not None for name in "abc"] == [True, False, True]


async def test_adopting_checks_bounds_and_ownership(store: Store) -> None:
    cell, other = cell_on(store), cell_on(store, "shard-2")
    first, second = await asyncio.gather(
        cell.acquire("root", "r", "t"), cell.acquire("overlap", "s", "u"), return_exceptions=True
    )
    assert not isinstance(first, BaseException)
    assert isinstance(second, ValueError)
    for bounds in (("root", "x", "y"), ("other", "a", "rz"), ("other", "ra", "rb")):
        with pytest.raises(ValueError):
            await cell.acquire(*bounds)
    with pytest.raises(NotOwned) as refused:
        await other.acquire("root", "r", "t", take=False)
    assert refused.value.owner is not None and refused.value.owner.owner == "shard-1"
    with pytest.raises(NotOwned):
        await other.acquire("unknown", "a", "b", take=False)
    await acquire_fence(store, "new", "shard-2")
    assert (await other.acquire("new", "a", "b", take=False)).owned
    assert [cell.owns(cluster) for cluster in ("root", "system:admin", "t", "qz", "")] == [True, True, False, False, False]


async def test_releasing_flushes_first() -> None:
    store = FaultyStore()
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    store.gate.clear()
    write = asyncio.ensure_future(cell.commit([create("a")]))
    release = asyncio.create_task(cell.release("root"))
    await quiet()
    with pytest.raises(NotOwned):
        cell.commit([create("b")])
    assert not release.done()
    store.gate.set()
    await release
    await write
    assert range_.count(RESOURCE) == 1
    assert not cell.ranges
    assert (await cell.acquire("root", "r", "t")).count(RESOURCE) == 1


async def test_every_range_goes_on_with_the_cell(store: Store) -> None:
    cell = cell_on(store)
    one, two = await cell.acquire("root", "r", "t"), await cell.acquire("two", "000", "001")
    await cell.commit([create("a")])
    assert one.version == two.version
    old = two.version
    await cell.commit([create("b", cluster="000x")])
    assert one.version == two.version > old


async def test_a_new_owner_follows_on_from_the_old_ones_versions(store: Store) -> None:
    """Every event has the same version after a change of owner, so a watch resumes between any two of them."""
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    await cell.acquire("two", "000", "001")
    begin = range_.version
    records = await asyncio.gather(
        *(cell.commit([create(name, cluster=cluster)]) for name in "abcdef" for cluster in ("000x", "root"))
    )
    flat = [there(record) for group in records for record in group]
    await asyncio.gather(
        *(cell.commit([Change(record.key, None, None, record)]) for record in flat if record.key.name in "ace"),
        *(cell.commit([Change(record.key, b"2", Head(), record)]) for record in flat if record.key.name in "bd"),
        cell.commit([create("g", cluster="rx")]),
    )
    events = range_.events_after(begin, RESOURCE)
    assert len(events) == 6 + 3 + 2 + 1
    assert len({event.version for event in events}) == len(events)
    successor = await cell_on(store, "shard-2").acquire("root", "r", "t")
    await successor.backfilled(begin)
    for since in (begin, *(event.version for event in events)):
        expected = [(event.key, event.version, event.record and event.record.value) for event in events if event.version > since]
        found = [
            (event.key, event.version, event.record and event.record.value) for event in successor.events_after(since, RESOURCE)
        ]
        assert found == expected
        assert [(r.key, r.value, r.version) for r in successor.list_at(since, RESOURCE)] == [
            (r.key, r.value, r.version) for r in range_.list_at(since, RESOURCE)
        ]


async def test_loading_takes_many_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.storage.load.PAGE_KEYS", 7)
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    await cell.commit([create(f"{at:03}") for at in range(50)])
    range_ = await cell_on(store, "shard-2").acquire("root", "r", "t")
    assert [record.key.name for record in range_.list(RESOURCE)] == [f"{at:03}" for at in range(50)]


async def test_compacted_history_seeds_what_is_left(store: Store) -> None:
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    records = [there(*await cell.commit([create(str(at))])) for at in range(6)]
    revision = resource_version.revision_of(records[3].version)
    await store.compact(revision)
    successor = await cell_on(store, "shard-2").acquire("root", "r", "t")
    await successor.backfilled(0)
    assert successor.oldest(RESOURCE) == resource_version.end_of_revision(store.cell, revision - 1)
    assert [event.version for event in successor.events_after(records[2].version | 127, RESOURCE)] == [
        record.version for record in records[3:]
    ]
    assert range_.name == successor.name


async def test_a_new_range_asks_for_no_history_from_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store would read what all others wrote. There was nothing, so whoever knows an older version misses nothing."""
    asked: list[int] = []
    store = MemoryStore(cell=1)
    watch = store.watch

    def watched(start: bytes, end: bytes, *, from_revision: int) -> AsyncGenerator[Batch, None]:
        asked.append(from_revision)
        return watch(start, end, from_revision=from_revision)

    monkeypatch.setattr(store, "watch", watched)
    cell = cell_on(store)
    old = await cell.acquire("root", "r", "t")
    for name in "abc":
        await cell.commit([create(name)])
    before = old.version
    await acquire_fence(store, "two", "shard-2")
    opened = (await read_fence(store, "two")).mod_revision
    await cell.commit([create("d")])
    asked.clear()
    first_owner = cell_on(store, "shard-2")
    two = await first_owner.acquire("two", "000", "001", take=False)
    assert not asked and not two.events_after(before, RESOURCE)
    (written,) = await first_owner.commit([create("e", cluster="000x")])
    assert written is not None
    again = await cell_on(store, "shard-3").acquire("two", "000", "001")
    await again.backfilled(before)
    assert asked == [opened]
    assert [event.version for event in again.events_after(before, RESOURCE)] == [written.version]


async def test_a_range_that_was_given_back_has_its_history() -> None:
    """Its fence looks like that of one that nobody had before."""
    cell = cell_on(MemoryStore(cell=1))
    before = (await cell.acquire("root", "r", "t")).version
    (written,) = await cell.commit([create("a")])
    await cell.release("root")
    again = await cell.acquire("root", "r", "t")
    await again.backfilled(before)
    assert written is not None
    assert [event.version for event in again.events_after(before, RESOURCE)] == [written.version]


async def test_reads_end_with_the_session() -> None:
    now = 100.0
    guard = ReadGuard(lambda: now)
    cell = cell_on(FaultyStore(), guard=guard)
    range_ = await cell.acquire("root", "r", "t")
    assert range_.readable
    guard.renewed(sent_at=100.0, ttl_seconds=2.0, margin_seconds=0.5)
    now = 101.4
    assert range_.readable
    now = 101.5
    assert not range_.readable


async def test_a_lost_range_tells_nothing_of_what_its_former_owner_does_elsewhere(store: Store) -> None:
    """A bookmark must not pass over what the next owner wrote meanwhile."""
    cell = cell_on(store)
    lost, kept = await cell.acquire("root", "r", "t"), await cell.acquire("range-2", "000", "001")
    await cell.commit([create("a")])
    version = lost.version
    await acquire_fence(store, "root", "shard-2")
    with pytest.raises(NotOwned):
        await cell.commit([create("b")])
    await cell.commit([create("c", cluster="000")])
    assert lost.version == version < kept.version
    assert not lost.owned


async def test_a_range_is_not_carried_on_by_other_ranges_without_a_proof_of_life(store: Store) -> None:
    guard = ReadGuard()
    cell = cell_on(store, guard=guard)
    quiet, busy = await cell.acquire("root", "r", "t"), await cell.acquire("range-2", "000", "001")
    version = quiet.version
    guard.deadline = 0.0
    await cell.commit([create("a", cluster="000")])
    assert quiet.version == version < busy.version
    guard.deadline = float("inf")
    await cell.commit([create("b", cluster="000")])
    assert quiet.version == busy.version


async def test_what_cannot_be_sent_fails_alone() -> None:
    """Whatever a store cannot make a request of: the writers beside it are innocent."""

    class Strict(MemoryStore):
        async def commit(self, compares: Sequence[Compare], puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
            if any(put.value == b"malformed" for put in puts):
                raise TypeError("not a request")
            return await super().commit(compares, puts, deletes)

    cell = cell_on(Strict())
    range_ = await cell.acquire("root", "r", "t")
    writes = [cell.commit([create(name, value)]) for name, value in (("a", b"1"), ("b", b"malformed"), ("c", b"2"))]
    first, second, third = await asyncio.gather(*writes, return_exceptions=True)
    assert not isinstance(first, BaseException) and not isinstance(third, BaseException)
    assert isinstance(second, Unencodable) and "not a request" in str(second)
    assert [record.key.name for record in range_.list(RESOURCE)] == ["a", "c"]
    await cell.commit([create("d")])
    await cell.close()


async def test_writes_of_no_range_wait_beside_each_other(store: Store) -> None:
    """What deletes other keys alone has no object and, before keys counted, had no size."""
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    keys = [catalog_key("ended", "root", name) for name in "abc"]
    await cell.commit([], [Put(each, b"{}") for each in keys])
    await asyncio.gather(*(cell.commit([], deletes=[Delete(each)]) for each in keys))
    await cell.commit([create("a")])
    page = await store.read(keys[0], keys[-1] + b"\0")
    assert page.kvs == []


async def test_what_is_overtaken_by_itself_is_given_up_and_lets_others_run() -> None:
    cell = cell_on(MemoryStore())
    await cell.acquire("root", "r", "t")
    await cell.commit([create("a")])
    turns_of_others = 0

    async def others() -> None:
        nonlocal turns_of_others
        while True:
            turns_of_others += 1
            await one_turn()

    task = asyncio.create_task(others())
    computed = 0

    def compute() -> Sequence[Change]:
        nonlocal computed
        computed += 1
        return [create("a")]

    with pytest.raises(Stale):
        await transact(cell, [key("a")], compute)
    task.cancel()
    assert computed == ATTEMPTS
    assert turns_of_others >= ATTEMPTS - 1


async def test_attempts_wait_for_whoever_was_quicker() -> None:
    cell = cell_on(MemoryStore())
    range_ = await cell.acquire("root", "r", "t")
    await cell.commit([create("a", b"0")])

    async def count() -> None:
        def compute() -> Sequence[Change]:
            record = there(range_.get(key("a")))
            return [Change(record.key, b"%d" % (int(record.value) + 1), Head(), record)]

        await transact(cell, [key("a")], compute)

    await asyncio.gather(*(count() for _ in range(15)))
    assert there(range_.get(key("a"))).value == b"15"
