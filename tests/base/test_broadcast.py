"""Subscribers are called in order, whatever one of them does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tenantry.base.broadcast import Broadcast, KeyedBroadcast, Signal
from tests.support.waiting import one_turn


def test_every_subscriber_is_called_with_what_is_sent_in_order() -> None:
    broadcast: Broadcast[[str]] = Broadcast("news")
    heard: list[str] = []
    for name in "abc":
        broadcast.subscribe(lambda news, name=name: heard.append(name + news))  # type: ignore[misc]
    broadcast.send("!")
    assert heard == ["a!", "b!", "c!"]


def test_one_that_raises_costs_the_others_nothing() -> None:
    broadcast: Broadcast[[]] = Broadcast("news")
    heard: list[int] = []
    broadcast.subscribe(lambda: 1 / 0)
    broadcast.subscribe(lambda: heard.append(1))
    broadcast.send()
    assert heard == [1]


def test_whoever_unsubscribes_is_not_called_even_by_the_send_under_way() -> None:
    broadcast: Broadcast[[]] = Broadcast("news")
    heard: list[str] = []
    stops: list[Callable[[], None]] = []
    broadcast.subscribe(lambda: [stop() for stop in stops])
    stops.append(broadcast.subscribe(lambda: heard.append("gone")))
    broadcast.subscribe(lambda: heard.append("there"))
    broadcast.send()
    stops[0]()
    assert heard == ["there"]
    assert len(broadcast) == 2


def test_the_same_callback_may_subscribe_twice_and_leaves_once() -> None:
    broadcast: Broadcast[[]] = Broadcast("news")
    heard: list[int] = []

    def callback() -> None:
        heard.append(1)

    stop = broadcast.subscribe(callback)
    broadcast.subscribe(callback)
    stop()
    stop()
    broadcast.send()
    assert heard == [1]


def test_nothing_is_kept_of_a_key_without_subscribers() -> None:
    broadcast: KeyedBroadcast[str, [int]] = KeyedBroadcast("news")
    heard: list[int] = []
    stop = broadcast.subscribe("a", heard.append)
    broadcast.send("a", 1)
    broadcast.send("b", 2)
    assert (heard, list(broadcast), "a" in broadcast) == ([1], ["a"], True)
    stop()
    stop()
    assert list(broadcast) == []


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
