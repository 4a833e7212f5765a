"""client-go's dynamic informers, one for each URL of an endpoint slice, while consumers come over several ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.kubeconfig import kubeconfig
from tests.e2e.provider import COWBOYS, Provider, cowboy, schema
from tests.support.api import API_BINDINGS, Api
from tests.support.forms import Platform, platform
from tests.support.informers import Informers
from tests.support.waiting import wait_for

CONSUMERS = 12


@pytest.fixture(scope="module")
def many_ranges(form: str, tmp_path_factory: pytest.TempPathFactory, tokens: Path) -> Iterator[Platform]:
    """One for all of the tests here, the last of which crashes it."""
    with platform(form, tmp_path_factory.mktemp("ranges"), shards=2, range_capacity=5, token_file=tokens) as running:
        yield running


@pytest.fixture
def root(many_ranges: Platform, unique: Callable[[str], str]) -> Api:
    """A workspace of this test."""
    return many_ranges.root.workspace(unique("org"))


@pytest.fixture
def provider(root: Api) -> Provider:
    return Provider.install(root.workspace("provider"), schema())


@pytest.fixture
def informers(many_ranges: Platform, provider: Provider, informers_binary: Path, tmp_path: Path) -> Iterator[Informers]:
    path = tmp_path / "provider.kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig(many_ranges, provider.api)))
    with Informers(informers_binary, path) as running:
        yield running


def test_every_object_and_every_update_is_seen(root: Api, provider: Provider, informers: Informers) -> None:
    expected: dict[str, str] = {}
    consumers: list[Api] = []
    for number in range(CONSUMERS):
        consumer = provider.bind(root.workspace(f"consumer-{number}"))
        consumers.append(consumer)
        name = f"cowboy-{number}"
        consumer.create(COWBOYS, cowboy(name, "0"))
        expected[f"{consumer.name}|default/{name}"] = "0"
        # Who was there before keeps changing while others come.
        for earlier, other in enumerate(consumers):
            other.patch(f"{COWBOYS}/cowboy-{earlier}", {"spec": {"intent": str(number + 1)}})
            expected[f"{other.name}|default/cowboy-{earlier}"] = str(number + 1)

    wait_for(lambda: informers.caches() == expected, "every consumer's object is in the caches")
    urls = informers.snapshot()["urls"]
    assert len(urls) >= 3 and sorted(urls) == sorted(provider.urls())
    assert informers.of("url-removed") == []

    # An informer that lists late sees one state instead of the updates before it, so the last word is from here on.
    seen = len(informers.events)
    rounds = 20
    for step in range(rounds):
        for number, consumer in enumerate(consumers):
            consumer.patch(f"{COWBOYS}/cowboy-{number}", {"spec": {"intent": f"step-{step}"}})
    final = dict.fromkeys(expected, f"step-{rounds - 1}")
    wait_for(lambda: informers.caches() == final, "every last update is in the caches")
    updates: dict[str, list[str]] = {}
    for event in informers.events[seen:]:
        assert event["event"] == "update", event
        updates.setdefault(event["object"], []).append(event["value"])
    wanted = [f"step-{step}" for step in range(rounds)]
    assert updates == dict.fromkeys(expected, wanted), "each update once and in order"

    # Nothing is delivered under two URLs.
    placed: dict[str, set[str]] = {}
    for event in informers.of("update") + informers.of("add"):
        placed.setdefault(event["object"], set()).add(event["url"])
    assert all(len(places) == 1 for places in placed.values())


def test_informers_go_with_their_url(root: Api, provider: Provider, informers: Informers) -> None:
    consumer = provider.bind(root.workspace("consumer"))
    consumer.create(COWBOYS, cowboy("joe"))
    key = f"{consumer.name}|default/joe"
    wait_for(lambda: informers.caches() == {key: "ride"})
    consumer.delete(f"{COWBOYS}/joe")
    wait_for(lambda: [e["object"] for e in informers.of("delete")] == [key])
    consumer.delete(f"{API_BINDINGS}/cowboys")
    wait_for(lambda: len(informers.of("url-removed")) == 1)
    assert informers.snapshot().get("urls") is None


def test_informers_go_on_after_a_crash(many_ranges: Platform, root: Api, provider: Provider, informers: Informers) -> None:
    consumers = [provider.bind(root.workspace(f"consumer-{number}")) for number in range(6)]
    for number, consumer in enumerate(consumers):
        consumer.create(COWBOYS, cowboy(f"cowboy-{number}", "before"))
    keys = [f"{consumer.name}|default/cowboy-{number}" for number, consumer in enumerate(consumers)]
    wait_for(lambda: informers.caches() == dict.fromkeys(keys, "before"), "all objects are in the caches")
    many_ranges.kill()
    many_ranges.start()
    for number, consumer in enumerate(consumers):
        consumer.patch(f"{COWBOYS}/cowboy-{number}", {"spec": {"intent": "after"}})
    wait_for(lambda: informers.caches() == dict.fromkeys(keys, "after"), "the caches follow again")
    assert len(informers.snapshot()["urls"]) >= 2 and informers.of("url-removed") == []
