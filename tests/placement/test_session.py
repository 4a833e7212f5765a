"""Sessions: proved by a heartbeat that no busy loop stops, doubted in time, lost, begun anew."""

from __future__ import annotations

import asyncio
import time

import pytest

from tenantry.base.tasks import FATAL
from tenantry.placement.heartbeat import Heartbeat
from tenantry.placement.map import ShardInfo
from tenantry.placement.map_rows import SessionRow, decode
from tenantry.placement.session import Session
from tenantry.storage.keys import SESSIONS, prefix_end
from tenantry.storage.memory import MemoryStore
from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.store import LeaseGone, Store, Unavailable
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import eventually

TTL_SECONDS = 0.4
INFO = ShardInfo("one", "uid-1", "https://one.test")
PREFIX = SESSIONS.encode()


class Leases(MemoryStore):
    """A store whose leases may be told to be gone, or not to answer; it counts renewals. As a connection, it may be used
    from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.renewals = 0
        self.gone: set[int] = set()
        self.silent = False

    async def keep_alive(self, lease: int) -> float:
        if self.silent:
            raise Unavailable("silence")
        if lease in self.gone:
            raise LeaseGone(lease)
        self.renewals += 1
        return TTL_SECONDS

    async def grant_lease(self, ttl_seconds: float) -> int:
        # As long as a test runs: that it ends is said by `gone`.
        return await super().grant_lease(3600)

    async def close(self) -> None:
        pass


async def seen(revision: int) -> None:
    pass


def never() -> None:
    raise AssertionError("the session was lost")


async def rows(store: Store) -> list[SessionRow]:
    return [decode(kv.value, SessionRow) for kv in (await store.read(PREFIX, prefix_end(PREFIX))).kvs]


async def test_heartbeat_goes_on_while_the_loop_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop computes for as long as it takes to see renewals; the lease is long enough for a busy machine."""
    monkeypatch.setattr("tenantry.placement.heartbeat.RENEWALS", 1000)
    store, guard = Leases(), ReadGuard()

    async def connection() -> Store:
        return store

    session = Session(store, INFO, guard, ttl_seconds=30.0, seen=seen, open_store=connection)
    await session.start()
    await eventually(lambda: store.renewals)
    before, first_deadline = store.renewals, guard.deadline
    busy_until = time.monotonic() + 20
    while store.renewals < before + 6:
        assert time.monotonic() < busy_until, "nothing is renewed while the loop is busy"
    assert guard.alive and guard.deadline > first_deadline
    await session.stop()
    assert not guard.alive
    assert await rows(store) == []


async def test_a_session_proves_nothing_before_the_map_was_seen() -> None:
    store, guard = Leases(), ReadGuard()
    known = asyncio.Event()

    async def wait(revision: int) -> None:
        await known.wait()

    session = Session(store, INFO, guard, ttl_seconds=TTL_SECONDS, seen=wait)
    starting = asyncio.create_task(session.start())
    await eventually(lambda: store.renewals >= 2)
    assert [row.name for row in await rows(store)] == ["one"]
    assert not guard.alive
    known.set()
    await starting
    await eventually(lambda: guard.alive)
    await session.stop()


async def test_silence_is_doubted_once_and_forgiven() -> None:
    store, guard = Leases(), ReadGuard()
    doubts: list[bool] = []
    session = Session(
        store, INFO, guard, ttl_seconds=TTL_SECONDS, seen=seen, doubted=lambda: doubts.append(guard.alive), lost=never
    )
    await session.start()
    store.silent = True
    await eventually(lambda: doubts)
    store.silent = False
    await eventually(lambda: guard.alive)
    assert doubts == [False]
    await session.stop()


async def test_a_lost_session_begins_anew_with_another_lease() -> None:
    store, guard = Leases(), ReadGuard()
    lost: list[bool] = []
    session = Session(store, INFO, guard, ttl_seconds=TTL_SECONDS, seen=seen, lost=lambda: lost.append(guard.alive))
    await session.start()
    (first,) = await rows(store)
    store.gone.add(first.lease)
    await eventually(lambda: lost)
    assert lost == [False]
    await eventually(lambda: guard.alive)
    (second,) = await rows(store)
    assert second.lease != first.lease
    await session.drain()
    (third,) = await rows(store)
    assert (third.lease, third.state) == (second.lease, "draining")
    await session.stop()


async def test_a_heartbeat_that_is_stopped_at_once_ends() -> None:
    """However far its thread has come: it may not even have shown its task yet."""

    async def connection() -> Store:
        return Leases()

    for _ in range(20):
        heartbeat = Heartbeat(Leases(), ReadGuard(), ttl_seconds=30.0, gone=lambda lease: None, open_store=connection)
        heartbeat.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await heartbeat.stop()


async def test_the_death_of_a_heartbeat_ends_the_process() -> None:
    reported: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: None if reported.done() else reported.set_result(context))

    class Broken(Leases):
        async def keep_alive(self, lease: int) -> float:
            raise ZeroDivisionError

    async def connection() -> Store:
        return Broken()

    heartbeat = Heartbeat(Leases(), ReadGuard(), ttl_seconds=0.04, gone=lambda lease: None, open_store=connection)
    heartbeat.start()
    heartbeat.renew(1, proves=True)
    async with asyncio.timeout(PATIENCE_SECONDS):
        context = await reported
    assert context[FATAL]
    await heartbeat.stop()
