"""Shards that die, leave, freeze and are cut off, as their clients see it through the gateway."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from statistics import median

import pytest
import urllib3

from tests.support.api import Answer, Api, config_map
from tests.support.fleet import Fleet, Shard
from tests.support.pace import stretch
from tests.support.waiting import wait_for

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
TAKE_OVER_SECONDS_MAX = 5.0
TAKE_OVER_MEDIAN_SECONDS_MAX = 3.0
KILLS = 7


@pytest.fixture(scope="module")
def tenants(platform: Fleet) -> list[Api]:
    """Workspaces in several ranges, of several shards."""
    made = [platform.root.workspace(f"tenant-{number}") for number in range(6)]
    assert len({platform.range_of(api.name).name for api in made}) >= 3
    return made


@pytest.fixture(autouse=True)
def whole(platform: Fleet) -> Iterator[None]:
    """Every test begins and ends with three shards that serve."""
    platform.placed()
    yield
    for shard in platform.shards.values():
        if not shard.running:
            platform.restart(shard)
    wait_for(lambda: len(platform.living()) == 3, "three shards live")
    platform.placed()


class Writer:
    """Writes objects one after the other, each with a new name, until it is stopped. `acknowledged`: the names of those that were
    created for sure; `unsure`: of those whose answer said, or left open, that they may be."""

    def __init__(self, api: Api, prefix: str) -> None:
        self.api = api
        self.acknowledged: list[str] = []
        self.unsure: list[str] = []
        self.refused: list[Answer] = []
        self.longest_seconds = 0.0
        self._prefix = prefix
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"{self._prefix}-{number}"
            began = time.monotonic()
            try:
                answer = self.api.request("POST", CONFIG_MAPS, config_map(name))
            except urllib3.exceptions.HTTPError:
                self.unsure.append(name)
            else:
                if answer.status == 201:
                    self.acknowledged.append(name)
                    self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
                elif answer.status in (502, 504):
                    self.unsure.append(name)
                else:
                    self.refused.append(answer)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """All that was acknowledged is there, and nothing else but what may be."""
        found = {name for name in self.api.names(CONFIG_MAPS) if name.startswith(f"{self._prefix}-")}
        assert set(self.acknowledged) <= found, "acknowledged writes are lost"
        assert found <= {*self.acknowledged, *self.unsure}, "writes that were refused took place"


def enough(writer: Writer) -> bool:
    return len(writer.acknowledged) > 5


def served_again(api: Api, since: float) -> float:
    """The seconds until a write is acknowledged."""
    wait_for(lambda: api.request("POST", CONFIG_MAPS, config_map(f"again-{time.monotonic_ns()}")).status == 201, "served again")
    return time.monotonic() - since


@contextmanager
def frozen(shard: Shard) -> Iterator[None]:
    shard.freeze()
    try:
        yield
    finally:
        shard.thaw()


@contextmanager
def cut_off(shard: Shard) -> Iterator[None]:
    shard.link.cut()
    try:
        yield
    finally:
        shard.link.heal()


def test_workspaces_are_spread_over_shards(platform: Fleet, tenants: list[Api]) -> None:
    assert len({platform.owner(api.name).name for api in tenants}) == 3
    for api in tenants:
        api.create(CONFIG_MAPS, config_map("first"))
        assert "first" in api.names(CONFIG_MAPS)


def test_any_shard_serves_any_tenant(platform: Fleet, tenants: list[Api]) -> None:
    """Asked past the gateway, a shard passes a request on to the owner, a watch too."""
    api = tenants[0]
    api.create(CONFIG_MAPS, config_map("elsewhere"))
    for shard in platform.shards.values():
        there = platform.api(api.name, through=shard.url)
        assert "elsewhere" in there.names(CONFIG_MAPS)
        with there.watch(CONFIG_MAPS) as watch:
            watch.until(lambda event: event["object"]["metadata"]["name"] == "elsewhere")


def test_identity_headers_count_from_the_platforms_processes_alone(platform: Fleet, tenants: list[Api]) -> None:
    forged = {"X-Remote-User": "somebody", "X-Remote-Group": "system:masters"}
    for url in (platform.url, *(shard.url for shard in platform.shards.values())):
        nobody = platform.api(tenants[0].name, through=url).caller("")
        assert nobody.status_of("GET", CONFIG_MAPS, headers=forged) == 403


def test_killed_owners_are_replaced_within_seconds(platform: Fleet, tenants: list[Api]) -> None:
    seconds = []
    for kill in range(KILLS):
        api = tenants[kill % len(tenants)]
        owner = platform.owner(api.name)
        with Writer(api, f"kill-{kill}") as writer:
            wait_for(partial(enough, writer), "writes before")
            began = time.monotonic()
            owner.kill()
            seconds.append(served_again(api, began))
        writer.check()
        assert platform.owner(api.name) is not owner
        platform.restart(owner)
        platform.placed()
    assert median(seconds) <= TAKE_OVER_MEDIAN_SECONDS_MAX * stretch(), seconds
    assert max(seconds) <= TAKE_OVER_SECONDS_MAX * stretch(), seconds


def test_owner_that_leaves_hands_over_without_a_loss(platform: Fleet, tenants: list[Api]) -> None:
    api = tenants[2]
    owner = platform.owner(api.name)
    with Writer(api, "leave") as writer:
        wait_for(lambda: len(writer.acknowledged) > 5, "writes before")
        assert owner.stop() == 0
        wait_for(lambda: not platform.owned_by(owner), "the map shows that it owns nothing")
        count = len(writer.acknowledged)
        wait_for(lambda: len(writer.acknowledged) > count + 5, "writes after")
    writer.check()
    assert not writer.unsure and not writer.refused, (writer.unsure, [answer.text for answer in writer.refused[:3]])
    # etcd had no lease to wait for.
    assert writer.longest_seconds < 2.0 * stretch()


@pytest.mark.parametrize("fault", [frozen, cut_off])
def test_owner_that_was_away_commits_nothing_and_answers_nothing_stale(
    platform: Fleet, tenants: list[Api], fault: Callable[[Shard], AbstractContextManager[None]]
) -> None:
    api = tenants[3]
    owner = platform.owner(api.name)
    name = fault.__name__.replace("_", "-")
    api.create(CONFIG_MAPS, config_map(name, {"value": "before"}))
    past_the_gateway = platform.api(api.name, through=owner.url)
    stop = threading.Event()
    stale: list[str] = []
    after = threading.Event()

    def read() -> None:
        while not stop.is_set():
            written = after.is_set()
            try:
                answer = past_the_gateway.request("GET", f"{CONFIG_MAPS}/{name}", timeout=2.0)
            except urllib3.exceptions.HTTPError:
                continue
            if written and answer.status == 200 and answer.object["data"] != {"value": "after"}:
                stale.append(answer.text)

    readers = [threading.Thread(target=read, daemon=True) for _ in range(4)]
    for reader in readers:
        reader.start()
    with Writer(api, f"away-{name}") as writer:
        wait_for(lambda: len(writer.acknowledged) > 5, "writes before")
        with fault(owner):
            began = time.monotonic()
            wait_for(lambda: platform.range_of(api.name).shard not in ("", owner.name), "another shard owns the range")
            assert served_again(api, began) <= TAKE_OVER_SECONDS_MAX * stretch()
            api.put(f"{CONFIG_MAPS}/{name}", config_map(name, {"value": "after"}))
            after.set()
        wait_for(lambda: len(platform.living()) == 3, "the old owner is back")
        count = len(writer.acknowledged)
        wait_for(lambda: len(writer.acknowledged) > count + 5, "writes after")
    stop.set()
    for reader in readers:
        reader.join()
    assert not stale
    writer.check()


@pytest.mark.parametrize("end", [Shard.kill, Shard.stop])
def test_watch_goes_on_where_it_was(platform: Fleet, tenants: list[Api], end: Callable[[Shard], object]) -> None:
    """The same resourceVersion, another shard: every event once, and no 410."""
    api = tenants[4]
    owner = platform.owner(api.name)
    before = api.get(CONFIG_MAPS)["metadata"]["resourceVersion"]
    names = [f"seen-{end.__name__}-{number}" for number in range(3)]
    for name in names[:2]:
        api.create(CONFIG_MAPS, config_map(name))
    with api.watch(CONFIG_MAPS, resourceVersion=before) as watch:
        (first,) = watch.until(lambda event: True)
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", names[0])
    end(owner)
    wait_for(lambda: api.status_of("POST", CONFIG_MAPS, config_map(names[2])) in (201, 409), "served again")
    with api.watch(CONFIG_MAPS, resourceVersion=first["object"]["metadata"]["resourceVersion"]) as watch:
        events = watch.until(lambda event: event["object"]["metadata"].get("name") == names[2])
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [("ADDED", name) for name in names[1:]]


def test_watch_of_a_range_that_leaves_ends_with_a_bookmark(platform: Fleet, tenants: list[Api]) -> None:
    api = tenants[5]
    owner = platform.owner(api.name)
    with api.watch(CONFIG_MAPS, allowWatchBookmarks=True) as watch:
        api.create(CONFIG_MAPS, config_map("while-watched"))
        owner.signal(signal.SIGTERM)
        events = list(watch)
    assert owner.wait() == 0
    assert [event["type"] for event in events][-1] == "BOOKMARK"
    last = int(events[-1]["object"]["metadata"]["resourceVersion"])
    assert all(int(event["object"]["metadata"]["resourceVersion"]) <= last for event in events)


def test_owners_stay_while_etcd_is_away(platform: Fleet, tenants: list[Api]) -> None:
    """Longer than sessions live: nothing is acknowledged meanwhile, nothing is served that is not proved, and nothing moves."""
    api = tenants[0]
    before = {info.name: info.generation for info in platform.ranges()}
    with Writer(api, "without-etcd") as writer:
        wait_for(lambda: len(writer.acknowledged) > 5, "writes before")
        platform.etcd.kill()
        wait_for(lambda: api.status_of("GET", CONFIG_MAPS) == 503, "reads are refused")
        platform.etcd.start()
        count = len(writer.acknowledged)
        wait_for(lambda: len(writer.acknowledged) > count + 5, "writes after")
    writer.check()
    assert {info.name: info.generation for info in platform.ranges()} == before
