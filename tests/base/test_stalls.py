"""The gauge of the loop's stalls, and collecting garbage between turns."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tenantry.base import garbage
from tenantry.base.garbage import LARGE_BYTES, YOUNG, YOUNG_IN_MIDDLE, GarbageCollection
from tenantry.base.loop_turns import turns_of_loop
from tenantry.base.metrics import Metrics
from tenantry.base.stalls import LoopMonitor, Stalls
from tenantry.base.tasks import essential, restarting
from tenantry.http.callers import Caller
from tenantry.http.gate import Gate
from tenantry.http.limits import Limits
from tests.support.clock import Clock
from tests.support.logged import logged
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import one_turn, quiet


def test_the_longest_stall_since_the_start_and_of_the_last_minute() -> None:
    clock = Clock(1000.0)
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


def test_the_text_of_metrics() -> None:
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


async def in_the_way(seconds: float = 0.03) -> None:
    """Keeps the loop, once it was let in and out again."""
    await one_turn()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def of_a_request() -> None:
    await Gate(Limits(), Metrics()).run(Caller(("tenant", "user")), in_the_way(), ("PATCH", "/of/somebody"))


async def of_a_background_task() -> None:
    await essential(in_the_way(), name="the reconciler", ends=True)


async def of_one_that_begins_again() -> None:
    await restarting(in_the_way, name="the follower", ends=True)


@dataclass
class Always:
    """Housekeeping after each turn."""

    run: Callable[[], None]

    def due(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("work", "named"),
    [
        (of_a_request, "PATCH /of/somebody"),
        (of_a_background_task, "the reconciler"),
        (of_one_that_begins_again, "the follower"),
    ],
)
async def test_whoever_keeps_the_loop_is_noticed_and_named(
    work: Callable[[], Coroutine[None, None, None]], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    stalls, ended = Stalls(), asyncio.Event()
    monitor = LoopMonitor(
        stalls, warn_seconds=0.02, housekeeping=Always(lambda: ended.set() if stalls.longest_seconds >= 0.03 else None)
    )
    monitor.start()
    try:
        with caplog.at_level(logging.WARNING):
            await work()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await ended.wait()
    finally:
        monitor.stop()

    assert stalls.longest_seconds >= 0.03
    assert stalls.longest_cpu_seconds > 0
    assert named in [getattr(record, "longest", "") for record in logged(caplog)]


async def test_everything_of_one_turn_is_one_stall() -> None:
    """Whoever came at its beginning waits for all of it."""
    stalls, ended = Stalls(), asyncio.Event()
    monitor = LoopMonitor(
        stalls, warn_seconds=1.0, housekeeping=Always(lambda: ended.set() if stalls.longest_seconds >= 0.08 else None)
    )
    monitor.start()
    try:
        for number in range(4):
            essential(in_the_way(0.02), name=f"short {number}", ends=True)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ended.wait()
    finally:
        monitor.stop()
    assert stalls.longest_seconds >= 0.08


async def test_a_loop_that_does_nothing_is_not_woken() -> None:
    """A timer for the measurement would wake each idle process hundreds of times a second."""
    monitor = LoopMonitor(Stalls(), warn_seconds=1.0)
    loop = asyncio.get_running_loop()
    before = list(loop._scheduled)  # type: ignore[attr-defined]
    threads = threading.active_count()
    monitor.start()
    try:
        await essential(one_turn(), name="something", ends=True)
        await quiet()
        assert list(loop._scheduled) == before  # type: ignore[attr-defined]
        assert not loop._ready  # type: ignore[attr-defined]
        assert threading.active_count() == threads
    finally:
        monitor.stop()


async def test_work_of_another_loop_is_not_measured() -> None:
    """The heartbeat has a loop of its own."""
    seen: list[object] = []
    turns_of_loop.attach(lambda *turn: seen.append(turn))
    try:
        await asyncio.to_thread(asyncio.run, of_a_background_task())
        turns = len(seen)
        await of_a_background_task()
        await one_turn()
        assert turns == 0
        assert seen
    finally:
        turns_of_loop.detach()


async def test_housekeeping_counts_as_a_stall() -> None:
    stalls, done = Stalls(), asyncio.Event()

    def collect() -> None:
        if stalls.longest_seconds >= 0.03:
            done.set()
        until = time.perf_counter() + 0.03
        while time.perf_counter() < until:
            pass

    monitor = LoopMonitor(stalls, warn_seconds=1.0, housekeeping=Always(collect))
    monitor.start()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not done.is_set():
                await essential(one_turn(), name="something", ends=True)
    finally:
        monitor.stop()


@pytest.fixture
def collection() -> Iterator[GarbageCollection]:
    taken = GarbageCollection()
    taken.start()
    yield taken
    taken.stop()


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


def test_few_cycles_that_hold_large_bodies_are_freed(collection: GarbageCollection) -> None:
    class Failure(Exception):
        body = b""

    def refused() -> weakref.ref[Failure]:
        try:
            raise Failure
        except Failure as error:
            kept = error  # the frame holds the error, and the error the frame
            return weakref.ref(kept)

    found = refused()
    collection.run()
    assert found() is not None
    garbage.bodies.pending_bytes += LARGE_BYTES
    collection.run()
    assert found() is None
    assert garbage.bodies.pending_bytes == 0


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
