"""A controller that takes notes, and a shard with one range that a test changes, gives and takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tenantry.controllers.controller import Controller, Retry
from tenantry.controllers.object_controller import ObjectController
from tenantry.controllers.runner import ControllerRunner
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Head, Record, RecordEvent
from tenantry.storage.subscriptions import EventCallback
from tenantry.tenancy.resources import CONFIG_MAPS
from tests.controllers.virtual_clock import VirtualClock
from tests.support.waiting import until


def key(name: str, cluster: str = "root") -> Key:
    return Key(cluster, CONFIG_MAPS, "default", name)


def record(name: str, cluster: str = "root") -> Record:
    return Record(key(name, cluster), b"{}", 1, Head())


class FakeRange(Range):
    """A range that says who subscribed to it."""

    def __init__(self) -> None:
        super().__init__("root", "r", "t")
        self.callbacks: list[EventCallback] = []

    def subscribe(self, callback: EventCallback, resource: str | None = None, cluster: str | None = None) -> Callable[[], None]:
        self.callbacks.append(callback)
        unsubscribe = super().subscribe(callback, resource, cluster)

        def stop() -> None:
            self.callbacks.remove(callback)
            unsubscribe()

        return stop

    def change(self, *keys: Key) -> None:
        """Sends an event for each."""
        self.dispatch([RecordEvent(each, 2, None, None) for each in keys])


class FakeShard:
    """Owns one range, from the beginning or from `acquire` on, until `release`."""

    def __init__(self, range_: FakeRange, *, owned: bool = True) -> None:
        self.range = range_
        self.ranges: dict[str, FakeRange] = {range_.name: range_} if owned else {}
        self._acquired: Callable[[Range], Callable[[], None]] | None = None
        self._released: Callable[[], None] = lambda: None

    def owned(self, cluster: str) -> Range | None:
        return self.range if self.ranges and cluster in self.range else None

    def follow(self, acquired: Callable[[Range], Callable[[], None]]) -> Callable[[], None]:
        self._acquired = acquired
        if self.ranges:
            self.acquire()
        return lambda: self._released()

    def acquire(self) -> None:
        assert self._acquired is not None
        self.ranges[self.range.name] = self.range
        self._released = self._acquired(self.range)

    def release(self) -> None:
        self.ranges.clear()
        self.range.owned = False
        released, self._released = self._released, lambda: None
        released()


class Recorder(ObjectController):
    """Notes the keys that it reconciles. `failures`: so many of the next reconciliations raise `error`. It works while `gate` is
    set."""

    name = "recorder"
    workers = 3

    def __init__(self) -> None:
        self.seen: list[Key] = []
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Callable[[], Exception] = Retry

    @property
    def resources(self) -> Sequence[str]:
        return (CONFIG_MAPS,)

    async def reconcile(self, range_: Range, key: Key) -> None:
        self.seen.append(key)
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise self.error()


async def started(range_: FakeRange, *controllers: Controller[Key]) -> tuple[ControllerRunner, VirtualClock]:
    """A runner that has listed the range."""
    clock, shard = VirtualClock(), FakeShard(range_)
    runner = ControllerRunner(shard, shard.follow, controllers, clock=clock)
    await runner.start()
    await until(lambda: runner.idle)
    return runner, clock
