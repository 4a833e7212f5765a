"""Listings: in slices, one after the other, and none of them for nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import attrgetter

import pytest

from tenantry.base import time_slices
from tenantry.controllers.listing import Listings
from tenantry.controllers.queue import WorkQueue
from tenantry.controllers.runner import ControllerRunner
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tests.controllers.recorder import FakeRange, FakeShard, Recorder, key, record
from tests.growth.turns import counted_turns
from tests.support.waiting import until

CONTROLLERS = 20
RECORDS = 400
LINES_OF_A_TURN = 2_000
"""All controllers learn in one turn that a range was acquired. A listing that ran in one go would run more lines than this for
each of them."""


class Turns:
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.number = 0
        self.ends = False

    def count(self) -> None:
        self.number += 1
        if not self.ends:
            asyncio.get_running_loop().call_soon(self.count)


@contextmanager
def turns() -> Iterator[Turns]:
    made = Turns()
    made.count()
    try:
        yield made
    finally:
        made.ends = True


class Lister(Recorder):
    """Notes in which turn of the loop it looked at each object of its first listing."""

    def __init__(self, name: str, turn: Callable[[], int]) -> None:
        super().__init__()
        self.name = name
        self.looked: list[int] = []
        self._turn = turn

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        for each in super().initial_keys(range_):
            self.looked.append(self._turn())
            yield each


async def test_an_acquired_range_is_listed_by_all_controllers_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    # A slice lasts no time, and a piece is one object: so much is the least that is ever done at once.
    monkeypatch.setattr(time_slices.turns, "_slice_seconds", 0.0)
    monkeypatch.setattr(time_slices, "PIECE", 1)
    range_ = FakeRange()
    range_.load(record(f"n{number}") for number in range(RECORDS))
    shard = FakeShard(range_)
    with turns() as counted:
        controllers = [Lister(f"lister-{number}", lambda: counted.number) for number in range(CONTROLLERS)]
        runner = ControllerRunner(shard, shard.follow, controllers)
        await runner.start()
        await until(lambda: all(len(each.looked) == RECORDS for each in controllers))
        await until(lambda: runner.idle)
    await runner.stop()
    assert all(len(each.seen) == RECORDS for each in controllers)
    of_a_turn = Counter(turn for each in controllers for turn in each.looked)
    assert max(of_a_turn.values()) <= 2
    # They take turns: nobody is done before everybody has begun.
    assert max(each.looked[0] for each in controllers) < min(each.looked[-1] for each in controllers)


async def test_an_acquired_range_keeps_no_turn_of_the_loop_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    range_ = FakeRange()
    range_.load(record(f"n{number}") for number in range(RECORDS))
    shard = FakeShard(range_, owned=False)
    controllers = [Lister(f"lister-{number}", lambda: 0) for number in range(CONTROLLERS)]
    runner = ControllerRunner(shard, shard.follow, controllers)
    await runner.start()
    # Until the workers, too, have begun, and wait for keys.
    await until(lambda: all(each._queue.getters for each in controllers))
    with counted_turns(monkeypatch) as turn:
        shard.acquire()
        await until(lambda: all(len(each.looked) == RECORDS for each in controllers))
    await runner.stop()
    assert 0 < turn.longest < LINES_OF_A_TURN, f"{turn.longest} lines in one turn, most of them in {turn.where}"


def listings() -> tuple[Listings[Key], WorkQueue[Key], Range]:
    range_ = Range("root", "r", "t")
    queue = WorkQueue[Key](attrgetter("cluster"), range_of=lambda cluster: range_ if cluster in range_ else None)
    return Listings("test", queue), queue, range_


async def nothing() -> None:
    pass


async def ended(made: Listings[Key]) -> None:
    await until(lambda: made.idle)


async def test_what_is_asked_for_again_before_it_began_is_listed_once() -> None:
    made, queue, _ = listings()
    begun: list[str] = []

    def keys(name: str) -> Iterable[Key | None]:
        begun.append(name)
        yield from (None, key(name))

    for name in ("first", "second"):
        made.add("purpose", partial(keys, name))
    made.add("other", partial(keys, "third"))
    made.start()
    await ended(made)
    assert begun == ["second", "third"] and len(queue) == 2


async def test_no_key_of_a_range_is_queued_before_its_listing_ends() -> None:
    made, queue, range_ = listings()
    synced = asyncio.Event()

    async def wait() -> None:
        await synced.wait()

    def keys() -> Iterable[Key | None]:
        for name in ("a", "b"):
            assert len(queue) == 0
            yield key(name)

    made.start()
    made.add_range(range_, keys, wait)
    queue.add(key("c"))
    synced.set()
    await ended(made)
    assert len(queue) == 3


@pytest.mark.parametrize("waits", [True, False])
async def test_a_range_that_is_released_is_not_listed_further(waits: bool) -> None:
    made, queue, range_ = listings()
    synced = asyncio.Event()
    begun: list[str] = []

    async def wait() -> None:
        begun.append("waits")
        await synced.wait()

    def keys() -> Iterable[Key | None]:
        begun.append("lists")
        made.discard_range(range_)
        yield key("a")

    prepare: Callable[[], Awaitable[None]] = wait if waits else nothing
    made.start()
    made.add_range(range_, keys, prepare)
    if waits:
        await until(lambda: begun)
        made.discard_range(range_)
        synced.set()
    await ended(made)
    assert len(queue) == 0
    # Keys of the range are not kept aside any more.
    queue.add(key("b"))
    assert len(queue) == 1


async def test_a_listing_that_fails_costs_the_others_nothing_and_is_asked_for_again() -> None:
    made, queue, range_ = listings()

    def failing() -> Iterable[Key | None]:
        yield key("a")
        raise ZeroDivisionError

    made.add_range(range_, failing, nothing)
    queue.add(key("b"))
    made.add("other", lambda: (key("c"),))
    made.start()
    await ended(made)
    assert len(queue) == 3 and queue.relist_all


async def test_it_stops() -> None:
    made, queue, range_ = listings()
    never = asyncio.Event()

    async def wait() -> None:
        await never.wait()

    made.add_range(range_, lambda: (key("a"),), wait)
    made.start()
    task = made.stop()
    assert task is not None
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled() and len(queue) == 0
