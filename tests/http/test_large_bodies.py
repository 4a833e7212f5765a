"""Which large bodies of a tenant are worked on at the same time: so many bytes, never none, and no tenant waits for another."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.http import large_bodies
from tenantry.http.large_bodies import LargeBodies
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import quiet

ADA, BOB = ("a", "ada"), ("a", "bob")


class Work:
    """Bodies under way: `begin` and `end` them by number."""

    def __init__(self, bodies: LargeBodies) -> None:
        self.bodies = bodies
        self.tasks: list[asyncio.Task[None]] = []
        self.asked: list[tuple[tuple[str, str], int]] = []
        self.ended: set[int] = set()

    async def begin(self, owners: tuple[str, str], size: int) -> int:
        self.tasks.append(asyncio.create_task(self.bodies.begin(owners, size)))
        self.asked.append((owners, size))
        await quiet()
        return len(self.tasks) - 1

    async def end(self, number: int) -> None:
        self.bodies.end(*self.asked[number])
        self.ended.add(number)
        await quiet()

    async def give_up(self, number: int) -> None:
        self.tasks[number].cancel()
        with suppress(asyncio.CancelledError):
            await self.tasks[number]
        await quiet()

    def going(self) -> list[int]:
        return [n for n, task in enumerate(self.tasks) if task.done() and not task.cancelled() and n not in self.ended]

    def waiting(self) -> list[int]:
        return [n for n, task in enumerate(self.tasks) if not task.done()]

    def size_of(self, numbers: list[int], tenant: str) -> int:
        return sum(self.asked[n][1] for n in numbers if self.asked[n][0][0] == tenant)


async def test_one_tenant_has_so_many_bytes_at_once_and_others_do_not_wait_for_it() -> None:
    work = Work(LargeBodies(100))
    for _ in range(3):
        await work.begin(ADA, 50)
    await work.begin(("b", "ada"), 50)
    assert work.going() == [0, 1, 3]
    await work.end(0)
    assert work.going() == [1, 2, 3]


async def test_a_body_above_the_limit_is_worked_on_alone() -> None:
    work = Work(LargeBodies(100))
    for size in (10, 500, 10):
        await work.begin(ADA, size)
    assert work.going() == [0]
    await work.end(0)
    assert work.going() == [1], "and is not passed over for ever by smaller ones"
    await work.end(1)
    assert work.going() == [2]


async def test_users_of_a_tenant_take_turns_by_bytes() -> None:
    work = Work(LargeBodies(100))
    for _ in range(4):
        await work.begin(ADA, 100)
    await work.begin(BOB, 100)
    await work.end(0)
    await work.end(work.going()[0])
    assert 4 in work.going() or 4 in work.ended


async def test_who_goes_away_leaves_its_place_to_others() -> None:
    work = Work(LargeBodies(100))
    for _ in range(4):
        await work.begin(ADA, 100)
    await work.give_up(1)
    # In the moment in which it is its turn.
    work.tasks[2].get_loop().call_soon(work.tasks[2].cancel)
    await work.end(0)
    assert (work.going(), work.waiting()) == ([3], [])
    await work.end(3)
    assert not work.bodies._tenants, "nothing is kept of a tenant without bodies"


async def test_what_takes_long_holds_nobody_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_bodies, "_PATIENCE_SECONDS", 0.02)
    work = Work(LargeBodies(100))
    for _ in range(2):
        await work.begin(ADA, 100)
    await asyncio.wait_for(asyncio.gather(*work.tasks), PATIENCE_SECONDS)
    assert work.bodies.waited_seconds > 0.01
    for number in (0, 1):
        await work.end(number)
    assert not work.bodies._tenants


async def test_no_limit_is_none() -> None:
    work = Work(LargeBodies(0))
    for _ in range(3):
        await work.begin(ADA, 1 << 30)
    assert work.going() == [0, 1, 2]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.sampled_from([ADA, BOB, ("b", "ada")]), st.integers(1, 150)),
        st.tuples(st.sampled_from(["end", "give up"]), st.integers(0, 30), st.just(0)),
    ),
    max_size=40,
)


@given(steps)
async def test_the_limit_holds_and_nobody_waits_in_vain(script: list[tuple[str, object, int]]) -> None:
    work = Work(LargeBodies(100))
    for what, which, size in script:
        if what == "begin":
            assert isinstance(which, tuple)
            await work.begin(which, size)
        else:
            assert isinstance(which, int)
            if what == "end" and which in work.going():
                await work.end(which)
            if what == "give up" and which in work.waiting():
                await work.give_up(which)
        for tenant in ("a", "b"):
            going = [n for n in work.going() if work.asked[n][0][0] == tenant]
            assert len(going) <= 1 or work.size_of(going, tenant) <= 100
            waiting = [n for n in work.waiting() if work.asked[n][0][0] == tenant]
            assert going or not waiting
    while going := work.going():
        await work.end(going[0])
    assert not work.waiting() and not work.bodies._tenants
