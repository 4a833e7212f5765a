"""Tenants in ranges of five, on two shards: where they are, what is published, and what a range serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.people import everybody
from tests.e2e.provider import ALL_COWBOYS, COWBOYS, Provider, cowboy, home, schema
from tests.support.api import API_BINDINGS, CONFIG_MAPS, NAMESPACES, SHARDS, WORKSPACES, Api, Object, config_map
from tests.support.commands import tenantry
from tests.support.forms import Platform, platform
from tests.support.waiting import wait_for

pytestmark = pytest.mark.views

CAPACITY = 5
CONSUMERS = 12


@dataclass
class SpreadConsumers:
    server: Platform
    root: Api
    provider: Provider
    consumers: list[Api]
    published: list[list[str]]
    """The URLs after each consumer."""

    def cli(self, *arguments: str, fails: bool = False) -> str:
        """What a `tenantry` command prints; with `fails`, to standard error."""
        done = tenantry(*arguments, "--root-directory", str(self.server.access), fails=fails)
        return done.errors if fails else done.printed

    def data(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.cli(*arguments, "-o", "json"))
        return found

    def shard_object(self, consumer: Api) -> str:
        """The name of the range, as the Workspace tells it."""
        (found,) = (w for w in self.root.items(WORKSPACES) if w["spec"].get("cluster") == consumer.name)
        name: str = found["metadata"]["annotations"]["core.kcp.io/shard"]
        return name

    def tenants(self, url: str) -> set[str]:
        """The clusters that are reached under a URL, told from the bindings there."""
        return {home(b) for b in self.provider.api.at(f"{url}/clusters/*").items(API_BINDINGS)}


@pytest.fixture(scope="module")
def spread(form: str, tmp_path_factory: pytest.TempPathFactory, tokens: Path) -> Iterator[SpreadConsumers]:
    folder = tmp_path_factory.mktemp("ranges")
    with platform(form, folder, shards=2, range_capacity=CAPACITY, token_file=tokens) as server:
        root = server.root
        provider = Provider.install(root.workspace("provider"), schema())
        made = SpreadConsumers(server, root, provider, [], [])
        seen: dict[str, set[str]] = {}
        for number in range(CONSUMERS):
            consumer = provider.bind(root.workspace(f"consumer-{number}"))
            consumer.create(COWBOYS, cowboy(f"cowboy-{number}"))
            made.consumers.append(consumer)
            wait_for(lambda: consumer.name in set().union(*(made.tenants(url) for url in provider.urls())))  # noqa: B023
            made.published.append(provider.urls())
            now = {url: made.tenants(url) for url in provider.urls()}
            for url, tenants in seen.items():
                assert tenants <= now.get(url, set()), f"{url} lost tenants as others came"
            seen = now
        yield made


def test_growth_opens_ranges_and_takes_no_url_away(spread: SpreadConsumers) -> None:
    assert len(spread.published[0]) == 1
    assert len(spread.published[-1]) >= 3
    for before, after in zip(spread.published, spread.published[1:], strict=False):
        assert set(before) <= set(after)


def test_union_of_all_urls_is_every_object_once(spread: SpreadConsumers) -> None:
    found = [
        (home(o), o["metadata"]["name"])
        for url in spread.provider.urls()
        for o in spread.provider.api.at(f"{url}/clusters/*").items(ALL_COWBOYS)
    ]
    assert sorted(found) == sorted((c.name, f"cowboy-{n}") for n, c in enumerate(spread.consumers))


def test_each_url_serves_all_verbs_in_its_own_tenants_alone(spread: SpreadConsumers) -> None:
    for url in spread.provider.urls():
        mine = spread.tenants(url)
        for number, consumer in enumerate(spread.consumers):
            there = spread.provider.api.at(f"{url}/clusters/{consumer.name}")
            answer = there.status_of("GET", f"{COWBOYS}/cowboy-{number}")
            assert (answer == 200) is (consumer.name in mine), (url, consumer.name, answer)
            if consumer.name in mine:
                patched = there.patch(f"{COWBOYS}/cowboy-{number}", {"spec": {"intent": url[-30:]}})
                assert consumer.get(f"{COWBOYS}/cowboy-{number}")["spec"] == patched["spec"]


def test_each_range_is_a_shard_object(spread: SpreadConsumers) -> None:
    shards = {s["metadata"]["name"]: s for s in spread.root.items(SHARDS)}
    ranges = spread.data("ranges")
    assert sorted(shards) == sorted(r["name"] for r in ranges) and "root" in shards
    for name, shard in shards.items():
        url = f"{spread.server.url}/ranges/{name}"
        assert shard["metadata"]["labels"]["name"] == name
        assert (shard["spec"]["baseURL"], shard["spec"]["virtualWorkspaceURL"]) == (url, url)
        assert shard["spec"]["externalURL"] == spread.server.url
    assert {r["shard"] for r in ranges} == set(spread.server.shards), "ranges spread over the shards"
    assert all(r["tenants"] <= r["capacity"] == CAPACITY for r in ranges)


def test_everything_works_wherever_a_tenant_is(spread: SpreadConsumers) -> None:
    for number, consumer in enumerate(spread.consumers):
        by_path = consumer.cluster(f"root:consumer-{number}")
        by_path.create(CONFIG_MAPS, config_map("here"))
        assert consumer.get(f"{CONFIG_MAPS}/here")["metadata"]["annotations"]["kcp.io/cluster"] == consumer.name
        # A child may be in another range than its parent.
        child = by_path.workspace("child")
        assert child.names(NAMESPACES) == ["default", "kube-system"]
        assert child.cluster(f"root:consumer-{number}:child").names(NAMESPACES) == ["default", "kube-system"]
        with child.watch(CONFIG_MAPS) as watch:
            by_path.delete(f"{WORKSPACES}/child")
            watch.until(lambda e: e["type"] == "DELETED")
        by_path.gone(f"{WORKSPACES}/child")


def test_a_range_serves_what_a_kcp_shard_serves(spread: SpreadConsumers) -> None:
    for name in (s["metadata"]["name"] for s in spread.root.items(SHARDS)):
        base = spread.root.at(f"/ranges/{name}")
        for path in ("/livez", "/readyz", "/healthz"):
            assert base.caller("").request("GET", path).text == "ok"
        found = base.get("/clusters/*/api/v1/configmaps")
        mine = {c.name for c in spread.consumers if spread.shard_object(c) == name}
        assert mine <= {home(o) for o in found["items"]}
        assert not {home(o) for o in found["items"]} & ({c.name for c in spread.consumers} - mine)
        cowboys = base.items(f"/clusters/*{ALL_COWBOYS}:{spread.provider.identity}")
        assert {home(o) for o in cowboys} == mine
        assert base.status_of("GET", f"/clusters/*{ALL_COWBOYS}") == 404, "a custom type needs its identity"
        for consumer in spread.consumers:
            expected = 200 if consumer.name in mine else 404
            assert base.status_of("GET", f"/clusters/{consumer.name}{NAMESPACES}") == expected
        somebody = base.caller(everybody()[0].token)
        assert somebody.status_of("GET", "/clusters/*/api/v1/configmaps") == 403
        assert base.caller(spread.server.token("root")).status_of("GET", "/clusters/*/api/v1/configmaps") == 403
        assert base.status_of("POST", "/clusters/*/api/v1/namespaces/default/configmaps", config_map("no")) == 405
    assert spread.root.at("/ranges/nothing").status_of("GET", "/clusters/*/api/v1/configmaps") == 404


def test_wildcard_watch_over_a_range(spread: SpreadConsumers) -> None:
    consumer = spread.consumers[0]
    base = spread.root.at(f"/ranges/{spread.shard_object(consumer)}/clusters/*")
    version = base.get("/api/v1/configmaps")["metadata"]["resourceVersion"]
    with base.watch("/api/v1/configmaps", resourceVersion=version) as watch:
        consumer.create(CONFIG_MAPS, config_map("seen"))
        (event,) = watch.until(lambda e: True)
    assert (event["type"], home(event["object"]), event["object"]["metadata"]["name"]) == ("ADDED", consumer.name, "seen")


def test_selector_chooses_a_range_by_label(spread: SpreadConsumers) -> None:
    wish = {"location": {"selector": {"matchLabels": {"region": "mars"}}}}
    body = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "martian"}, "spec": wish}
    spread.root.create(WORKSPACES, body)

    def conditions() -> dict[str, Object]:
        found = spread.root.get(f"{WORKSPACES}/martian").get("status", {}).get("conditions") or []
        return {c["type"]: c for c in found}

    wait_for(lambda: conditions().get("WorkspaceScheduled", {}).get("reason") == "Unschedulable")
    chosen = spread.shard_object(spread.consumers[-1])
    spread.root.patch(f"{SHARDS}/{chosen}", {"metadata": {"labels": {"region": "mars"}}})
    martian = spread.root.ready("martian")
    assert spread.shard_object(martian) == chosen
    found = spread.root.get(f"{WORKSPACES}/martian")
    assert found["metadata"]["labels"]["region"] == "mars"
    # The gateway that is asked may be another one than showed that the workspace is Ready, and hear of it a moment later.
    resolved = wait_for(lambda: spread.cli("resolve", "root:martian"), "the gateway knows of the workspace")
    assert resolved.splitlines()[1].split()[2] == chosen
    # When that range is full, the next one of the region opens with the same label.
    others = [spread.root.workspace(f"martian-{n}", **wish) for n in range(CAPACITY)]
    places = {spread.shard_object(other) for other in others} | {chosen}
    assert len(places) == 2
    for name in places:
        assert spread.root.get(f"{SHARDS}/{name}")["metadata"]["labels"]["region"] == "mars"


def test_unschedulable_range_gets_no_tenants(spread: SpreadConsumers) -> None:
    (roomy, *_) = (r["name"] for r in spread.data("ranges") if r["tenants"] < CAPACITY)
    spread.root.patch(f"{SHARDS}/{roomy}", {"metadata": {"annotations": {"experimental.core.kcp.io/unschedulable": "true"}}})
    made = [spread.root.workspace(f"elsewhere-{n}") for n in range(2)]
    assert roomy not in {spread.shard_object(m) for m in made}
    spread.root.patch(f"{SHARDS}/{roomy}", {"metadata": {"annotations": {"experimental.core.kcp.io/unschedulable": None}}})


def test_cli(spread: SpreadConsumers) -> None:
    header, *lines = spread.cli("ranges").splitlines()
    assert header.split() == ["NAME", "START", "END", "SHARD", "GENERATION", "TENANTS", "CAPACITY", "URL"]
    assert "root" in [line.split()[0] for line in lines]
    assert yaml.safe_load(spread.cli("ranges", "-o", "yaml")) == spread.data("ranges")

    shards = spread.data("shards")
    assert [s["name"] for s in shards] == spread.server.shards
    assert sorted(r for s in shards for r in s["ranges"]) == sorted(r["name"] for r in spread.data("ranges"))
    assert spread.cli("shards").splitlines()[0].split() == ["NAME", "UID", "URL", "TENANTS", "RANGES", "STATE"]

    consumer = spread.consumers[0]
    by_path, by_id, root = spread.data("resolve", "root:consumer-0", consumer.name, "root")
    assert by_path["cluster"] == by_id["cluster"] == consumer.name
    assert by_path["range"] == by_id["range"] == spread.shard_object(consumer)
    assert by_path["path"] == by_id["path"] == "root:consumer-0"
    assert root["cluster"] == "root" and by_path["url"] == f"{spread.server.url}/clusters/{consumer.name}"
    assert "root:nowhere" in spread.cli("resolve", "root:nowhere", fails=True)
    assert "Traceback" not in spread.cli("resolve", "No Path!", fails=True)

    assert [row["url"] for row in spread.data("urls", "root:provider:cowboys")] == spread.provider.urls()
    assert spread.cli("urls", "root:provider:cowboys").split()[1:] == spread.provider.urls()
    assert "nothing" in spread.cli("urls", "root:provider:nothing", fails=True)
    assert "PATH:EXPORT" in spread.cli("urls", "cowboys", fails=True)


def test_cli_without_a_server_tells_what_to_do(tmp_path: Path) -> None:
    done = tenantry("ranges", "--root-directory", str(tmp_path), fails=True)
    assert done.code == 1
    assert "--root-directory" in done.errors and "Traceback" not in done.errors


def test_a_range_without_consumers_leaves_the_slice(spread: SpreadConsumers) -> None:
    gone = spread.shard_object(spread.consumers[-1])
    for consumer in spread.consumers:
        if spread.shard_object(consumer) == gone:
            consumer.delete(f"{API_BINDINGS}/cowboys")
    wait_for(lambda: all(f"/ranges/{gone}/" not in url for url in spread.provider.urls()))
    assert spread.provider.urls()
    left = {c.name for c in spread.consumers if spread.shard_object(c) != gone}
    assert set().union(*(spread.tenants(url) for url in spread.provider.urls())) == left


def test_another_start_with_more_shards_finds_all(spread: SpreadConsumers) -> None:
    before = spread.data("ranges")
    spread.server.stop()
    root = spread.server.start(more_shards=1).root
    after = spread.data("ranges")
    keep = ("name", "start", "end", "tenants")
    assert [{k: r[k] for k in keep} for r in after] == [{k: r[k] for k in keep} for r in before]
    for number in range(CONSUMERS):
        assert root.cluster(f"root:consumer-{number}").get(f"{CONFIG_MAPS}/here")
    later = [root.workspace(f"later-{n}") for n in range(2 * CAPACITY)]
    assert all(api.names(NAMESPACES) == ["default", "kube-system"] for api in later)
    assert {shard["name"] for shard in spread.data("shards")} == set(spread.server.shards)
