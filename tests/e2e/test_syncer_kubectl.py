"""kubectl on the views of a SyncTarget."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tenantry_syncer.names import CONFLICT_PREFIX, STATE_LABEL_PREFIX
from tests.e2e.people import ACCESS, Person, grant, rule
from tests.e2e.provider import COWBOYS, GROUP, cowboy
from tests.e2e.syncing import Story, accepting, kubeconfig
from tests.support.api import CONFIG_MAPS, Api
from tests.support.tools import kubectls, program

pytestmark = pytest.mark.views


@dataclass(frozen=True)
class Kubectl:
    """kubectl as the syncer, on a view at a workspace or at all of them."""

    config: Path
    cache: Path
    url: str

    def command(self, cluster: str, *arguments: str) -> list[str]:
        path = (kubectls() or [program("kubectl", "it comes with kubernetes-client")])[-1]
        given = ["--kubeconfig", str(self.config), "--cache-dir", str(self.cache), "--server", f"{self.url}/clusters/{cluster}"]
        return [path, *given, *arguments]

    def __call__(self, cluster: str, *arguments: str, stdin: str | None = None, fails: bool = False) -> str:
        """Standard output; with `fails`, of a command that must not succeed, standard error."""
        command = self.command(cluster, *arguments)
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=150, check=False)
        assert (done.returncode != 0) is fails, f"kubectl {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stderr if fails else done.stdout


@pytest.fixture
def accepted(place: Api, person: Callable[[], Person]) -> Story:
    return accepting(place, place.workspace("below"), person())


def kubectl(of: Story, folder: Path, view: str = "syncer") -> Kubectl:
    url = of.url(view)
    return Kubectl(kubeconfig(folder / f"{view}.kubeconfig", url, of.syncer.token, str(of.home.ca)), folder / view, url)


def test_what_is_read(accepted: Story, tmp_path: Path) -> None:
    run, tenant = kubectl(accepted, tmp_path), accepted.tenant
    for name in ("joe", "jim"):
        accepted.create(name)
    tenant.create(COWBOYS, cowboy("stranger"))
    accepted.home.create(COWBOYS, cowboy("ann", "home", labels={**accepted.labels(), "where": "home"}))
    for cluster in ("*", tenant.name):
        names = run(cluster, "api-resources", "--no-headers", "-o", "name").split()
        assert names == ["configmaps", "namespaces", "secrets", "serviceaccounts", f"cowboys.{GROUP}"]
        explained = run(cluster, "explain", "cowboys.spec")
        assert "intent" in explained and GROUP in explained
    lines = run("*", "get", "cowboys", "-A").splitlines()
    assert lines[0].split() == ["NAMESPACE", "NAME", "AGE"]
    assert sorted(line.split()[1] for line in lines[1:]) == ["ann", "jim", "joe"]
    shown = yaml.safe_load(run("*", "get", "cowboys", "-A", "-o", "yaml"))["items"]
    where = {item["metadata"]["name"]: item["metadata"]["annotations"]["kcp.io/cluster"] for item in shown}
    assert where == {"ann": accepted.home.name, "jim": tenant.name, "joe": tenant.name}
    assert run("*", "get", "cowboys", "-A", "-l", "where=home", "-o", "name").split() == [f"cowboy.{GROUP}/ann"]
    assert len(run("*", "get", "cowboys", "-A", "--chunk-size=1", "-o", "name").split()) == 3
    assert sorted(run(tenant.name, "get", "cowboys", "-o", "name").split()) == [f"cowboy.{GROUP}/jim", f"cowboy.{GROUP}/joe"]
    described = run(tenant.name, "describe", "cowboy", "joe")
    assert "Kind:         Cowboy" in described and "Intent:  ride" in described, described
    assert "NotFound" in run(tenant.name, "get", "cowboy", "stranger", fails=True)
    # Objects of several workspaces may have one name.
    refused = run("*", "get", "cowboy", "joe", "-n", "default", fails=True)
    assert f'get is not supported on resources of kind "cowboys.{GROUP}" in the `*` logical cluster' in refused, refused


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_watch(accepted: Story, tmp_path: Path, everywhere: bool) -> None:
    run, tenant = kubectl(accepted, tmp_path), accepted.tenant
    accepted.create("joe")
    where = ("*", "get", "cowboys", "-A") if everywhere else (tenant.name, "get", "cowboys")
    command = run.command(*where, "--watch", "--output-watch-events", "--no-headers")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:

        def told() -> tuple[str, str]:
            """The kind of the next event, and the name."""
            assert process.stdout is not None
            words = process.stdout.readline().split()
            return words[0], words[-2]

        try:
            assert told() == ("ADDED", "joe")
            tenant.patch(f"{COWBOYS}/joe", {"spec": {"intent": "rest"}})
            assert told() == ("MODIFIED", "joe")
            tenant.create(COWBOYS, cowboy("stranger"))
            tenant.patch(f"{COWBOYS}/joe", {"metadata": {"labels": dict.fromkeys(accepted.labels())}})
            assert told() == ("DELETED", "joe")
        finally:
            process.terminate()


def test_what_a_syncer_writes(accepted: Story, tmp_path: Path) -> None:
    run, tenant, target = kubectl(accepted, tmp_path), accepted.tenant, accepted.target
    accepted.create("joe")
    of_one = ("patch", "cowboy", "joe", "--type", "merge", "-p")
    run(tenant.name, *of_one, json.dumps({"status": {"result": "rode"}}), "--subresource", "status")
    assert accepted.result_above("joe") == "rode"
    run(tenant.name, *of_one, json.dumps({"metadata": {"finalizers": [target.finalizer]}}))
    run(tenant.name, "annotate", "cowboy", "joe", f"{CONFLICT_PREFIX}{target.key}=busy")
    found = tenant.get(f"{COWBOYS}/joe")["metadata"]
    assert found["finalizers"] == [target.finalizer] and found["annotations"][f"{CONFLICT_PREFIX}{target.key}"] == "busy"
    for refused, field in (
        ((*of_one, json.dumps({"spec": {"intent": "rest"}})), "spec: Forbidden"),
        (("label", "cowboy", "joe", "color=green"), "metadata.labels[color]: Forbidden"),
        (("annotate", "cowboy", "joe", "color=green"), "metadata.annotations[color]: Forbidden"),
    ):
        text = run(tenant.name, *refused, fails=True)
        assert field in text and "a syncer may change the status, its finalizer" in text, text
    assert "MethodNotAllowed" in run(tenant.name, "delete", "cowboy", "joe", fails=True)
    assert "MethodNotAllowed" in run(tenant.name, "create", "-f", "-", stdin=json.dumps(cowboy("new")), fails=True)
    # It gives the object back with its finalizer.
    tenant.delete(f"{COWBOYS}/joe")
    assert yaml.safe_load(run(tenant.name, "get", "cowboy", "joe", "-o", "yaml"))["metadata"]["deletionTimestamp"]
    run(tenant.name, *of_one, json.dumps({"metadata": {"finalizers": None}}))
    assert tenant.status_of("GET", f"{COWBOYS}/joe") == 404


def test_what_an_upsyncer_writes(accepted: Story, tmp_path: Path) -> None:
    run, tenant = kubectl(accepted, tmp_path, "upsyncer"), accepted.tenant
    made = yaml.safe_dump(cowboy("lou", "from below"))
    text = run(tenant.name, "create", "-f", "-", stdin=made, fails=True)
    assert "Forbidden" in text and "cannot create resource" in text, text
    rules = [ACCESS, rule(GROUP, "cowboys", "create"), rule("", "configmaps", "create")]
    grant(tenant, accepted.syncer.subject, *rules, name="upsync")
    assert run(tenant.name, "create", "-f", "-", stdin=made) == f"cowboy.{GROUP}/lou created\n"
    label = STATE_LABEL_PREFIX + accepted.target.key
    assert tenant.get(f"{COWBOYS}/lou")["metadata"]["labels"] == {label: "Upsync"}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"color": "green"}}
    assert run(tenant.name, "apply", "-f", "-", stdin=yaml.safe_dump(settings)) == "configmap/settings created\n"
    settings["data"] = {"color": "blue"}
    assert run(tenant.name, "apply", "-f", "-", stdin=yaml.safe_dump(settings)) == "configmap/settings configured\n"
    assert run(tenant.name, "apply", "-f", "-", stdin=yaml.safe_dump(settings)) == "configmap/settings unchanged\n"
    settings["data"] = {"size": "1"}
    run(tenant.name, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(settings))
    assert tenant.get(f"{CONFIG_MAPS}/settings")["data"]["size"] == "1"
    run(
        tenant.name,
        "patch",
        "cowboy",
        "lou",
        "--type",
        "merge",
        "-p",
        '{"status": {"result": "rode"}}',
        "--subresource",
        "status",
    )
    assert accepted.result_above("lou") == "rode"
    assert run("*", "get", "cowboys", "-A", "-l", f"{label}=Upsync", "-o", "name").split() == [f"cowboy.{GROUP}/lou"]
    text = run(tenant.name, "label", "cowboy", "lou", "--overwrite", f"{label}=Sync", fails=True)
    assert f"metadata.labels[{label}]: Forbidden: must be Upsync" in text, text
    tenant.create(COWBOYS, cowboy("own"))
    assert "NotFound" in run(tenant.name, "delete", "cowboy", "own", fails=True)
    assert "deleted" in run(tenant.name, "delete", "cowboy/lou", "configmap/settings")
    assert tenant.status_of("GET", f"{COWBOYS}/lou") == 404 and tenant.status_of("GET", f"{COWBOYS}/own") == 200
