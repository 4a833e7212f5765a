"""Who is registered as serving a view, and for whom a view stays reserved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tenantry.placement.view_processes import ViewProcesses
from tenantry.placement.view_registration import ViewRegistration, forget_views
from tenantry.placement.view_rows import ViewProcessRow
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Put
from tests.support.waiting import eventually_answers, until


class Registered:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.processes = ViewProcesses(self.store)
        self.why = ""

    def registration(self, uid: str, *views: str, ttl_seconds: float = 60.0) -> ViewRegistration:
        row = ViewProcessRow(f"name of {uid}", f"https://{uid}:1", "1.0", list(views))
        return ViewRegistration(self.store, uid, row, why_not=lambda: self.why, ttl_seconds=ttl_seconds)

    async def shown(self) -> tuple[set[str], dict[str, tuple[str, ...]]]:
        await self.processes.reached((await self.store.read(b"/views/", b"/views0")).revision)
        return set(self.processes.names), {uid: process.views for uid, process in self.processes.processes.items()}


@pytest.fixture
async def registered() -> AsyncIterator[Registered]:
    made = Registered()
    await made.processes.start()
    yield made
    await made.processes.stop()
    await made.store.close()


async def test_the_last_process_of_a_view_gives_it_back(registered: Registered) -> None:
    one, other = registered.registration("one", "a", "b"), registered.registration("other", "b")
    await one.start()
    await other.start()
    assert await registered.shown() == ({"a", "b"}, {"one": ("a", "b"), "other": ("b",)})
    assert [each.uid for each in registered.processes.serving("b")] == ["one", "other"]
    await one.stop()
    assert await registered.shown() == ({"b"}, {"other": ("b",)})
    await other.stop()
    assert await registered.shown() == (set(), {})


async def test_a_crash_gives_nothing_back(registered: Registered) -> None:
    crashed = registered.registration("one", "a", ttl_seconds=0.05)
    await crashed.start()
    assert crashed._task is not None
    crashed._task.cancel()

    async def expired() -> bool:
        await registered.store.expire_leases()
        return not (await registered.shown())[1]

    await eventually_answers(expired)
    assert await registered.shown() == ({"a"}, {})
    again = registered.registration("two", "a")
    await again.start()
    assert await forget_views(registered.store, ["a"]) == [], "a living process serves it"
    await again.stop()
    assert await registered.shown() == (set(), {})


async def test_an_operator_gives_it_back(registered: Registered) -> None:
    await registered.store.commit([], [Put(b"/views/names/a", b"{}")], [])
    assert await forget_views(registered.store, ["a", "unknown"]) == ["a"]
    assert await registered.shown() == (set(), {})


async def test_it_says_whether_it_is_ready(registered: Registered) -> None:
    one = registered.registration("one", "a", ttl_seconds=0.04)
    await one.start()
    await registered.shown()
    assert registered.processes.processes["one"].ready
    registered.why = "the store is away"
    await until(lambda: not registered.processes.processes["one"].ready)
    registered.why = ""
    await until(lambda: registered.processes.processes["one"].ready)
    await one.stop()


async def test_one_that_ends_serves_on_where_there_is_no_other(registered: Registered) -> None:
    one, other = registered.registration("one", "a"), registered.registration("other", "a")
    await one.start()
    await other.start()
    await one.drain()
    await registered.shown()
    assert registered.processes.processes["one"].state == "draining" and not registered.processes.processes["one"].ready
    await other.drain()
    await registered.shown()
    assert registered.processes.processes["other"].ready
    await other.stop()
    assert await registered.shown() == (set(), {"one": ("a",)}), "the one that drains takes no requests"
    await one.stop()


async def test_processes_that_end_at_one_time_give_it_back(registered: Registered) -> None:
    both = [registered.registration("one", "a"), registered.registration("two", "a")]
    for each in both:
        await each.start()
    await asyncio.gather(*(each.stop() for each in both))
    assert await registered.shown() == (set(), {})


async def test_one_damaged_row_hides_no_other(registered: Registered) -> None:
    one = registered.registration("one", "a")
    await one.start()
    await registered.store.commit([], [Put(b"/views/processes/damaged", b"?")], [])
    assert await registered.shown() == ({"a"}, {"one": ("a",)})
    await one.stop()
