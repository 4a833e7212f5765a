"""Large bodies are read piece by piece, those of the tenant that received least next, and at a rate while tenants share."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tenantry.base.shares import Shares
from tenantry.http.body_limits import Bodies
from tenantry.http.callers import Caller
from tenantry.http.limits import Limits
from tenantry.http.pacing import Pacing
from tests.support.waiting import one_turn

PER_SECOND = 1_000_000


class Reader:
    """Reads bodies through one pacing, and notes whose piece came when."""

    def __init__(self, *, shared: bool, per_second: int = PER_SECOND) -> None:
        self.shared = shared
        self.pacing = Pacing(per_second, lambda: self.shared)
        self.pieces: list[str] = []
        self.began = asyncio.get_running_loop().time()

    @property
    def seconds(self) -> float:
        return asyncio.get_running_loop().time() - self.began

    async def read(self, tenant: str, pieces: int, size: int = 10_000) -> None:
        for _ in range(pieces):
            await self.pacing.rest((tenant,), size)
            self.pieces.append(tenant)


async def test_pieces_of_all_bodies_together_keep_the_rate() -> None:
    reader = Reader(shared=True)
    await asyncio.gather(*(reader.read(tenant, 3) for tenant in "abc"))
    # Nothing was before the first. A timer may be half a millisecond early.
    assert reader.seconds >= 8 * (10_000 / PER_SECOND - 0.001)
    assert reader.pacing.waited_seconds >= reader.seconds


async def test_small_pieces_keep_the_rate_too() -> None:
    reader = Reader(shared=True, per_second=4_000_000)
    await asyncio.gather(*(reader.read(tenant, 50, size=1_000) for tenant in "abcd"))
    # Each alone is due within half a millisecond.
    assert reader.seconds >= 0.8 * 200 * 1_000 / 4_000_000


async def test_tenants_take_turns_however_many_bodies_one_of_them_sends() -> None:
    reader = Reader(shared=True)
    many = [asyncio.create_task(reader.read("many", 2)) for _ in range(6)]
    await reader.read("one", 3)
    assert len(reader.pieces) <= 8, "every second piece is of the one"
    await asyncio.gather(*many)
    assert sorted(reader.pieces) == ["many"] * 12 + ["one"] * 3


async def test_turns_are_by_bytes() -> None:
    reader = Reader(shared=True)
    long = [asyncio.create_task(reader.read("long", 1, size=10_000)) for _ in range(9)]
    short = [asyncio.create_task(reader.read("short", 9, size=1_000)) for _ in range(3)]
    await asyncio.gather(*short)
    assert reader.pieces.count("long") <= 5, "ten short pieces are as much as a long one"
    await asyncio.gather(*long)


@pytest.mark.parametrize(("shared", "per_second"), [(False, 1), (True, 0)])
async def test_without_others_or_without_a_rate_a_piece_waits_for_one_turn_of_the_loop(shared: bool, per_second: int) -> None:
    reader = Reader(shared=shared, per_second=per_second)
    async with asyncio.timeout(10):
        await asyncio.gather(*(reader.read(tenant, 20) for tenant in "ab"))
    assert reader.pieces[:6] in (["a", "b"] * 3, ["b", "a"] * 3)


async def test_who_waits_goes_on_when_the_others_leave() -> None:
    reader = Reader(shared=True, per_second=1)
    await reader.read("a", 1)
    waiting = asyncio.create_task(reader.read("a", 20))
    await one_turn()
    reader.shared = False
    async with asyncio.timeout(10):
        await waiting


async def test_who_goes_away_is_not_waited_for() -> None:
    reader = Reader(shared=True)
    await reader.read("first", 1)
    waiting = [asyncio.create_task(reader.read("gone", 1, size=100 * PER_SECOND)) for _ in range(3)]
    await one_turn()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    async with asyncio.timeout(10):
        await reader.read("here", 2)
    assert reader.pieces == ["first", "here", "here"]


class Upload:
    """Of `Exchange` what `Bodies` looks at."""

    caller = Caller(("a",))
    receiving_since = 0.0
    body_bytes = 0
    paced = False


async def test_a_body_that_waits_for_others_is_not_late() -> None:
    limits = Limits(body_timeout_seconds=0.1, body_bytes_per_second=1 << 30)
    bodies: Bodies[Any] = Bodies(limits, Shares("memory", 1 << 20), Pacing(PER_SECOND, lambda: True))
    loop = asyncio.get_running_loop()
    exchange = cast(Any, Upload())
    bodies.begin(exchange, loop.time())
    await bodies.pace(exchange, PER_SECOND // 4)
    waiting = asyncio.create_task(bodies.pace(exchange, 1))
    while not waiting.done():
        assert bodies.late(loop.time()) == []
        await one_turn()
    assert bodies.paced_seconds > 0.2
    assert bodies.late(loop.time()) == []
    assert bodies.late(loop.time() + 0.2) == [exchange]
