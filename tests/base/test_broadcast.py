"""Subscribers are called in order, whatever one of them does."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.base.broadcast import Broadcast, KeyedBroadcast


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
