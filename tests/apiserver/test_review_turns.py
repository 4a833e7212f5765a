"""Tenants take turns at a webhook."""

from __future__ import annotations

import asyncio

from tenantry.apiserver.review_turns import ReviewTurns
from tests.support.waiting import quiet


class Asked:
    """Reviews that are in flight until the test ends them."""

    def __init__(self, at_once: int) -> None:
        self.turns = ReviewTurns(at_once)
        self.begun: list[str] = []
        self.ended = asyncio.Semaphore(0)
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, name: str, *owners: str) -> asyncio.Task[None]:
        async def review() -> None:
            async with self.turns.turn(owners):
                self.begun.append(name)
                await self.ended.acquire()

        task = asyncio.ensure_future(review())
        self.tasks.append(task)
        return task

    async def end(self, number: int = 1) -> None:
        for _ in range(number):
            self.ended.release()
            await quiet()


async def test_one_tenants_questions_delay_no_others() -> None:
    asked = Asked(2)
    for number in range(8):
        asked.ask(f"a{number}", "cluster a", f"user {number}")
    await quiet()
    asked.ask("b0", "cluster b", "user b")
    asked.ask("b1", "cluster b", "user b")
    await quiet()
    assert asked.begun == ["a0", "a1"]
    await asked.end(4)
    # However many users the first tenant has.
    assert set(asked.begun[2:]) == {"a2", "a3", "b0", "b1"}
    await asked.end(6)
    await asyncio.gather(*asked.tasks)


async def test_a_stranger_does_not_take_the_turns_of_a_workspace() -> None:
    asked = Asked(1)
    for number in range(6):
        asked.ask(f"s{number}", "cluster a", "user stranger")
    await quiet()
    asked.ask("member", "cluster a", "user member")
    await quiet()
    await asked.end(2)
    assert "member" in asked.begun
    await asked.end(5)
    await asyncio.gather(*asked.tasks)


async def test_who_goes_away_leaves_the_turn_to_others() -> None:
    asked = Asked(1)
    first, second, third = (asked.ask(name, "cluster a") for name in ("first", "second", "third"))
    await quiet()
    second.cancel()
    await quiet()
    # The turn is given to the one that waits in the moment in which that is cancelled.
    asked.ended.release()
    first.cancel()
    third.cancel()
    await quiet()
    await asyncio.gather(first, second, third, return_exceptions=True)
    asked.ask("fourth", "cluster a")
    await quiet()
    assert asked.begun[-1] == "fourth"
    await asked.end()
