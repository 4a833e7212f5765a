"""The engine of reconcilers, on a clock that only moves when told."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.controllers.reconcile import LAST_RETRY_SECONDS, Controller, ControllerRunner, Queue, Retry
from tenantry.storage.cell import Stale
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.resources import CONFIG_MAPS
from tests.support.waiting import quiet


class VirtualClock:
    def __init__(self) -> None:
        self._now = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        entry = (when, len(self._timers), callback)
        heapq.heappush(self._timers, entry)
        return lambda: self._timers.remove(entry) if entry in self._timers else None

    @property
    def next(self) -> float | None:
        return self._timers[0][0] if self._timers else None

    def advance(self) -> None:
        """To the next timer."""
        self._now, _, callback = heapq.heappop(self._timers)
        callback()


class FakeRange:
    name, start, end = "root", "r", "t"
    owned = True

    def __init__(self) -> None:
        self.callbacks: list[Callable[[Any], None]] = []
        self.records: list[SimpleNamespace] = []

    def __contains__(self, cluster: str) -> bool:
        return self.start <= cluster < self.end

    def subscribe(self, callback: Callable[[Any], None], resource: str | None = None) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def each(self, resource: str) -> Iterator[SimpleNamespace]:
        yield from self.records

    def change(self, key: Key) -> None:
        for callback in self.callbacks:
            callback([SimpleNamespace(key=key)])


class FakeHost:
    def __init__(self, held: FakeRange) -> None:
        self.held = held
        self.cell = SimpleNamespace(range_of=lambda cluster: held, ranges={"root": held})

    def follow_ranges(self, gained: Callable[[Any], Callable[[], None]]) -> Callable[[], None]:
        return gained(self.held)


class Recorder(Controller):
    name = "recorder"
    workers = 3

    def __init__(self) -> None:
        self.seen: list[Key] = []
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: type[Exception] | None = None

    @property
    def resources(self) -> Sequence[str]:
        return (CONFIG_MAPS,)

    async def reconcile(self, held: Any, key: Key) -> None:
        self.seen.append(key)
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise self.error() if self.error else Retry()


def key(name: str) -> Key:
    return Key("root", CONFIG_MAPS, "default", name)


async def started(controller: Controller, held: FakeRange) -> tuple[ControllerRunner, VirtualClock]:
    clock = VirtualClock()
    runner = ControllerRunner(FakeHost(held), [controller], clock=clock)  # type: ignore[arg-type]
    await runner.start()
    await quiet()
    return runner, clock


async def test_everything_there_is_queued_at_start_and_changes_after() -> None:
    held, controller = FakeRange(), Recorder()
    held.records = [SimpleNamespace(key=key("a"))]
    runner, _ = await started(controller, held)
    held.change(key("b"))
    await quiet()
    await runner.stop()
    assert controller.seen == [key("a"), key("b")]
    assert not held.callbacks


async def test_a_key_that_changes_while_it_is_worked_on_is_done_once_more() -> None:
    held, controller = FakeRange(), Recorder()
    runner, _ = await started(controller, held)
    controller.gate.clear()
    held.change(key("a"))
    await quiet()
    for _ in range(5):
        held.change(key("a"))
    await quiet()
    assert controller.seen == [key("a")]
    controller.gate.set()
    await quiet()
    await runner.stop()
    assert controller.seen == [key("a"), key("a")]


async def test_failures_back_off_and_success_forgets_them() -> None:
    held, controller = FakeRange(), Recorder()
    runner, clock = await started(controller, held)
    controller.failures, controller.error = 3, RuntimeError
    held.change(key("a"))
    await quiet()
    waits = []
    while clock.next is not None:
        waits.append(round(clock.next - clock.now(), 6))
        clock.advance()
        await quiet()
    assert waits == [0.005, 0.01, 0.02]
    assert len(controller.seen) == 4
    controller.failures = 1
    held.change(key("a"))
    await quiet()
    assert clock.next is not None
    assert round(clock.next - clock.now(), 6) == 0.005
    await runner.stop()


async def test_back_off_ends_at_half_a_minute() -> None:
    held, controller = FakeRange(), Recorder()
    runner, clock = await started(controller, held)
    controller.failures = 30
    held.change(key("a"))
    await quiet()
    longest = 0.0
    while clock.next is not None:
        longest = max(longest, clock.next - clock.now())
        clock.advance()
        await quiet()
    await runner.stop()
    assert longest == 30.0


@given(st.lists(st.tuples(st.sampled_from(["add", "take", "done"]), st.integers(0, 4)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_added_key_is_lost_and_none_is_worked_on_twice_at_a_time(steps: Iterable[tuple[str, int]]) -> None:
    async def run() -> None:
        queue, active, owed = Queue(), set[Key](), set[Key]()
        for step, number in steps:
            each = key(str(number))
            if step == "add":
                queue.add(each)
                owed.add(each)
            elif step == "take" and len(queue):
                taken = await queue.take()
                assert taken not in active
                active.add(taken)
                owed.discard(taken)
            elif step == "done" and each in active:
                active.discard(each)
                queue.done(each)
        for each in list(active):
            active.discard(each)
            queue.done(each)
        while len(queue):
            taken = await queue.take()
            owed.discard(taken)
            queue.done(taken)
        assert not owed
        assert queue.idle

    asyncio.run(run())


async def test_a_key_that_is_always_overtaken_waits_longer_each_time() -> None:
    held, controller = FakeRange(), Recorder()
    controller.failures, controller.error = 1000, partial(Stale, key("a"))  # type: ignore[assignment]
    held.records = [SimpleNamespace(key=key("a"))]
    runner, clock = await started(controller, held)
    pauses: list[float] = []
    while len(pauses) < 20:
        before = clock.now()
        clock.advance()
        await quiet()
        pauses.append(round(clock.now() - before, 6))
    await runner.stop()
    assert pauses[0] == 0
    assert pauses[1:] == sorted(pauses[1:]) and pauses[1] > 0 and pauses[-1] == LAST_RETRY_SECONDS


async def test_a_controller_that_stumbles_over_an_event_costs_the_others_nothing() -> None:
    class Clumsy(Recorder):
        name = "clumsy"

        def keys(self, event: RecordEvent) -> Iterable[Key]:
            raise ZeroDivisionError

        def lost(self, held: Range) -> None:
            raise ZeroDivisionError

    held, clumsy, controller = FakeRange(), Clumsy(), Recorder()
    lost: list[object] = []
    controller.lost = lost.append  # type: ignore[method-assign, assignment]
    clock = VirtualClock()
    runner = ControllerRunner(FakeHost(held), [clumsy, controller], clock=clock)  # type: ignore[arg-type]
    await runner.start()
    held.change(key("a"))
    await quiet()
    await runner.stop()
    assert controller.seen == clumsy.seen == [key("a")]
    assert lost == [held] and not held.callbacks


async def test_dirty_keys_of_one_tenant_do_not_delay_another() -> None:
    queue = Queue(workers=8)
    for number in range(1000):
        queue.add(Key("flooder", CONFIG_MAPS, "default", str(number)))
    for _ in range(4):
        assert (await queue.take()).cluster == "flooder"
    queue.add(Key("quiet", CONFIG_MAPS, "default", "one"))
    assert (await queue.take()).cluster == "quiet"
    # Half of the workers, and no more, are with the one that has more to do than all others together.
    waiting = asyncio.create_task(queue.take())
    await quiet()
    assert not waiting.done()
    queue.done(Key("flooder", CONFIG_MAPS, "default", "0"), 0.1)
    assert (await waiting).cluster == "flooder"


async def test_time_is_shared_and_not_the_number_of_keys() -> None:
    queue = Queue(workers=1)
    for tenant in ("slow", "quick"):
        for number in range(50):
            queue.add(Key(tenant, CONFIG_MAPS, "default", str(number)))
    seen: list[str] = []
    for _ in range(44):
        taken = await queue.take()
        seen.append(taken.cluster)
        queue.done(taken, 1.0 if taken.cluster == "slow" else 0.1)
    assert 3 <= seen.count("slow") <= 5


async def test_keys_that_found_no_room_are_listed_again_for_their_tenant_alone() -> None:
    queue = Queue(limit=8)
    for number in range(8):
        queue.add(Key("flooder", CONFIG_MAPS, "default", str(number)))
    queue.add(Key("quiet", CONFIG_MAPS, "default", "one"))
    assert (len(queue), queue.forgotten, queue.lacking()) == (5, {"flooder"}, set())
    while len(queue):
        queue.done(await queue.take())
    assert (queue.lacking(), queue.forgotten) == ({"flooder"}, set())
