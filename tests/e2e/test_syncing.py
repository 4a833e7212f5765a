"""`tenantry-sync` between two servers, killed at every request that changes something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.hostile import kube_apiserver
from tests.e2e.people import Person
from tests.e2e.provider import COWBOYS
from tests.e2e.syncing import Between, Story, story
from tests.support.api import Api
from tests.support.forms import ONE_PROCESS, Platform, platform
from tests.support.holding_proxy import AFTER, BEFORE
from tests.support.tools import missing
from tests.support.waiting import wait_for

TENANTRY, KUBERNETES = "tenantry", "kubernetes"


@pytest.fixture(scope="module", params=[TENANTRY, pytest.param(KUBERNETES, marks=pytest.mark.client)])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Api]]:
    """Makes another API server, or a workspace of one: as its administrator."""
    folder = tmp_path_factory.mktemp("below")
    tokens = folder / "tokens.csv"
    tokens.write_text('admin-below,admin-below,1,"system:masters"\n')
    if request.param == TENANTRY:
        with platform(ONE_PROCESS, folder, token_file=tokens) as second:
            names = iter(range(1000))
            yield lambda: second.root.workspace(f"below-{next(names)}")
        return
    if (why := kube_apiserver.missing()) is not None:
        missing(why)
    with kube_apiserver.kube_apiserver(folder, tokens) as kubernetes:
        yield lambda: Api(kubernetes.url, str(kubernetes.ca), "admin-below")


@pytest.fixture
def synced(place: Api, other: Callable[[], Api], person: Callable[[], Person]) -> Story:
    return story(place, other(), person())


@pytest.fixture
def between(synced: Story, server: Platform, tmp_path: Path) -> Iterator[Between]:
    with Between(synced, tmp_path, server.url) as made:
        yield made


def test_down_and_up(synced: Story, between: Between) -> None:
    agent = between.agent().start()
    wait_for(synced.ready, "the SyncTarget is Ready")
    resources = synced.sync_target()["status"]["syncedResources"]
    assert [(each["resource"], each["state"]) for each in resources] == [("cowboys", "Accepted")]
    synced.create("joe")
    synced.synced("joe")
    synced.report("joe", "rode")
    wait_for(lambda: synced.result_above("joe") == "rode", "the status is above")
    synced.tenant.patch(f"{COWBOYS}/joe", {"spec": {"intent": "rest"}})
    synced.synced("joe", "rest")
    assert synced.result_above("joe") == "rode"
    synced.below.patch(f"{synced.cowboys_below}/joe", {"spec": {"intent": "drift"}})
    synced.synced("joe", "rest")
    synced.tenant.delete(f"{COWBOYS}/joe")
    wait_for(lambda: synced.gone("joe"), "joe is gone above and below")
    assert agent.stop() == 0
