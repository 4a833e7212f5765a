"""The store contract, example by example, on every engine. The model test beside it looks for what the examples miss."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from tenantry.storage.follower import Follower, gathered
from tenantry.storage.store import (
    Batch,
    Compacted,
    Compare,
    CompareFailed,
    Delete,
    LeaseGone,
    Put,
    Store,
    Unavailable,
)
from tests.support.patience import PATIENCE_SECONDS
from tests.support.stores import DURABLE_ENGINES, Engine, Watch, brief, brief_event
from tests.support.waiting import one_turn

ALL = (b"/", b"0")


async def test_a_commit_is_one_revision_and_is_read_back_in_order(store: Store) -> None:
    before = (await store.read(*ALL)).revision
    revision = await store.commit([], [Put(b"/b", b"2", 1), Put(b"/a", b"1", 0), Put(b"/c\x00\xff", b"\x00\xff", 2)], [])
    page = await store.read(*ALL)
    assert revision == before + 1 == page.revision
    assert [(kv.key, kv.value, kv.index) for kv in page.kvs] == [
        (b"/a", b"1", 0),
        (b"/b", b"2", 1),
        (b"/c\x00\xff", b"\x00\xff", 2),
    ]
    assert {(kv.mod_revision, kv.create_revision) for kv in page.kvs} == {(revision, revision)}


async def test_create_revision_lives_until_the_deletion(store: Store) -> None:
    first = await store.commit([], [Put(b"/a", b"1")], [])
    second = await store.commit([], [Put(b"/a", b"2", 7)], [])
    (kv,) = (await store.read(*ALL)).kvs
    assert (kv.create_revision, kv.mod_revision, kv.index) == (first, second, 7)
    await store.commit([], [], [Delete(b"/a")])
    third = await store.commit([], [Put(b"/a", b"3")], [])
    (kv,) = (await store.read(*ALL)).kvs
    assert (kv.create_revision, kv.mod_revision) == (third, third)


async def test_an_empty_value_is_a_value(store: Store) -> None:
    await store.commit([], [Put(b"/a", b"")], [])
    assert [kv.value for kv in (await store.read(*ALL)).kvs] == [b""]


async def test_the_interval_is_half_open(store: Store) -> None:
    await store.commit([], [Put(key, b"") for key in (b"/a", b"/b", b"/b\x00", b"/c")], [])
    assert [kv.key for kv in (await store.read(b"/b", b"/c")).kvs] == [b"/b", b"/b\x00"]
    assert (await store.read(b"/c", b"/b")).kvs == []


async def test_pages_at_a_pinned_revision_do_not_see_later_commits(store: Store) -> None:
    revision = await store.commit([], [Put(b"/%d" % i, b"old") for i in range(6)], [])
    page = await store.read(*ALL, limit=2)
    assert ([kv.key for kv in page.kvs], page.more, page.revision) == ([b"/0", b"/1"], True, revision)
    await store.commit([], [Put(b"/2", b"new"), Put(b"/20", b"new")], [Delete(b"/3")])
    await store.commit([], [Put(b"/3", b"newer")], [Delete(b"/5")])
    rest = await store.read(b"/1\x00", b"0", revision=revision, limit=3)
    assert ([(kv.key, kv.value) for kv in rest.kvs], rest.more) == ([(b"/2", b"old"), (b"/3", b"old"), (b"/4", b"old")], True)
    last = await store.read(b"/4\x00", b"0", revision=revision, limit=3)
    assert ([(kv.key, kv.value) for kv in last.kvs], last.more, last.revision) == ([(b"/5", b"old")], False, revision)


async def test_exactly_full_page_has_no_more(store: Store) -> None:
    await store.commit([], [Put(b"/a", b""), Put(b"/b", b"")], [])
    assert not (await store.read(*ALL, limit=2)).more


async def test_a_future_revision_is_refused(store: Store) -> None:
    now = (await store.read(*ALL)).revision
    with pytest.raises(ValueError, match="future"):
        await store.read(*ALL, revision=now + 1)
    with pytest.raises(ValueError, match="future"):
        await store.compact(now + 1)


async def test_what_changes_nothing_is_no_revision(store: Store) -> None:
    now = (await store.read(*ALL)).revision
    assert await store.commit([], [], []) == now
    assert await store.commit([], [], [Delete(b"/none"), Delete(b"/x", b"/y")]) == now


async def test_an_interval_is_deleted_in_one_revision(store: Store) -> None:
    for at in range(0, 300, 100):
        await store.commit([], [Put(b"/t/%03d" % i, b"v") for i in range(at, at + 100)], [])
    await store.commit([], [Put(b"/u", b"stays")], [])
    before = (await store.read(*ALL)).revision
    watch = Watch(store, b"/t/", b"/t0", before + 1)
    revision = await store.commit([], [], [Delete(b"/t/", b"/t0")])
    assert revision == before + 1
    assert [kv.key for kv in (await store.read(*ALL)).kvs] == [b"/u"]
    batch = await watch.next()
    assert [event.kv.key for event in batch.events] == [b"/t/%03d" % i for i in range(300)]
    await watch.close()


@pytest.mark.parametrize(
    ("puts", "deletes"),
    [
        ([Put(b"/a", b"1"), Put(b"/a", b"2")], []),
        ([Put(b"/a", b"1")], [Delete(b"/a")]),
        ([Put(b"/b", b"1")], [Delete(b"/a", b"/c")]),
        ([], [Delete(b"/a", b"/c"), Delete(b"/b", b"/d")]),
        ([Put(b"/%d" % i, b"") for i in range(129)], []),
    ],
)
async def test_impossible_commits_are_refused(store: Store, puts: list[Put], deletes: list[Delete]) -> None:
    with pytest.raises(ValueError):
        await store.commit([], puts, deletes)
    assert (await store.read(*ALL)).kvs == []


async def test_128_operations_fit(store: Store) -> None:
    await store.commit([], [Put(b"/%03d" % i, b"", i) for i in range(128)], [])
    assert len((await store.read(*ALL)).kvs) == 128


async def test_a_fence_that_moved_refuses_the_whole_commit(store: Store) -> None:
    revision = await store.commit([], [Put(b"/fences/one", b"me"), Put(b"/fences/two", b"me")], [])
    assert (
        await store.commit([Compare(b"/fences/one", revision), Compare(b"/fences/none", 0)], [Put(b"/a", b"1")], [])
        == revision + 1
    )
    moved = await store.commit([Compare(b"/fences/two", revision)], [Put(b"/fences/two", b"other")], [])
    with pytest.raises(CompareFailed) as refused:
        await store.commit(
            [Compare(b"/fences/one", revision), Compare(b"/fences/two", revision)], [Put(b"/a", b"2")], [Delete(b"/b")]
        )
    assert (refused.value.name, refused.value.value) == ("two", b"other")
    page = await store.read(b"/a", b"/b")
    assert (page.kvs[0].value, page.revision) == (b"1", moved)


async def test_the_first_wrong_fence_is_named(store: Store) -> None:
    await store.commit([], [Put(b"/fences/one", b"x"), Put(b"/journal/s", b"7")], [])
    with pytest.raises(CompareFailed) as refused:
        await store.commit([Compare(b"/journal/s", 0), Compare(b"/fences/one", 0)], [Put(b"/a", b"")], [])
    assert (refused.value.name, refused.value.value) == ("/journal/s", b"7")
    with pytest.raises(CompareFailed) as refused:
        await store.commit([Compare(b"/fences/gone", 5)], [Put(b"/a", b"")], [])
    assert (refused.value.name, refused.value.value) == ("gone", None)


async def test_of_two_takers_of_a_fence_one_wins(store: Store) -> None:
    takes = [store.commit([Compare(b"/fences/r", 0)], [Put(b"/fences/r", b"%d" % i)], []) for i in range(4)]
    outcomes = await asyncio.gather(*takes, return_exceptions=True)
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, CompareFailed) for outcome in outcomes) == 3


async def test_a_watch_shows_what_was_and_what_comes(store: Store) -> None:
    first = await store.commit([], [Put(b"/a", b"1"), Put(b"/z", b"outside")], [])
    watch = Watch(store, b"/a", b"/c", first)
    history, reached = await watch.progress()
    assert reached == first
    assert [[brief_event(event) for event in batch.events] for batch in history] == [[(False, (b"/a", b"1", first), None)]]
    await store.commit([], [Put(b"/z", b"unseen")], [])
    third = await store.commit([], [Put(b"/a", b"3"), Put(b"/b", b"3")], [])
    fourth = await store.commit([], [], [Delete(b"/a")])
    batch = await watch.next()
    assert (batch.revision, [brief_event(event) for event in batch.events]) == (
        third,
        [(False, (b"/a", b"3", third), (b"/a", b"1", first)), (False, (b"/b", b"3", third), None)],
    )
    batch = await watch.next()
    assert (batch.revision, [brief_event(event) for event in batch.events]) == (
        fourth,
        [(True, (b"/a", b"", fourth), (b"/a", b"3", third))],
    )
    await watch.close()


async def test_a_watch_that_does_not_want_the_states_before_shows_all_the_rest(store: Store) -> None:
    first = await store.commit([], [Put(b"/a", b"1"), Put(b"/b", b"1")], [])
    changed = await store.commit([], [Put(b"/a", b"2")], [Delete(b"/b")])
    async with aclosing(store.watch(b"/a", b"/c", from_revision=first, previous=False)) as batches:
        found: list[Batch] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found) < 3:
                batch = await anext(batches)
                if batch.events:
                    found.append(batch)
                if len(found) == 2:
                    await store.commit([], [Put(b"/b", b"3")], [])
    assert [batch.revision for batch in found[:2]] == [first, changed]
    assert [(event.deleted, brief(event.kv)) for batch in found[1:] for event in batch.events] == [
        (False, (b"/a", b"2", changed)),
        (True, (b"/b", b"", changed)),
        (False, (b"/b", b"3", found[2].revision)),
    ]


async def test_a_watch_that_is_asked_says_how_far_it_is(store: Store) -> None:
    shown: list[bytes] = []
    following = Follower(
        store,
        [(b"/a", b"/b")],
        load=gathered(lambda kvs, revision: None),
        changed=lambda batch: shown.extend(event.kv.key for event in batch.events),
        name="a test",
        progress=True,
    )
    await following.start()
    try:
        for number in range(3):
            await store.commit([], [Put(b"/a/%d" % number, b"")], [])
            elsewhere = await store.commit([], [Put(b"/z", b"")], [])
            async with asyncio.timeout(PATIENCE_SECONDS):
                await following.progressed(elsewhere)
            assert shown == [b"/a/%d" % each for each in range(number + 1)], "all that came before"
            assert following.revision >= elsewhere
    finally:
        await following.stop()


async def test_puts_come_before_deletions_in_a_batch(store: Store) -> None:
    await store.commit([], [Put(b"/a", b""), Put(b"/c", b"")], [])
    revision = await store.commit([], [Put(b"/d", b"", 0), Put(b"/b", b"", 1)], [Delete(b"/c"), Delete(b"/a")])
    watch = Watch(store, *ALL, revision)
    assert [event.kv.key for event in (await watch.next()).events] == [b"/d", b"/b", b"/c", b"/a"]
    await watch.close()


async def test_a_watch_from_the_future_waits_for_its_revision(store: Store) -> None:
    now = (await store.read(*ALL)).revision
    watch = Watch(store, *ALL, now + 2)
    assert (await watch.progress())[0] == []
    await store.commit([], [Put(b"/a", b"early")], [])
    await store.commit([], [Put(b"/a", b"wanted")], [])
    assert [event.kv.value for event in (await watch.next()).events] == [b"wanted"]
    await watch.close()


async def test_a_slow_watch_loses_nothing(store: Store) -> None:
    watch = Watch(store, *ALL, 1)
    await watch.progress()
    revisions = [await store.commit([], [Put(b"/%d/%d" % (i, j), b"") for j in range(100)], []) for i in range(60)]
    assert [(await watch.next()).revision for _ in revisions] == revisions
    last = await store.commit([], [Put(b"/last", b"")], [])
    assert (await watch.next()).revision == last
    await watch.close()


async def test_compaction_forgets_the_past_and_keeps_the_present(store: Store) -> None:
    revisions = [await store.commit([], [Put(b"/a", b"%d" % i)], []) for i in range(5)]
    await store.commit([], [Put(b"/gone", b"")], [])
    deleted = await store.commit([], [], [Delete(b"/gone")])
    await store.compact(revisions[3])
    await store.compact(revisions[2])
    with pytest.raises(Compacted) as refused:
        await store.read(*ALL, revision=revisions[2])
    assert refused.value.revision == revisions[3]
    watch = Watch(store, *ALL, revisions[2])
    with pytest.raises(Compacted) as refused:
        await watch.next()
    assert refused.value.revision == revisions[3]
    assert [kv.value for kv in (await store.read(*ALL, revision=revisions[3])).kvs] == [b"3"]
    watch = Watch(store, *ALL, revisions[4])
    assert [brief(event.previous) for event in (await watch.next()).events] == [(b"/a", b"3", revisions[3])]
    await watch.close()
    await store.compact(deleted)
    page = await store.read(*ALL)
    assert ([kv.value for kv in page.kvs], page.revision) == ([b"4"], deleted)


async def test_a_live_watch_survives_compaction(store: Store) -> None:
    watch = Watch(store, b"/quiet", b"/quiet0", 1)
    await watch.progress()
    for _ in range(3):
        now = await store.commit([], [Put(b"/a", b"")], [])
    await one_turn()
    await store.compact(now)
    revision = await store.commit([], [Put(b"/quiet", b"")], [])
    assert (await watch.next()).revision == revision
    await watch.close()


async def test_a_lease_takes_its_keys_along(engine: Engine) -> None:
    store = engine.store
    lease = await store.grant_lease(10)
    assert lease != 0
    revision = await store.commit([], [Put(b"/s/a", b"", 0, lease), Put(b"/s/b", b"", 1, lease), Put(b"/s/c", b"", 2, lease)], [])
    await store.commit([], [Put(b"/s/c", b"freed")], [])
    watch = Watch(store, *ALL, revision + 2)
    await engine.advance(6)
    assert 0 < await store.keep_alive(lease) <= 10
    await engine.advance(6)
    assert len((await store.read(*ALL)).kvs) == 3
    await engine.advance(6)
    assert [kv.key for kv in (await store.read(*ALL)).kvs] == [b"/s/c"]
    assert [(event.deleted, event.kv.key) for event in (await watch.next()).events] == [(True, b"/s/a"), (True, b"/s/b")]
    await watch.close()
    with pytest.raises(LeaseGone):
        await store.keep_alive(lease)
    with pytest.raises(LeaseGone):
        await store.commit([], [Put(b"/s/d", b"", 0, lease)], [])


async def test_a_revoked_lease_is_gone(store: Store) -> None:
    one, two = await store.grant_lease(10), await store.grant_lease(10)
    assert one != two
    await store.commit([], [Put(b"/one", b"", 0, one), Put(b"/two", b"", 1, two)], [])
    await store.revoke_lease(one)
    await store.revoke_lease(one)
    assert [kv.key for kv in (await store.read(*ALL)).kvs] == [b"/two"]


async def test_a_closed_store_says_so(store: Store) -> None:
    watch = Watch(store, *ALL, 1)
    await watch.progress()
    await store.close()
    await store.close()
    for call in (store.read(*ALL), store.commit([], [Put(b"/a", b"")], []), store.grant_lease(1), watch.next()):
        with pytest.raises(Unavailable):
            await call


async def test_a_cancelled_commit_is_whole_or_absent(store: Store) -> None:
    task = asyncio.ensure_future(store.commit([], [Put(b"/a", b""), Put(b"/b", b"")], []))
    await one_turn()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.commit([], [Put(b"/c", b"")], [])
    assert len((await store.read(*ALL)).kvs) in (1, 3)


async def test_the_cell_is_the_stores_own(engine: Engine) -> None:
    assert engine.store.cell == 3


@pytest.mark.parametrize("engine", DURABLE_ENGINES, indirect=True)
async def test_everything_is_found_again(engine: Engine) -> None:
    first = await engine.store.commit([], [Put(b"/a", b"1", 5)], [])
    second = await engine.store.commit([], [Put(b"/a", b"2", 6), Put(b"/b", b"2", 7)], [])
    lease = await engine.store.grant_lease(10)
    await engine.store.commit([], [Put(b"/s", b"", 0, lease)], [])
    await engine.store.compact(second)
    await engine.restart()
    store = engine.store
    page = await store.read(*ALL)
    assert [(kv.key, kv.value, kv.index, kv.create_revision) for kv in page.kvs][:2] == [
        (b"/a", b"2", 6, first),
        (b"/b", b"2", 7, second),
    ]
    assert page.revision == second + 1
    with pytest.raises(Compacted):
        await store.read(*ALL, revision=first)
    await engine.advance(6)
    assert len((await store.read(*ALL)).kvs) == 3
    await engine.advance(6)
    assert len((await store.read(*ALL)).kvs) == 2
    assert await store.commit([], [Put(b"/c", b"")], []) == second + 3
