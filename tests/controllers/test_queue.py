"""The work queue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from operator import attrgetter

from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.controllers.queue import WorkQueue
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tests.controllers.recorder import key
from tests.support.waiting import until

cluster_of = attrgetter("cluster")


@given(st.lists(st.tuples(st.sampled_from(["add", "get", "done"]), st.integers(0, 4)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_added_key_is_lost_and_none_is_worked_on_twice_at_a_time(steps: Iterable[tuple[str, int]]) -> None:
    async def run() -> None:
        queue, processing, owed = WorkQueue[Key](cluster_of), set[Key](), set[Key]()
        for step, number in steps:
            each = key(str(number))
            if step == "add":
                queue.add(each)
                owed.add(each)
            elif step == "get" and len(queue):
                taken = await queue.get()
                assert taken not in processing
                processing.add(taken)
                owed.discard(taken)
            elif step == "done" and each in processing:
                processing.discard(each)
                queue.done(each)
        for each in list(processing):
            processing.discard(each)
            queue.done(each)
        while len(queue):
            taken = await queue.get()
            owed.discard(taken)
            queue.done(taken)
        assert not owed
        assert queue.idle

    asyncio.run(run())


async def test_dirty_keys_of_one_tenant_do_not_delay_another() -> None:
    queue = WorkQueue[Key](cluster_of, workers=8)
    for number in range(1000):
        queue.add(key(str(number), "flooder"))
    for _ in range(4):
        assert (await queue.get()).cluster == "flooder"
    queue.add(key("one", "quiet"))
    assert (await queue.get()).cluster == "quiet"
    # Half of the workers, and no more, are with the one that has more to do than all others together.
    waiting = asyncio.create_task(queue.get())
    await until(lambda: queue.getters or waiting.done())
    assert not waiting.done()
    queue.done(key("0", "flooder"), 0.1)
    assert (await waiting).cluster == "flooder"


async def test_time_is_shared_and_not_the_number_of_keys() -> None:
    queue = WorkQueue[Key](cluster_of, workers=1)
    for tenant in ("slow", "quick"):
        for number in range(50):
            queue.add(key(str(number), tenant))
    seen: list[str] = []
    for _ in range(44):
        taken = await queue.get()
        seen.append(taken.cluster)
        queue.done(taken, 1.0 if taken.cluster == "slow" else 0.1)
    assert 3 <= seen.count("slow") <= 5


async def test_keys_that_found_no_room_are_listed_again_for_their_tenant_alone() -> None:
    queue = WorkQueue[Key](cluster_of, keys_max=8)
    for number in range(8):
        queue.add(key(str(number), "flooder"))
    queue.add(key("one", "quiet"))
    assert (len(queue), queue.overflowed, queue.to_relist()) == (5, {"flooder"}, set())
    while len(queue):
        queue.done(await queue.get())
    assert (queue.to_relist(), queue.overflowed) == ({"flooder"}, set())


async def test_keys_of_a_paused_range_wait_until_it_is_resumed() -> None:
    range_ = Range("root", "r", "t")
    queue = WorkQueue[Key](cluster_of, keys_max=2, range_of=lambda cluster: range_ if cluster in range_ else None)
    queue.pause(range_)
    for name in ("a", "a", "b", "c"):
        queue.add(key(name))
    queue.add(key("x", "elsewhere"))
    assert (len(queue), queue.overflowed) == (1, {"root"})
    assert list(queue.resume(range_)) == [key("a"), key("b")]
    queue.add(key("a"))
    assert len(queue) == 2


async def test_a_worker_that_is_cancelled_after_it_was_woken_leaves_its_key_to_the_next() -> None:
    queue = WorkQueue[Key](cluster_of)
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await until(lambda: queue.getters == 2)
    queue.add(key("one"))
    first.cancel()
    assert await second == key("one")
    assert first.cancelled()


async def test_keys_wake_as_many_workers_as_there_are_keys() -> None:
    queue = WorkQueue[Key](cluster_of)
    getters = [asyncio.create_task(queue.get()) for _ in range(4)]
    await until(lambda: queue.getters == 4)
    for number in range(3):
        queue.add(key(str(number), f"tenant-{number}"))
    await until(lambda: sum(getter.done() for getter in getters) == 3)
    assert queue.getters == 1
    getters[-1].cancel()


async def test_a_worker_that_takes_all_keys_itself_is_alone_at_work() -> None:
    queue = WorkQueue[Key](cluster_of, workers=8)
    idle = [asyncio.create_task(queue.get()) for _ in range(4)]
    await until(lambda: queue.getters == 4)
    for number in range(6):
        queue.add(key(str(number), f"tenant-{number}"))
    taken = [await queue.get() for _ in range(6)]
    assert len(set(taken)) == 6
    # One was woken for them, found nothing, and waits again: the others were never disturbed.
    queue.add(key("last", "tenant-last"))
    await until(lambda: any(getter.done() for getter in idle))
    assert sum(getter.done() for getter in idle) == 1
    for getter in idle:
        getter.cancel()
