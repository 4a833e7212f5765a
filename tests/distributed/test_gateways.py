"""Gateways that die, leave and come back, as clients of theirs see it that know another one."""

from __future__ import annotations

import signal
from contextlib import suppress

import urllib3

from tests.support.api import CONFIG_MAPS, Api, Object, config_map
from tests.support.fleet import Fleet
from tests.support.waiting import wait_for


def through(platform: Fleet, number: int, cluster: str) -> Api:
    return platform.api(cluster, through=platform.urls[number])


def name_of(event: Object) -> str:
    return str(event["object"]["metadata"].get("name"))


def test_every_gateway_shows_what_was_written_through_another(platform: Fleet) -> None:
    """A workspace by its path, too, though a gateway knows of it from the store's watch alone."""
    first, second = (through(platform, number, "root") for number in range(2))
    for number in range(20):
        name = f"seen-{number}"
        first.workspace(name)
        there = second.cluster(f"root:{name}")
        there.create(CONFIG_MAPS, config_map("written"))
        assert "written" in first.cluster(f"root:{name}").names(CONFIG_MAPS)


def test_clients_of_a_killed_gateway_go_on_at_another(platform: Fleet) -> None:
    place = platform.root.workspace("of-a-killed-gateway").name
    first, second = (through(platform, number, place) for number in range(2))
    before = first.get(CONFIG_MAPS)["metadata"]["resourceVersion"]
    with first.watch(CONFIG_MAPS, resourceVersion=before) as watch:
        events = iter(watch)
        first.create(CONFIG_MAPS, config_map("one"))
        seen = [next(events)]
        platform.gateways[0].kill()
        # It was cut, in the middle of an event or between two.
        with suppress(urllib3.exceptions.HTTPError, AssertionError):
            seen += list(events)
    second.create(CONFIG_MAPS, config_map("two"))
    with second.watch(CONFIG_MAPS, resourceVersion=seen[-1]["object"]["metadata"]["resourceVersion"]) as watch:
        seen += watch.until(lambda event: name_of(event) == "two")
    assert [(event["type"], name_of(event)) for event in seen] == [("ADDED", "one"), ("ADDED", "two")]
    platform.restart(platform.gateways[0])
    assert {"one", "two"} <= set(first.names(CONFIG_MAPS))


def test_gateway_that_leaves_ends_watches_in_order(platform: Fleet) -> None:
    """The stream ends as HTTP ends it: a cut connection would raise here."""
    place = platform.root.workspace("of-a-leaving-gateway").name
    first, second = (through(platform, number, place) for number in range(2))
    before = first.get(CONFIG_MAPS)["metadata"]["resourceVersion"]
    with first.watch(CONFIG_MAPS, resourceVersion=before) as watch:
        events = iter(watch)
        first.create(CONFIG_MAPS, config_map("one"))
        seen = [next(events)]
        platform.gateways[0].signal(signal.SIGTERM)
        seen += list(events)
    assert [name_of(event) for event in seen] == ["one"]
    assert platform.gateways[0].wait() == 0
    with second.watch(CONFIG_MAPS, resourceVersion=seen[0]["object"]["metadata"]["resourceVersion"]) as watch:
        second.create(CONFIG_MAPS, config_map("two"))
        assert name_of(watch.until(lambda event: True)[0]) == "two"
    platform.restart(platform.gateways[0])
    wait_for(lambda: first.status_of("GET", CONFIG_MAPS) == 200, "the gateway is back")
