"""Workers do each key until it is done, survive what it does to them, and stop in the middle of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tenantry_sync_agent.api_client import ApiError, Unreachable
from tenantry_sync_agent.election import NotLeading
from tenantry_sync_agent.steps import Blocked, Stale
from tenantry_sync_agent.workers import Workers
from tests.support.waiting import one_turn, until

ERRORS: list[Callable[[], BaseException]] = [
    Stale,
    lambda: ApiError("PUT a", 409, "Conflict", "changed"),
    lambda: ApiError("PUT a", 500, "", "broken"),
    lambda: Unreachable("no route"),
    lambda: KeyError("spec"),
    asyncio.CancelledError,
]


class Work:
    """Fails with these errors, one after the other, and succeeds then."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls: list[str] = []

    async def __call__(self, key: str) -> None:
        self.calls.append(key)
        await one_turn()
        if self.errors:
            raise self.errors.pop(0)


@asynccontextmanager
async def running(work: Callable[[str], object], number: int = 1) -> AsyncIterator[Workers[str]]:
    workers: Workers[str] = Workers(work, number=number, name="work")  # type: ignore[arg-type]
    workers.start()
    try:
        yield workers
    finally:
        await workers.stop()


@pytest.mark.parametrize("error", ERRORS)
async def test_what_failed_is_done_again_by_a_worker_that_lives(error: Callable[[], BaseException]) -> None:
    work = Work(error(), error())
    async with running(work) as workers:
        workers.queue.add("a")
        await until(lambda: len(work.calls) == 3 and workers.queue.idle)
        assert not workers.queue.retrying
        workers.queue.add("b")
        await until(lambda: work.calls[-1] == "b")


@pytest.mark.parametrize("error", [Blocked("held"), NotLeading()])
async def test_what_cannot_be_done_yet_is_not_tried_at_once(error: BaseException) -> None:
    """It waits for its time, or for an event."""
    work = Work(error)
    async with running(work) as workers:
        workers.queue.add("a")
        await until(lambda: workers.queue.retrying == 1)
        assert work.calls == ["a"]
        workers.queue.add("a")
        await until(lambda: len(work.calls) == 2 and workers.queue.idle)
        assert not workers.queue.retrying


async def test_pauses_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    work = Work(*(Stale() for _ in range(5)))
    async with running(work) as workers:
        later = asyncio.get_running_loop().call_later

        def soon(delay: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
            if callback == workers.queue._due:
                pauses.append(delay)
                delay = 0.0
            return later(delay, callback, *args)

        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", soon)
        workers.queue.add("a")
        await until(lambda: len(work.calls) == 6 and workers.queue.idle)
    # Each is twice the one before, and half of it at least is kept.
    assert len(pauses) == 5 and pauses[-1] > 4 * pauses[0]


async def test_stopped_in_the_middle_of_work() -> None:
    """No key is worked on afterwards, and none waits for a retry."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work(key: str) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with running(work, 3) as workers:
        for key in "abcde":
            workers.queue.add(key)
        await begun.wait()
        await workers.stop()
        assert ended.is_set() and not workers._tasks
        assert not workers.queue.retrying
