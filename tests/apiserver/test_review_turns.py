"""Tenants take turns at a webhook."""

from __future__ import annotations

import asyncio

from tenantry.apiserver.review_turns import Asker, ReviewTurns
from tests.support.waiting import quiet


class Asked:
    """Reviews that are in flight until the test ends them."""

    def __init__(self, at_once: int) -> None:
        self.turns = ReviewTurns(at_once)
        self.begun: list[str] = []
        self.ended = asyncio.Semaphore(0)
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, name: str, *owners: str, parts: tuple[str, ...] = ()) -> asyncio.Task[None]:
        async def review() -> None:
            async with self.turns.turn(Asker(owners, parts)):
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


async def test_a_tenant_leaves_room_for_the_next_one() -> None:
    asked = Asked(8)
    for number in range(20):
        asked.ask(f"a{number}", "nobody", parts=(f"address {number}",))
    await quiet()
    assert len(asked.begun) == 6, "also where the webhook answers none of them"
    asked.ask("b", "cluster b", "user b")
    await quiet()
    assert asked.begun[-1] == "b"
    await asked.end(21)
    await asyncio.gather(*asked.tasks)


async def test_parts_of_a_tenant_take_turns() -> None:
    asked = Asked(1)
    for number in range(6):
        asked.ask(f"flood-{number}", "nobody", parts=("address 1", f"cluster {number}"))
    await quiet()
    asked.ask("behind a gateway", "nobody", parts=("address 1", "cluster 0"))
    asked.ask("from elsewhere", "nobody", parts=("address 2", "cluster 0"))
    asked.ask("known", "cluster a", "user a")
    await quiet()
    await asked.end(3)
    assert {"from elsewhere", "known"} <= set(asked.begun[:4])
    await asked.end(7)
    await asyncio.gather(*asked.tasks)
    assert len(asked.begun) == 9


async def test_a_part_of_a_tenant_leaves_room_for_the_next_one() -> None:
    asked = Asked(8)
    for number in range(20):
        asked.ask(f"a{number}", "nobody", parts=("address 1", f"cluster {number}"))
    await quiet()
    assert len(asked.begun) == 4
    asked.ask("b", "nobody", parts=("address 2",))
    await quiet()
    assert asked.begun[-1] == "b", "the others of its tenant have no room"
    await asked.end(21)
    await asyncio.gather(*asked.tasks)


async def test_nothing_is_kept_of_askers_who_are_gone() -> None:
    asked = Asked(1)
    tasks = [asked.ask(str(number), f"cluster {number % 3}", parts=(str(number),)) for number in range(9)]
    await quiet()
    for task in tasks[3:]:
        task.cancel()
    await quiet()
    await asked.end(3)
    await asyncio.gather(*tasks, return_exceptions=True)
    turns = asked.turns
    assert (turns._in_flight.used, turns._parts_in_flight.used, len(turns._waiting), turns._parts) == (0, 0, 0, {})
