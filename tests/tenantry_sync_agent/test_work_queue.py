"""Each key once, never in two workers, and not lost by a retry."""

from __future__ import annotations

import asyncio

import pytest

from tenantry_sync_agent.work_queue import WorkQueue
from tests.support.waiting import until


async def test_a_key_that_is_added_meanwhile_is_given_again_after_that() -> None:
    queue: WorkQueue[str] = WorkQueue(10)
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a" and len(queue) == 0
    queue.add("a")
    assert len(queue) == 0 and not queue.idle
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_a_retry_comes_after_a_pause_or_with_an_event() -> None:
    queue: WorkQueue[str] = WorkQueue(10)
    queue.add("a")
    queue.retry(await queue.get())
    assert (len(queue), queue.retrying) == (0, 1)
    assert await queue.get() == "a"
    queue.retry("a", at_least_seconds=3600)
    queue.add("a")
    assert await queue.get() == "a" and queue.retrying == 0
    queue.retry("a", at_least_seconds=3600)
    queue.stop()
    assert queue.retrying == 0


async def test_watches_wait_while_it_is_full() -> None:
    queue: WorkQueue[str] = WorkQueue(2)
    queue.add("a")
    await queue.room()
    queue.add("b")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await queue.room()
    await queue.get()
    await queue.room()


async def test_every_key_gets_to_a_worker() -> None:
    queue: WorkQueue[int] = WorkQueue(1000)
    seen: list[int] = []

    async def work() -> None:
        while True:
            key = await queue.get()
            seen.append(key)
            queue.done(key)

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work()) for _ in range(4)]
        for key in range(100):
            queue.add(key)
        await until(lambda: len(seen) == 100)
        for worker in workers:
            worker.cancel()
    assert sorted(seen) == list(range(100))
