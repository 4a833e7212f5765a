"""Tasks that wait are woken once, and learn that there is nothing to wait for any more."""

from __future__ import annotations

import asyncio

import pytest

from tenantry.base.signal import Signal
from tests.support.waiting import one_turn


async def test_a_signal_wakes_those_who_wait_now_and_is_not_remembered() -> None:
    signal = Signal()
    signal.send()
    first, second = asyncio.create_task(signal.wait()), asyncio.create_task(signal.wait(60))
    left = asyncio.create_task(signal.wait())
    await one_turn()
    assert len(signal) == 3
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    signal.send()
    assert await first and await second
    assert not await signal.wait(0.001)
    assert len(signal) == 0


async def test_whoever_waits_for_a_signal_learns_that_it_is_closed() -> None:
    signal = Signal()
    waits = [asyncio.create_task(signal.wait()), asyncio.create_task(signal.wait(60))]
    await one_turn()
    assert not signal.closed
    signal.close()
    assert await asyncio.gather(*waits) == [False, False]
    assert signal.closed and not await signal.wait()


async def test_whoever_waits_for_a_signal_gets_the_error_that_closed_it() -> None:
    signal = Signal()
    waits = [asyncio.create_task(signal.wait()), asyncio.create_task(signal.wait(60))]
    await one_turn()
    signal.send()
    waits.append(asyncio.create_task(signal.wait(60)))
    await one_turn()
    signal.close(LookupError("gone"))
    assert [str(each) for each in await asyncio.gather(*waits, return_exceptions=True)] == ["True", "True", "gone"]
    with pytest.raises(LookupError, match="gone"):
        await signal.wait(60)
