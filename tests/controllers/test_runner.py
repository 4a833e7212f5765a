"""The runner of controllers, on a clock that only moves by hand."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import partial

import pytest

from tenantry.controllers.cluster_controller import ClusterController
from tenantry.controllers.runner import ControllerRunner
from tenantry.controllers.workers import LAST_RETRY_SECONDS
from tenantry.storage.cell import Stale
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.resources import CONFIG_MAPS
from tests.controllers.recorder import FakeRange, FakeShard, Recorder, key, record, started
from tests.controllers.virtual_clock import VirtualClock
from tests.support.logged import logged
from tests.support.waiting import until


async def test_everything_there_is_queued_at_start_and_changes_after() -> None:
    range_, controller = FakeRange(), Recorder()
    range_.load([record("a")])
    runner, _ = await started(range_, controller)
    range_.change(key("b"))
    await until(lambda: runner.idle)
    await runner.stop()
    assert controller.seen == [key("a"), key("b")]
    assert not range_.callbacks


async def test_a_key_that_changes_while_it_is_worked_on_is_done_once_more() -> None:
    range_, controller = FakeRange(), Recorder()
    runner, _ = await started(range_, controller)
    controller.gate.clear()
    range_.change(key("a"))
    await until(lambda: controller.seen)
    for _ in range(5):
        range_.change(key("a"))
    # Another worker has taken what was added last, so it would have taken what was added before.
    range_.change(key("b"))
    await until(lambda: key("b") in controller.seen)
    assert controller.seen == [key("a"), key("b")]
    controller.gate.set()
    await until(lambda: runner.idle)
    await runner.stop()
    assert controller.seen == [key("a"), key("b"), key("a")]


async def test_failures_back_off_and_success_forgets_them() -> None:
    range_, controller = FakeRange(), Recorder()
    runner, clock = await started(range_, controller)
    controller.failures, controller.error = 3, RuntimeError
    range_.change(key("a"))
    await until(lambda: runner.idle)
    waits = []
    while clock.next is not None:
        waits.append(round(clock.next - clock.now(), 6))
        clock.advance()
        await until(lambda: runner.idle)
    assert waits == [0.005, 0.01, 0.02]
    assert len(controller.seen) == 4
    controller.failures = 1
    range_.change(key("a"))
    await until(lambda: runner.idle)
    assert clock.next is not None
    assert round(clock.next - clock.now(), 6) == 0.005
    await runner.stop()


async def test_back_off_ends_at_half_a_minute() -> None:
    range_, controller = FakeRange(), Recorder()
    runner, clock = await started(range_, controller)
    controller.failures = 30
    range_.change(key("a"))
    await until(lambda: runner.idle)
    longest = 0.0
    while clock.next is not None:
        longest = max(longest, clock.next - clock.now())
        clock.advance()
        await until(lambda: runner.idle)
    await runner.stop()
    assert longest == 30.0


async def test_a_key_that_is_always_overtaken_waits_longer_each_time() -> None:
    range_, controller = FakeRange(), Recorder()
    controller.failures, controller.error = 1000, partial(Stale, key("a"))
    range_.load([record("a")])
    runner, clock = await started(range_, controller)
    pauses: list[float] = []
    while len(pauses) < 20:
        before = clock.now()
        clock.advance()
        await until(lambda: runner.idle)
        pauses.append(round(clock.now() - before, 6))
    await runner.stop()
    assert pauses[0] == 0
    assert pauses[1:] == sorted(pauses[1:]) and pauses[1] > 0 and pauses[-1] == LAST_RETRY_SECONDS


async def test_a_controller_that_raises_for_an_event_costs_the_others_nothing() -> None:
    class Clumsy(Recorder):
        name = "clumsy"

        def keys(self, event: RecordEvent) -> Iterable[Key]:
            raise ZeroDivisionError

        def released(self, range_: Range) -> None:
            raise ZeroDivisionError

    range_, clumsy, controller = FakeRange(), Clumsy(), Recorder()
    released: list[object] = []
    controller.released = released.append  # type: ignore[method-assign, assignment]
    clock, shard = VirtualClock(), FakeShard(range_)
    runner = ControllerRunner(shard, shard.follow, [clumsy, controller], clock=clock)
    await runner.start()
    range_.change(key("a"))
    await until(lambda: runner.idle)
    await runner.stop()
    assert controller.seen == clumsy.seen == [key("a")]
    assert released == [range_] and not range_.callbacks


async def test_keys_may_be_of_any_type() -> None:
    class Clusters(ClusterController):
        name = "clusters"

        def __init__(self) -> None:
            self.seen: list[str] = []

        @property
        def resources(self) -> Sequence[str]:
            return (CONFIG_MAPS,)

        def keys(self, event: RecordEvent) -> Iterable[str]:
            return (event.key.cluster,)

        def initial_keys(self, range_: Range) -> Iterable[str | None]:
            return iter(range_.clusters(CONFIG_MAPS))

        async def reconcile(self, range_: Range, key: str) -> None:
            assert key in range_
            self.seen.append(key)

    range_, controller = FakeRange(), Clusters()
    range_.load([record("a", "root"), record("b", "root"), record("a", "rust")])
    shard = FakeShard(range_)
    runner = ControllerRunner(shard, shard.follow, [controller])
    await runner.start()
    await until(lambda: runner.idle)
    assert sorted(controller.seen) == ["root", "rust"]
    range_.change(key("a", "same"), key("b", "same"))
    await until(lambda: runner.idle)
    await runner.stop()
    assert sorted(controller.seen) == ["root", "rust", "same"]


async def test_nothing_of_a_released_range_is_retried() -> None:
    range_, controller = FakeRange(), Recorder()
    clock, shard = VirtualClock(), FakeShard(range_)
    runner = ControllerRunner(shard, shard.follow, [controller], clock=clock)
    await runner.start()
    controller.failures = 2
    range_.change(key("a"), key("b"))
    await until(lambda: len(controller.seen) == 2 and runner.idle)
    shard.release()
    while clock.next is not None:
        clock.advance()
    assert runner.idle
    await runner.stop()
    assert sorted(controller.seen) == [key("a"), key("b")] and not range_.callbacks


@pytest.mark.parametrize("expected", [True, False])
async def test_errors_that_are_expected_have_no_traceback(expected: bool, caplog: pytest.LogCaptureFixture) -> None:
    range_, controller = FakeRange(), Recorder()
    controller.failures, controller.error = 1, lambda: LookupError("not there")
    shard = FakeShard(range_)
    runner = ControllerRunner(
        shard, shard.follow, [controller], clock=VirtualClock(), expected_errors=(LookupError,) if expected else ()
    )
    await runner.start()
    with caplog.at_level(logging.INFO):
        range_.change(key("a"))
        await until(lambda: controller.seen and runner.idle)
    await runner.stop()
    assert [record.exc_info is None for record in logged(caplog, "tenantry.controllers", logging.INFO)] == [expected]


async def test_controllers_are_added_before_the_start_and_have_names() -> None:
    class Nameless(Recorder):
        name = ""

    range_ = FakeRange()
    shard = FakeShard(range_)
    with pytest.raises(ValueError, match="Nameless"):
        ControllerRunner(shard, shard.follow, [Nameless()])
    runner = ControllerRunner(shard, shard.follow)
    await runner.start()
    with pytest.raises(RuntimeError):
        runner.add(Recorder())
    await runner.stop()
