"""Controllers of others on the view of a SyncTarget: client-go's informers, and a manager of controller-runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tenantry_syncer.names import SPEC_DIFF_PREFIX
from tests.e2e.people import Person
from tests.e2e.provider import COWBOYS, GROUP
from tests.e2e.syncing import SYNC_TARGETS, Story, kubeconfig, story
from tests.support.api import API_BINDINGS, Api
from tests.support.informers import Informers
from tests.support.waiting import wait_for

pytestmark = pytest.mark.views


@pytest.fixture
def accepted(place: Api, person: Callable[[], Person]) -> Story:
    """A SyncTarget that accepts cowboys, without an agent."""
    made = story(place, place.workspace("below"), person())
    (bound,) = made.home.get(f"{API_BINDINGS}/cowboys")["status"]["boundResources"]
    resource = {"group": GROUP, "resource": "cowboys", "versions": ["v1"], "state": "Accepted"}
    resource["identityHash"] = bound["schema"]["identityHash"]
    made.home.patch(f"{SYNC_TARGETS}/edge/status", {"status": {"syncedResources": [resource]}})
    return made


@pytest.fixture
def url(accepted: Story, tmp_path: Path) -> str:
    """The URL of the range of the tenant."""

    def look() -> str:
        urls = (accepted.sync_target().get("status") or {}).get("virtualWorkspaces") or ()
        for entry in urls:
            found: str = entry["syncerURL"]
            api = accepted.home.caller(accepted.syncer.token).at(f"{found}/clusters/{accepted.tenant.name}")
            if api.status_of("GET", COWBOYS) == 200:
                return found
        return ""

    return wait_for(look, "the view serves cowboys")


@pytest.fixture
def config(accepted: Story, url: str, tmp_path: Path) -> Path:
    return kubeconfig(tmp_path / "syncer.kubeconfig", url, accepted.syncer.token, str(accepted.home.ca))


@pytest.mark.client
def test_informers(accepted: Story, url: str, config: Path, informers_binary: Path) -> None:
    """An object comes with its label and goes with it, and is shown as it is for this SyncTarget."""
    flags = ("-url", f"{url}/clusters/*", "-group", GROUP, "-version", "v1", "-resource", "cowboys", "-field", "spec.intent")
    diff = json.dumps([{"op": "replace", "path": "/intent", "value": "edge"}])
    key = f"{accepted.tenant.name}|default/joe"
    with Informers(informers_binary, config, *flags) as informers:
        accepted.create("joe")
        wait_for(lambda: informers.caches() == {key: "ride"})
        accepted.tenant.patch(f"{COWBOYS}/joe", {"metadata": {"annotations": {SPEC_DIFF_PREFIX + accepted.target.key: diff}}})
        wait_for(lambda: informers.caches() == {key: "edge"})
        assert accepted.tenant.get(f"{COWBOYS}/joe")["spec"] == {"intent": "ride"}
        accepted.tenant.patch(f"{COWBOYS}/joe", {"metadata": {"labels": dict.fromkeys(accepted.labels())}})
        wait_for(lambda: informers.caches() == {})


@pytest.mark.client
def test_a_manager_writes_the_status(accepted: Story, url: str, config: Path, controller_binary: Path) -> None:
    accepted.create("joe")
    flags = ("-group", GROUP, "-kind", "Cowboy", "-field", "spec.intent", "-copy-to", "status.result")
    with Informers(controller_binary, config, "-url", f"{url}/clusters/{accepted.tenant.name}", *flags) as controller:
        wait_for(lambda: accepted.result_above("joe") == "ride", "the status is above")
        accepted.tenant.patch(f"{COWBOYS}/joe", {"spec": {"intent": "rest"}})
        wait_for(lambda: accepted.result_above("joe") == "rest", "the status follows")
        assert controller.of("refused") == []
