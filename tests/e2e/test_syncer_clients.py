"""Controllers of others on the view of a SyncTarget: client-go's informers, a manager of controller-runtime, and kopf."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tenantry_syncer.names import SPEC_DIFF_PREFIX
from tests.e2e.people import Person
from tests.e2e.provider import COWBOYS, GROUP, Provider, cowboy, schema
from tests.e2e.syncing import Story, accepting, kubeconfig
from tests.support import kopf
from tests.support.api import WORKSPACES, Api
from tests.support.informers import Informers
from tests.support.waiting import wait_for

pytestmark = pytest.mark.views


@pytest.fixture
def accepted(place: Api, person: Callable[[], Person]) -> Story:
    return accepting(place, place.workspace("below"), person())


@pytest.fixture
def url(accepted: Story) -> str:
    """The URL of the range of the tenant."""
    return accepted.url()


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


def finalizers(of: Story, name: str) -> list[str]:
    found: list[str] = of.tenant.get(f"{COWBOYS}/{name}")["metadata"].get("finalizers") or []
    return found


@pytest.fixture
def on_kopf(place: Api, person: Callable[[], Person]) -> Story:
    """With room in the status of cowboys for what kopf keeps."""
    cowboys = schema()
    fields = cowboys["spec"]["versions"][0]["schema"]["properties"]["status"]["properties"]
    fields["kopf"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return accepting(place, place.workspace("below"), person(), cowboys)


def operator(of: Story, cluster: str, program: Path, folder: Path, **environment: str) -> kopf.Operator:
    config = kubeconfig(folder / "kopf.kubeconfig", f"{of.url()}/clusters/{cluster}", of.syncer.token, str(of.home.ca))
    return kopf.Operator(program, config, kopf.SYNCER, **environment)


def test_an_operator_on_kopf_syncs_a_workspace(on_kopf: Story, kopf_program: Path, tmp_path: Path) -> None:
    """It writes the status and the finalizer of the SyncTarget, and keeps what it knows in the status."""
    tenant, finalizer = on_kopf.tenant, on_kopf.target.finalizer
    on_kopf.create("joe")
    with operator(on_kopf, tenant.name, kopf_program, tmp_path, FINALIZER=finalizer) as running:
        running.told("create", tenant.name, "joe", "ride")
        wait_for(lambda: on_kopf.result_above("joe") == "ride", "the status is above")
        assert finalizers(on_kopf, "joe") == [finalizer]
        tenant.patch(f"{COWBOYS}/joe", {"spec": {"intent": "rest"}})
        running.told("update", tenant.name, "joe", "rest")
        wait_for(lambda: on_kopf.result_above("joe") == "rest", "the status follows")
        tenant.patch(f"{COWBOYS}/joe", {"metadata": {"labels": dict.fromkeys(on_kopf.labels())}})
        running.told("delete", tenant.name, "joe", "rest")
        wait_for(lambda: finalizers(on_kopf, "joe") == [], "joe is given back")
        on_kopf.create("jim")
        running.told("create", tenant.name, "jim", "ride")
        wait_for(lambda: finalizers(on_kopf, "jim") == [finalizer], "jim is held")
        tenant.delete(f"{COWBOYS}/jim")
        running.told("delete", tenant.name, "jim", "ride")
        wait_for(lambda: tenant.status_of("GET", f"{COWBOYS}/jim") == 404, "jim is gone")
    handled = [line for line in running.lines if not str(line[0]).startswith("seen")]
    assert [(kind, name) for kind, _, name, _ in handled] == [
        ("create", "joe"), ("update", "joe"), ("delete", "joe"), ("create", "jim"), ("delete", "jim"),
    ], handled  # fmt: skip
    assert "Traceback" not in running.log, running.log


def test_what_an_operator_on_kopf_may_not_write_does_not_end_it(on_kopf: Story, kopf_program: Path, tmp_path: Path) -> None:
    """By default kopf writes annotations of its own, which are refused."""
    tenant = on_kopf.tenant
    on_kopf.create("joe")
    with operator(on_kopf, tenant.name, kopf_program, tmp_path) as running:
        running.told("seen None", tenant.name, "joe", "ride")
        wait_for(lambda: "a syncer may change the status, its finalizer" in running.log, "the refusal is logged")
        on_kopf.create("jim")
        running.told("seen ADDED", tenant.name, "jim", "ride")
        tenant.delete(f"{COWBOYS}/jim")
        running.told("seen DELETED", tenant.name, "jim", "ride")
    assert finalizers(on_kopf, "joe") == []


def test_an_operator_on_kopf_over_all_workspaces(on_kopf: Story, place: Api, kopf_program: Path, tmp_path: Path) -> None:
    """It is told of all of them, and cannot write: an object is written in its workspace."""
    provider = Provider(place.cluster(place.get(f"{WORKSPACES}/provider")["spec"]["cluster"]), "cowboys")
    tenants = [on_kopf.tenant, provider.bind(place.workspace("second"))]
    for tenant in tenants:
        tenant.create(COWBOYS, cowboy("joe", labels=on_kopf.labels()))
    with operator(on_kopf, "*", kopf_program, tmp_path, FINALIZER=on_kopf.target.finalizer) as running:
        for tenant in tenants:
            running.told("seen None", tenant.name, "joe", "ride")
        refusal = f'patch is not supported on resources of kind "cowboys.{GROUP}" in the `*` logical cluster'
        wait_for(lambda: refusal in running.log, "the refusal is logged")
        for tenant in tenants:
            tenant.create(COWBOYS, cowboy("jim", "rest", labels=on_kopf.labels()))
            running.told("seen ADDED", tenant.name, "jim", "rest")
            tenant.delete(f"{COWBOYS}/jim")
            running.told("seen DELETED", tenant.name, "jim", "rest")
    assert all(tenant.get(f"{COWBOYS}/joe")["metadata"].get("finalizers") is None for tenant in tenants)
