"""The gauge of the loop's stalls, and collecting garbage between turns."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tenantry.apiserver.garbage import YOUNG, YOUNG_IN_MIDDLE, GarbageCollection
from tenantry.apiserver.stalls import TICK_SECONDS, LoopMonitor, Stalls


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_longest_stall_since_the_start_and_of_the_last_minute() -> None:
    clock = Clock()
    stalls = Stalls(clock)

    stalls.observe(0.5, 0.1)
    clock.now += 30
    stalls.observe(0.2, 0.15)
    stalls.observe(0.1, 0.3)

    assert stalls.of_the_last_minute() == (0.5, 0.15)
    clock.now += 31
    assert stalls.of_the_last_minute() == (0.2, 0.15)
    clock.now += 60
    assert stalls.of_the_last_minute() == (0.0, 0.0)
    assert stalls.longest_seconds == 0.5
    # Never more processor time than the stall took: other threads' does not count twice.
    assert stalls.longest_cpu_seconds == 0.15


def test_the_figures_in_the_text_of_metrics() -> None:
    stalls = Stalls()
    stalls.observe(0.03, 0.02)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(stalls)

    lines = generate_latest(registry).decode().splitlines()

    assert 'tenantry_event_loop_longest_stall_seconds{since="start"} 0.03' in lines
    assert 'tenantry_event_loop_longest_stall_seconds{since="minute"} 0.03' in lines
    assert 'tenantry_event_loop_longest_stall_cpu_seconds{since="start"} 0.02' in lines
    assert 'tenantry_event_loop_stall_seconds_bucket{le="0.02"} 0.0' in lines
    assert 'tenantry_event_loop_stall_seconds_bucket{le="0.05"} 1.0' in lines


async def test_a_blocked_loop_is_noticed_and_its_function_named(caplog: pytest.LogCaptureFixture) -> None:
    stalls = Stalls()
    monitor = LoopMonitor(stalls, warn_seconds=0.02)
    monitor.start()

    def in_the_way() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until and "in_the_way" not in monitor.seen[1]:
            pass

    try:
        with caplog.at_level(logging.WARNING):
            in_the_way()
            stalled = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(TICK_SECONDS, stalled.set_result, None)
            await stalled
    finally:
        monitor.stop()

    assert stalls.longest_seconds >= 0.02
    assert any("in_the_way" in getattr(record, "where", "") for record in caplog.records)


async def test_housekeeping_counts_as_a_stall() -> None:
    stalls, done = Stalls(), asyncio.Event()

    def collect() -> None:
        if stalls.longest_seconds >= 0.03:
            done.set()
        time.sleep(0.03)

    monitor = LoopMonitor(stalls, warn_seconds=1.0, housekeeping=collect)
    monitor.start()
    try:
        async with asyncio.timeout(10):
            await done.wait()
    finally:
        monitor.stop()


@pytest.fixture
def collection() -> Iterator[GarbageCollection]:
    taken = GarbageCollection()
    taken.start()
    yield taken
    taken.stop()
    gc.unfreeze()


def test_nothing_is_collected_inside_of_a_call(collection: GarbageCollection) -> None:
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    try:
        kept = [[] for _ in range(200_000)]  # type: ignore[var-annotated]
        assert seen == []
        collection.run()
        assert seen == [0]
        collection.run()
        assert seen == [0], "nothing is new"
        del kept
    finally:
        gc.callbacks.remove(note)


def test_cycles_of_every_age_are_freed(collection: GarbageCollection) -> None:
    class Node:
        alive = 0

        def __init__(self) -> None:
            Node.alive += 1
            self.me = self

        def __del__(self) -> None:
            Node.alive -= 1

    old = Node()
    kept: list[list[int]] = []
    for _ in range(3 * YOUNG_IN_MIDDLE):
        kept.extend([] for _ in range(YOUNG))
        collection.run()
    del old
    for _ in range(30 * YOUNG_IN_MIDDLE):
        kept.extend([] for _ in range(YOUNG))
        collection.run()
        if not Node.alive:
            break
    assert not Node.alive
