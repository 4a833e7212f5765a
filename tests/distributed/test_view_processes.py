"""Views in processes of their own that crash, hang, move and come back: only their own requests notice, and informers do not."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.provider import COWBOYS, Provider, cowboy, schema
from tests.support.api import CONFIG_MAPS, PATCHES, WORKSPACES, Api, config_map
from tests.support.commands import tenantry
from tests.support.fleet import Fleet, Process
from tests.support.informers import Informers
from tests.support.pace import stretch
from tests.support.waiting import wait_for

ANSWER_SECONDS = 1.0
PERSONAL = "/services/workspaces/root/apis/tenancy.kcp.io/v1alpha1/workspaces"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    flags = {"gateway": ("--view-answer-seconds", str(ANSWER_SECONDS)), "views": ("--session-ttl-seconds", "2")}
    with Fleet(gateways=2, shards=2, flags=flags) as running:
        yield running


@pytest.fixture
def views(fleet: Fleet) -> Iterator[Process]:
    process = fleet.add_views("views-1")
    yield process
    if process.running:
        process.thaw()
        process.kill()
    fleet.views.remove(process)
    wait_for(lambda: not processes(fleet), "no process of views lives")
    for view in names(fleet):
        command(fleet, "forget", view)
    wait_for(lambda: served(fleet).status_of("GET", PERSONAL) == 200, "shards serve the views again")


def served(fleet: Fleet) -> Api:
    return Api(fleet.url, str(fleet.ca), fleet.token())


def command(fleet: Fleet, *arguments: str, fails: bool = False) -> str:
    addresses = ("--root-directory", str(fleet.access), "--registry", fleet.registry_addresses[0])
    return tenantry("views", *arguments, *addresses, fails=fails).printed


def names(fleet: Fleet) -> set[str]:
    return {row["view"] for row in json.loads(command(fleet, "list", "-o", "json"))}


def processes(fleet: Fleet) -> set[str]:
    return {row["process"] for row in json.loads(command(fleet, "list", "-o", "json"))} - {""}


def shards_are_well(fleet: Fleet) -> None:
    for shard in fleet.shards.values():
        with urllib.request.urlopen(shard.metrics_url.replace("/metrics", "/readyz"), timeout=30) as answer:
            assert answer.status == 200
    began = time.monotonic()
    place = fleet.api("root")
    place.names(WORKSPACES)
    place.create(CONFIG_MAPS, config_map(f"beside-{time.monotonic_ns()}"))
    assert time.monotonic() - began < ANSWER_SECONDS * stretch(), "they wait for no view"


def refused(api: Api) -> float:
    """How long a request took that got 503 and was asked to come again."""
    began = time.monotonic()
    answer = api.request("GET", PERSONAL)
    assert (answer.status, answer.headers.get("Retry-After")) == (503, "1"), answer
    return time.monotonic() - began


def test_after_a_crash_requests_wait_for_the_process_and_not_for_shards(fleet: Fleet, views: Process) -> None:
    api = served(fleet)
    assert api.status_of("GET", PERSONAL) == 200
    views.kill()
    wait_for(lambda: api.status_of("GET", PERSONAL) == 503, "the process is known to have ended")
    assert refused(api) < ANSWER_SECONDS * stretch()
    shards_are_well(fleet)
    wait_for(lambda: processes(fleet) == set(), "its registration has ended")
    refused(api)
    assert "no process" in command(fleet, "list")
    fleet.restart(views)
    wait_for(lambda: api.status_of("GET", PERSONAL) == 200, "it serves again")
    assert processes(fleet) == {"views-1"}
    command(fleet, "forget", "workspaces", fails=True)


def test_a_process_that_hangs_is_not_waited_for(fleet: Fleet, views: Process) -> None:
    api = served(fleet)
    assert api.status_of("GET", PERSONAL) == 200
    views.freeze()
    assert refused(api) < 5 * ANSWER_SECONDS * stretch()
    assert refused(api) < ANSWER_SECONDS * stretch(), "the next one does not wait"
    shards_are_well(fleet)
    views.thaw()
    wait_for(lambda: api.status_of("GET", PERSONAL) == 200, "it serves again")


def test_another_process_takes_over(fleet: Fleet, views: Process) -> None:
    second = fleet.add_views("views-2")
    try:
        api = served(fleet)
        wait_for(lambda: processes(fleet) == {"views-1", "views-2"}, "both are registered")
        assert api.status_of("GET", PERSONAL) == 200
        views.kill()
        assert [api.status_of("GET", PERSONAL) for _ in range(20)] == [200] * 20
        fleet.restart(views)
        second.kill()
        assert [api.status_of("GET", PERSONAL) for _ in range(20)] == [200] * 20
    finally:
        second.kill()
        fleet.views.remove(second)


def test_informers_do_not_notice_that_a_view_moves(fleet: Fleet, informers_binary: Path, tmp_path: Path) -> None:
    provider = Provider.install(fleet.root.workspace("provider"), schema())
    consumer = provider.bind(fleet.root.workspace("consumer"))
    consumer.create(COWBOYS, cowboy("one", "start"))
    config = tmp_path / "provider.kubeconfig"
    config.write_text(yaml.safe_dump(kubeconfig(fleet, provider)))
    key = f"{consumer.name}|default/one"
    written: list[str] = []

    def write(value: str) -> None:
        written.append(value)
        change = {"spec": {"intent": value}}
        wait_for(
            lambda: consumer.request("PATCH", f"{COWBOYS}/one", change, content_type=PATCHES["merge"]).status == 200,
            f"{value} is written",
        )
        wait_for(lambda: informers.caches() == {key: value}, f"the caches show {value}", 60)

    with Informers(informers_binary, config) as informers:
        wait_for(lambda: informers.caches() == {key: "start"}, "the object is in the cache")
        seen = len(informers.events)
        lists = sum(request["event"] == "list" for request in informers.requests)
        write("in")
        views = fleet.add_views("moving-1")
        # Watches that began at shards go on there; this cuts them off.
        fleet.gateways[0].kill()
        fleet.restart(fleet.gateways[0])
        write("out")
        write("still-out")
        other = fleet.add_views("moving-2")
        assert views.stop() == 0
        fleet.views.remove(views)
        write("in-the-other-process")
        assert other.stop() == 0
        fleet.views.remove(other)
        write("in-again")
        assert names(fleet) == set(), "shards serve the views again"
        assert sum(request["event"] == "list" for request in informers.requests) == lists, informers.requests
        assert [(event["event"], event["value"]) for event in informers.events[seen:]] == [("update", value) for value in written]


def kubeconfig(fleet: Fleet, provider: Provider) -> object:
    document = yaml.safe_load(fleet.kubeconfig.read_text())
    document["current-context"] = "shard-base"
    for cluster in document["clusters"]:
        if cluster["name"] == "base":
            cluster["cluster"]["server"] = f"{fleet.urls[1]}/clusters/{provider.api.name}"
    return document


def test_a_process_that_stops_in_order_gives_its_views_back(fleet: Fleet, views: Process) -> None:
    views.signal(signal.SIGTERM)
    assert views.wait() == 0
    wait_for(lambda: served(fleet).status_of("GET", PERSONAL) == 200, "shards serve the views again")
    assert names(fleet) == set()


def test_a_process_that_does_not_reach_the_store_serves_nothing_old(fleet: Fleet, views: Process) -> None:
    api = served(fleet)
    assert api.status_of("GET", PERSONAL) == 200
    views.link.cut()
    assert api.status_of("GET", PERSONAL) == 503
    shards_are_well(fleet)
    wait_for(lambda: not ready(views), "it says that it is not ready")
    views.link.heal()
    wait_for(lambda: api.status_of("GET", PERSONAL) == 200, "it serves again")
    wait_for(lambda: ready(views), "it is ready")


def test_who_may_not_know_learns_of_no_range(fleet: Fleet, views: Process) -> None:
    for name, known in (("root", 200), ("nothing", 404)):
        path = f"/ranges/{name}{PERSONAL}"
        assert served(fleet).status_of("GET", path) == known
        assert Api(fleet.url, str(fleet.ca)).status_of("GET", path) == 403


def ready(process: Process) -> bool:
    try:
        with urllib.request.urlopen(process.metrics_url.replace("/metrics", "/readyz"), timeout=30) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
