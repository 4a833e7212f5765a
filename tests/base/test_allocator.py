"""When the C library is asked to give memory back: after a burst of large requests, and not for small ones."""

from __future__ import annotations

import asyncio
import threading
import weakref

import pytest

from tenantry.base import allocator, garbage
from tenantry.base.allocator import LARGE_BYTES, WORTH_BYTES, FreePages
from tenantry.base.garbage import GarbageCollection
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import eventually, one_turn


class Trim:
    def __init__(self) -> None:
        self.threads: list[int] = []
        self._loop = asyncio.get_running_loop()
        self._called = asyncio.Event()

    def __call__(self) -> None:
        self.threads.append(threading.get_ident())
        self._loop.call_soon_threadsafe(self._called.set)

    async def called(self) -> None:
        await asyncio.wait_for(self._called.wait(), PATIENCE_SECONDS)
        self._called.clear()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "QUIET_SECONDS", 0.01)


async def test_it_is_given_back_after_a_burst_by_another_thread(short: None) -> None:
    trim = Trim()
    pages = FreePages(trim)
    for burst in (1, 2):
        for _ in range(4 * WORTH_BYTES // LARGE_BYTES):
            pages.passed(LARGE_BYTES)
        assert len(trim.threads) == burst - 1, "while it lasts nothing is given back"
        await trim.called()
        assert len(trim.threads) == burst
    assert threading.get_ident() not in trim.threads


async def test_before_that_what_cycles_hold_of_bodies_is_freed(short: None) -> None:
    class Request:
        def __init__(self) -> None:
            self.me = self

    collection = GarbageCollection()
    collection.start()
    try:
        trim = Trim()
        reference = weakref.ref(Request())
        assert reference() is not None
        garbage.bodies.pending_bytes += WORTH_BYTES
        FreePages(trim).passed(WORTH_BYTES)
        await trim.called()
        assert reference() is None
    finally:
        collection.stop()


async def test_a_burst_that_does_not_end_is_interrupted(short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "LONGEST_SECONDS", 0.05)
    trim = Trim()
    pages = FreePages(trim)

    async def go_on() -> None:
        while True:
            pages.passed(WORTH_BYTES)
            await one_turn()

    going = asyncio.create_task(go_on())
    await trim.called()
    await trim.called()
    going.cancel()


async def test_a_large_answer_now_and_then_does_not_keep_a_burst_up(short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the metrics are one, which a scraper asks for."""
    trim = Trim()
    pages = FreePages(trim)
    pages.passed(WORTH_BYTES)
    pages.passed(LARGE_BYTES)
    monkeypatch.setattr(allocator, "QUIET_SECONDS", 1000.0)
    await trim.called()


async def test_small_requests_are_not_counted(short: None) -> None:
    trim = Trim()
    small, large = FreePages(trim), FreePages(trim)
    for _ in range(2 * WORTH_BYTES // (LARGE_BYTES - 1)):
        small.passed(LARGE_BYTES - 1)
    large.passed(WORTH_BYTES)
    await trim.called()
    assert len(trim.threads) == 1


async def test_what_a_process_grew_by_is_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each growth: what is in use afterwards is where the next one begins."""
    monkeypatch.setattr(allocator, "GROWTH_SECONDS", 0.001)
    trim, seen = Trim(), 0
    sizes = [100, 100, 101, 108, 104, 104, 104, 90, 97, 99, 97, 105, 105]
    """In MiB: at the start, at each look, and after each trim (108 to 104, 99 to 97)."""

    def resident() -> int:
        nonlocal seen
        found = sizes[min(seen, len(sizes) - 1)]
        seen += 1
        return found << 20

    following = asyncio.create_task(FreePages(trim, resident).follow_growth())
    for _ in range(3):
        await trim.called()
    await eventually(lambda: seen >= len(sizes) + 5)
    following.cancel()
    assert len(trim.threads) == 3
    assert threading.get_ident() not in trim.threads


async def test_growth_within_a_burst_waits_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "GROWTH_SECONDS", 0.001)
    trim, looks, size = Trim(), 0, 100 << 20

    def resident() -> int:
        nonlocal looks
        looks += 1
        return size

    pages = FreePages(trim, resident)
    following = asyncio.create_task(pages.follow_growth())
    pages.passed(WORTH_BYTES)
    await eventually(lambda: looks > 0)
    size, seen = 200 << 20, looks
    await eventually(lambda: looks > seen + 5)
    assert not trim.threads
    with monkeypatch.context() as patch:
        patch.setattr(pages, "_loop", None)  # as after the burst
        await trim.called()
    following.cancel()


def test_the_size_of_the_process_is_known() -> None:
    assert 1 << 20 < allocator._resident_bytes() < 1 << 40


async def test_another_c_library_has_nothing_to_give_back(short: None) -> None:
    FreePages(None).passed(2 * WORTH_BYTES)
    await FreePages(None).follow_growth()


def test_a_loop_that_ended_takes_no_timer_with_it() -> None:
    calls: list[int] = []
    pages = FreePages(lambda: calls.append(1))

    async def burst() -> None:
        pages.passed(WORTH_BYTES)

    asyncio.run(burst())

    async def again() -> None:
        trim = Trim()
        pages._trim = trim
        pages.passed(WORTH_BYTES)
        await trim.called()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allocator, "QUIET_SECONDS", 0.01)
        asyncio.run(again())
    assert calls == []


@pytest.mark.skipif(allocator.free_pages._trim is None, reason="the C library is not glibc")
def test_this_one_can() -> None:
    assert allocator.free_pages._trim is not None
    allocator.free_pages._trim()
