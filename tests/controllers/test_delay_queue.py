"""The queue of keys that wait for their time."""

from __future__ import annotations

from operator import attrgetter

from tenantry.controllers.delay_queue import BATCH_MAX, DelayQueue
from tenantry.controllers.queue import WorkQueue
from tenantry.storage.keys import Key
from tests.controllers.recorder import key
from tests.controllers.virtual_clock import VirtualClock


def made() -> tuple[DelayQueue, WorkQueue[Key], VirtualClock]:
    clock = VirtualClock()
    return DelayQueue(clock), WorkQueue[Key](attrgetter("cluster")), clock


async def test_of_two_times_for_a_key_the_earlier_counts() -> None:
    delayed, queue, clock = made()
    for seconds in (3.0, 1.0, 2.0):
        delayed.add_after(queue, key("a"), seconds)
    assert (len(delayed), clock.next) == (1, 1.0)
    clock.advance()
    assert (len(queue), len(delayed)) == (1, 0)
    assert await queue.get() == key("a")
    while clock.next is not None:
        clock.advance()
    assert len(queue) == 0


async def test_keys_of_two_queues_are_apart() -> None:
    delayed, queue, clock = made()
    other = WorkQueue[Key](attrgetter("cluster"))
    delayed.add_after(queue, key("a"), 1.0)
    delayed.add_after(other, key("a"), 1.0)
    delayed.discard(queue, lambda each: each.name == "a")
    clock.advance()
    assert (len(queue), len(other), len(delayed)) == (0, 1, 0)


async def test_what_is_due_at_once_is_moved_a_batch_at_a_time() -> None:
    delayed, queue, clock = made()
    for number in range(BATCH_MAX + 1):
        delayed.add_after(queue, key(str(number)), 1.0)
    clock.advance()
    assert len(queue) == BATCH_MAX
    clock.advance()
    assert len(queue) == BATCH_MAX + 1


async def test_times_that_do_not_count_any_more_take_no_room() -> None:
    delayed, queue, _ = made()
    for number in range(10_000):
        delayed.add_after(queue, key("a"), 10_000.0 - number)
    assert len(delayed) == 1 and len(delayed._heap) < 200
    delayed.discard(queue, lambda each: True)
    assert len(delayed) == 0


async def test_it_stops() -> None:
    delayed, queue, clock = made()
    delayed.add_after(queue, key("a"), 1.0)
    delayed.stop()
    assert clock.next is None
