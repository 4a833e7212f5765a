"""client-go's informers while shards and gateways die, leave and come back: each update once and in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.provider import COWBOYS, Provider, cowboy, schema
from tests.support.api import PATCHES, Api
from tests.support.fleet import Fleet
from tests.support.informers import Informers
from tests.support.waiting import wait_for

CONSUMERS = 6
ROUNDS_EACH = 3


@pytest.fixture
def provider(platform: Fleet) -> Provider:
    return Provider.install(platform.root.workspace("provider"), schema())


@pytest.fixture
def informers(platform: Fleet, provider: Provider, informers_binary: Path, tmp_path: Path) -> Iterator[Informers]:
    """They find their URLs through the second gateway, and the URLs are the first one's."""
    document = yaml.safe_load(platform.kubeconfig.read_text())
    document["current-context"] = "shard-base"
    for cluster in document["clusters"]:
        if cluster["name"] == "base":
            cluster["cluster"]["server"] = f"{platform.urls[1]}/clusters/{provider.api.name}"
    path = tmp_path / "provider.kubeconfig"
    path.write_text(yaml.safe_dump(document))
    with Informers(informers_binary, path) as running:
        yield running


def test_informers_see_every_update_once_whatever_dies(platform: Fleet, provider: Provider, informers: Informers) -> None:
    consumers = [provider.bind(platform.root.workspace(f"consumer-{number}")) for number in range(CONSUMERS)]
    # client-go keeps objects by namespace and name alone.
    names = {consumer.name: f"cowboy-{number}" for number, consumer in enumerate(consumers)}
    for consumer in consumers:
        consumer.create(COWBOYS, cowboy(names[consumer.name], "start"))
    keys = [f"{cluster}|default/{name}" for cluster, name in names.items()]
    wait_for(lambda: informers.caches() == dict.fromkeys(keys, "start"), "all objects are in the caches")
    seen = len(informers.events)
    owner = platform.owner(consumers[0].name)
    written: list[str] = []
    steps: list[tuple[str, Callable[[], object]]] = [
        ("killed", owner.kill),
        ("came-back", lambda: platform.restart(owner)),
        ("left", lambda: platform.owner(consumers[-1].name).stop()),
        ("without-the-first-gateway", platform.gateways[0].kill),
        ("with-the-first-gateway", lambda: platform.restart(platform.gateways[0])),
        ("without-the-second-gateway", platform.gateways[1].stop),
        ("with-the-second-gateway", lambda: platform.restart(platform.gateways[1])),
    ]
    for name, step in steps:
        if written and platform.gateways[0].running:
            # client-go lists again where a watch is cut off before it has begun, so each is given the time to begin.
            wait_for(lambda: informers.caches() == dict.fromkeys(keys, written[-1]), f"the caches show {written[-1]}")
        step()
        for number in range(ROUNDS_EACH):
            written.append(f"{name}-{number}")
            for consumer in consumers:
                write(platform, consumer, names[consumer.name], written[-1])
    wait_for(lambda: informers.caches() == dict.fromkeys(keys, written[-1]), "the caches show the last writes", 60)
    delivered: dict[str, list[str]] = {}
    for event in informers.events[seen:]:
        assert event["event"] == "update", event
        delivered.setdefault(event["object"], []).append(event["value"])
    wrong = {key: values for key, values in delivered.items() if values != written}
    assert not wrong and set(delivered) == set(keys), {
        key: {"missed": [value for value in written if value not in values], "delivered": values} for key, values in wrong.items()
    }


def write(platform: Fleet, consumer: Api, name: str, value: str) -> None:
    """Through a gateway that runs, until it is acknowledged: what it sets is the same however often it is said."""
    gateway = next(number for number, process in enumerate(platform.gateways) if process.running)
    api = platform.api(consumer.name, through=platform.urls[gateway])
    change = {"spec": {"intent": value}}
    wait_for(
        lambda: api.request("PATCH", f"{COWBOYS}/{name}", change, content_type=PATCHES["merge"]).status == 200,
        f"{value} is written",
    )
