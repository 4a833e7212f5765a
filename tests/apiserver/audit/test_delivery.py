"""How events get to a backend: batches, what waits for them, and what is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tenantry.apiserver.audit import delivery
from tenantry.apiserver.audit.delivery import BATCH, BLOCKING, BLOCKING_STRICT, Delivery, DeliveryFailed, Pace
from tenantry.kube.audit.event import Body, Event
from tests.kube.audit.test_event import event
from tests.support.waiting import eventually, one_turn, until


class Memory:
    """A backend that notes batches. `fails`: it takes none. While `hold` is not set, it does not answer."""

    name = "memory"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.fails = False
        self.hold = asyncio.Event()
        self.hold.set()
        self.closed = False

    async def write(self, events: Sequence[Event]) -> None:
        await self.hold.wait()
        if self.fails:
            raise DeliveryFailed("no", len(events))
        self.batches.append([each.audit_id for each in events])

    async def close(self) -> None:
        self.closed = True

    @property
    def ids(self) -> list[str]:
        return [each for batch in self.batches for each in batch]


async def test_blocking_waits_and_batches_what_came_meanwhile() -> None:
    backend = Memory()
    sent = Delivery(backend, BLOCKING, Pace())
    sent.start()
    backend.hold.clear()
    waiters = [sent.add(event(audit_id=str(number))) for number in range(3)]
    await one_turn()
    assert not any(waiter is None or waiter.done() for waiter in waiters)
    backend.hold.set()
    assert [await waiter for waiter in waiters if waiter is not None] == [True] * 3
    assert backend.ids == ["0", "1", "2"]
    await sent.stop()
    assert backend.closed


async def test_what_is_not_delivered_is_counted() -> None:
    backend = Memory()
    sent = Delivery(backend, BLOCKING_STRICT, Pace())
    assert sent.is_strict
    sent.start()
    backend.fails = True
    waiter = sent.add(event())
    assert waiter is not None
    assert await waiter is False
    assert sent.lost == 1
    backend.fails = False
    waiter = sent.add(event())
    assert waiter is not None
    assert await waiter is True
    await sent.stop()


async def test_a_full_buffer_drops_events() -> None:
    backend = Memory()
    backend.hold.clear()
    sent = Delivery(backend, BATCH, Pace(buffered=2))
    sent.start()
    assert sent.add(event(audit_id="first")) is None
    await until(lambda: not sent._waiting)
    for number in range(5):
        sent.add(event(audit_id=str(number)))
    assert sent.lost == 3
    backend.hold.set()
    await sent.stop()
    assert backend.ids == ["first", "0", "1"]


async def test_clients_that_have_gone_fill_no_memory() -> None:
    """While a disk hangs, and however often they try again."""
    backend = Memory()
    backend.hold.clear()
    sent = Delivery(backend, BLOCKING, Pace(buffered=3))
    waiters = [sent.add(event()) for _ in range(5)]
    assert [waiter.done() for waiter in waiters if waiter is not None] == [False, False, False, True, True]
    assert sent.lost == 2


async def test_large_events_fill_the_buffer() -> None:
    backend = Memory()
    sent = Delivery(backend, BATCH, Pace())
    for _ in range(3):
        sent.add(event(request_object=Body((bytes(delivery.BUFFER_BYTES_MAX // 2),))))
    assert sent.lost == 1


async def test_batches_wait_to_become_full() -> None:
    backend = Memory()
    sent = Delivery(backend, BATCH, Pace(size=2, wait_seconds=60))
    sent.start()
    for number in range(4):
        sent.add(event(audit_id=str(number)))
    await eventually(lambda: len(backend.batches) == 2)
    assert backend.batches == [["0", "1"], ["2", "3"]]
    sent.add(event(audit_id="last"))
    await sent.stop()
    assert backend.batches[-1] == ["last"], "the end of the process does not wait"


async def test_the_rate_of_batches_is_bounded() -> None:
    backend = Memory()
    sent = Delivery(backend, BATCH, Pace(size=1, per_second=20, burst=2))
    sent.start()
    began = asyncio.get_running_loop().time()
    for number in range(6):
        sent.add(event(audit_id=str(number)))
    await eventually(lambda: len(backend.batches) == 6)
    assert asyncio.get_running_loop().time() - began >= 0.15, "two at once, then one each 50 ms"
    await sent.stop()


async def test_nothing_waits_for_what_has_stopped(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that ends later gets an answer at once, and a backend that hangs does not keep the process."""
    monkeypatch.setattr(delivery, "_LAST_SECONDS", 0.01)
    backend = Memory()

    async def close() -> None:
        await asyncio.Event().wait()

    backend.close = close  # type: ignore[method-assign]
    sent = Delivery(backend, BLOCKING_STRICT, Pace())
    sent.start()
    await sent.stop()
    assert "cannot be closed" in caplog.text
    waiter = sent.add(event())
    assert waiter is not None
    assert waiter.done()
    assert not waiter.result()
    assert sent.lost == 1


async def test_what_a_delivery_held_when_the_process_ends_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_LAST_SECONDS", 0.01)
    backend = Memory()
    backend.hold.clear()
    sent = Delivery(backend, BATCH, Pace())
    sent.start()
    for _ in range(3):
        sent.add(event())
    await until(lambda: not sent._waiting)
    sent.add(event())
    await sent.stop()
    assert sent.lost == 4
