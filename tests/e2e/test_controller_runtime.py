"""An unmodified manager of controller-runtime on the views of a provider: its cache, its REST mapper, its writes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.e2e.kubeconfig import kubeconfig
from tests.e2e.provider import COWBOYS, Provider, answer, claim, cowboy, schema
from tests.support.api import Api
from tests.support.forms import Platform
from tests.support.informers import Informers
from tests.support.waiting import wait_for

CONSUMERS = 3
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
CLAIM = claim("", "configmaps")


@pytest.fixture
def root(server: Platform, unique: Callable[[str], str]) -> Api:
    """A workspace of this test."""
    return server.root.workspace(unique("org"))


@pytest.fixture
def provider(root: Api) -> Provider:
    return Provider.install(root.workspace("provider"), schema(), permissionClaims=[CLAIM])


@pytest.fixture
def config(server: Platform, provider: Provider, tmp_path: Path) -> Path:
    path = tmp_path / "provider.kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig(server, provider.api)))
    return path


def test_a_controller_writes_the_status_in_every_consumer(
    root: Api, provider: Provider, config: Path, controller_binary: Path
) -> None:
    consumers = [provider.bind(root.workspace(f"consumer-{number}")) for number in range(CONSUMERS)]
    for number, consumer in enumerate(consumers):
        # The cache of one manager has one object for each namespace and name.
        consumer.create(COWBOYS, cowboy(f"cowboy-{number}", "first"))
    url = provider.url()
    flags = ("-group", "example.com", "-kind", "Cowboy", "-field", "spec.intent", "-copy-to", "status.result")
    with Informers(controller_binary, config, "-url", f"{url}/clusters/*", *flags) as controller:
        keys = [f"{consumer.name}|default/cowboy-{number}" for number, consumer in enumerate(consumers)]
        wait_for(lambda: controller.caches() == dict.fromkeys(keys, "first"), "all objects are in the cache")
        # A write goes to a consumer, not to all: client-go's path of `*` with a namespace is no place to write at.
        assert controller.of("reconciled") == []
    for number, consumer in enumerate(consumers):
        with Informers(controller_binary, config, "-url", f"{url}/clusters/{consumer.name}", *flags) as controller:
            key, path = f"{consumer.name}|default/cowboy-{number}", f"{COWBOYS}/cowboy-{number}"
            _has_result(consumer, path, "first")
            consumer.patch(path, {"spec": {"intent": "second"}})
            _has_result(consumer, path, "second")
            assert {event["object"] for event in controller.of("reconciled")} == {key}
            consumer.delete(path)
            wait_for(partial(controller.of, "gone"), "the deletion is seen")
            assert controller.of("refused") == []
            assert [each["value"] for each in controller.requests if each["value"] != "200 OK"] == []


def _has_result(consumer: Api, path: str, result: str) -> None:
    wait_for(lambda: consumer.get(path).get("status") == {"result": result}, "the status follows the spec")


def test_a_controller_writes_claimed_objects(root: Api, provider: Provider, config: Path, controller_binary: Path) -> None:
    consumer = root.workspace("consumer")
    provider.bind(consumer, answer(CLAIM))
    consumer.create(CONFIG_MAPS, {"metadata": {"name": "settings"}, "data": {"wanted": "a"}})
    url = provider.url()
    flags = ("-kind", "ConfigMap", "-field", "data.wanted", "-copy-to", "data.seen")
    with Informers(controller_binary, config, "-url", f"{url}/clusters/{consumer.name}", *flags) as controller:
        wait_for(lambda: consumer.get(f"{CONFIG_MAPS}/settings")["data"] == {"wanted": "a", "seen": "a"}, "the data is written")
        assert f"{consumer.name}|default/settings" in controller.caches()
