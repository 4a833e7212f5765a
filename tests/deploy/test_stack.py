"""`docker compose up --scale shard=…` for real: the README's story, and client-go's informers while shards come, go and die.

`make compose` runs it and `make test` does not: it takes minutes, and pulls and builds images in the engine of whoever runs it.
"""

from __future__ import annotations

import threading
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.deploy.compose_stack import STEP_SECONDS, ComposeStack
from tests.e2e.provider import COWBOYS, Provider, cowboy, schema
from tests.e2e.readme import blocks, follow
from tests.support.api import CONFIG_MAPS, Api, Refused, config_map
from tests.support.informers import Informers
from tests.support.tools import program
from tests.support.waiting import wait_for

CONSUMERS = 24
WRITERS = 4

pytestmark = [pytest.mark.e2e, pytest.mark.client, pytest.mark.timeout(3 * STEP_SECONDS)]


class Writer:
    """Writes one number after the other to its consumers, until it is told to end; what was acknowledged, in order.

    As a client that respects answers: 429 and 503 come again after the time that they name, and a write without a known outcome
    (502) is repeated, which is safe since it sets a value.
    """

    def __init__(self, consumers: dict[str, Api]) -> None:
        self.acknowledged: dict[str, list[str]] = {name: [] for name in consumers}
        self.retries = 0
        self.unknown = 0
        self.problem: BaseException | None = None
        self._consumers = consumers
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()
        if self.problem is not None:
            raise self.problem

    def _run(self) -> None:
        number = 0
        try:
            while not self._end.is_set():
                number += 1
                for name, consumer in self._consumers.items():
                    self._write(name, consumer, f"{number:06}")
                    self.acknowledged[name].append(f"{number:06}")
        except BaseException as error:
            self.problem = error

    def _write(self, name: str, consumer: Api, value: str) -> None:
        for _ in range(100):
            try:
                consumer.patch(f"{COWBOYS}/{name}", {"spec": {"intent": value}})
                return
            except Refused as refused:
                answer = refused.answer
                if answer.status not in (429, 502, 503):
                    raise
                self.retries += 1
                self.unknown += answer.status == 502
                self._end.wait(float(answer.headers.get("retry-after", 0.1)))
        raise AssertionError(f"{name} could not be written")


def tenants_of_shards(stack: ComposeStack) -> dict[str, int]:
    """How many ranges each shard holds."""
    return {shard["name"]: len(shard["ranges"]) for shard in stack.ask("shards")}


def placed(stack: ComposeStack, shards: int) -> None:
    """Waits until exactly so many shards share all ranges."""

    def check() -> bool:
        tenants = tenants_of_shards(stack)
        return len(tenants) == shards and all(tenants.values()) and all(r["shard"] for r in stack.ask("ranges"))

    wait_for(check, f"{shards} shards share the ranges", seconds=120)


def test_the_story_of_the_readme(stack: ComposeStack, tmp_path: Path) -> None:
    """First of all: its range holds just as many tenants as it makes."""
    program("kubectl", "it comes with kubernetes-client")
    (tmp_path / ".tenantry").mkdir()
    (tmp_path / ".tenantry" / "admin.kubeconfig").write_text(yaml.safe_dump(stack.kubeconfig()))
    follow(blocks("A provider and its consumers"), tmp_path)


def test_nothing_is_lost_while_shards_come_and_go(stack: ComposeStack, informers_binary: Path, tmp_path: Path) -> None:
    root = stack.root()
    provider = Provider.install(root.workspace("herd"), schema())
    consumers = {f"cowboy-{n}": provider.bind(root.workspace(f"consumer-{n}")) for n in range(CONSUMERS)}
    for name, consumer in consumers.items():
        consumer.create(COWBOYS, cowboy(name, "000000"))
    assert len(stack.ask("ranges")) >= 6

    config = stack.kubeconfig()
    config["current-context"] = "shard-base"
    next(c["cluster"] for c in config["clusters"] if c["name"] == "base")["server"] = provider.api.url
    path = tmp_path / "provider.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    informers = Informers(informers_binary, path)
    try:
        keys = {name: f"{consumer.name}|default/{name}" for name, consumer in consumers.items()}
        wait_for(lambda: informers.caches() == dict.fromkeys(keys.values(), "000000"), "all objects are in the caches")
        seen = len(informers.events)
        others = [stack.containers(service) for service in ("etcd", "registry", "gateway")]
        items = list(consumers.items())
        writers = [Writer(dict(items[n::WRITERS])) for n in range(WRITERS)]
        try:
            for shards in (4, 2, 3):
                stack.scale(shards)
                placed(stack, shards)
            stack.kill(stack.containers("shard")[0])
            placed(stack, 2)
            stack.scale(3)
            placed(stack, 3)
        finally:
            for writer in writers:
                writer.stop()
        assert [stack.containers(service) for service in ("etcd", "registry", "gateway")] == others, "scaling replaced them"
        written = {name: values for writer in writers for name, values in writer.acknowledged.items()}
        last = {keys[name]: values[-1] for name, values in written.items()}
        wait_for(lambda: informers.caches() == last, "the caches show every last write", seconds=60)
        assert {key: provider_sees(consumers[name], name) for name, key in keys.items()} == last

        delivered: dict[str, list[str]] = {key: [] for key in keys.values()}
        for event in informers.events[seen:]:
            assert event["event"] == "update", event
            delivered[event["object"]].append(event["value"])
        print({"writes": sum(map(len, written.values())), "retries": sum(w.retries for w in writers)}, tenants_of_shards(stack))
        # Watches went on where they were, and nobody had to list again: each acknowledged write is there, once and in order.
        lists = Counter(request["url"] for request in informers.requests if request["event"] == "list")
        assert lists == dict.fromkeys(provider.urls(), 1)
        wrong = {
            name: {"missed": sorted(set(values) - set(delivered[keys[name]])), "delivered": delivered[keys[name]]}
            for name, values in written.items()
            if values != delivered[keys[name]]
        }
        assert not wrong, {name: (len(found["delivered"]), found["missed"]) for name, found in wrong.items()}
    finally:
        complaints = informers.stop()
        print(complaints)
    assert "panic" not in complaints


def provider_sees(consumer: Api, name: str) -> str:
    found: str = consumer.get(f"{COWBOYS}/{name}")["spec"]["intent"]
    return found


def test_etcd_and_the_registry_may_be_restarted(stack: ComposeStack) -> None:
    root = stack.root()
    place = root.workspace("before")
    place.create(CONFIG_MAPS, config_map("kept"))
    for service in ("etcd", "registry"):
        (container,) = stack.containers(service)
        stack.restart(container)
        wait_for(partial(_made, root, f"after-{service}"), f"workspaces are made after {service}", seconds=60)
    assert "kept" in place.names(CONFIG_MAPS)
    # Everything is in etcd's volume: all the rest may go and come back.
    stack.compose("down")
    stack.scale(2)
    assert wait_for(lambda: "kept" in place.names(CONFIG_MAPS), "old tokens and objects are still good")


def _made(root: Api, name: str) -> str:
    return root.workspace(name).name
