"""The newest kubectl of this machine and two older ones, unmodified, each in a workspace of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import pytest

from tests.support.forms import Platform
from tests.support.tools import kubectls, program


@dataclass
class Kubectl:
    path: str
    kubeconfig: Path
    cache: Path
    doors: Iterator[str]
    """Origins, one for each command."""
    place: str
    """Path or id of a workspace."""

    def __call__(self, *arguments: str, stdin: str | None = None, fails: bool = False) -> str:
        """Standard output; with `fails`, of a command that must not succeed, standard error."""
        done = subprocess.run([*self.command, *arguments], input=stdin, capture_output=True, text=True, timeout=150, check=False)
        assert (done.returncode != 0) is fails, f"kubectl {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stderr if fails else done.stdout

    @property
    def command(self) -> Sequence[str]:
        return [
            self.path,
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.cache}",
            f"--server={next(self.doors)}/clusters/{self.place}",
        ]

    def at(self, workspace: str) -> Kubectl:
        return replace(self, place=workspace)

    def workspace(self, name: str) -> str:
        """Makes a workspace here and waits as a user would; its id."""
        self("create", "-f", "-", stdin=f"apiVersion: tenancy.kcp.io/v1alpha1\nkind: Workspace\nmetadata: {{name: {name}}}\n")
        self("wait", "workspace", name, "--for=jsonpath={.status.phase}=Ready", "--timeout=90s")
        return self("get", "workspace", name, "-o", "jsonpath={.spec.cluster}")


@pytest.fixture(scope="module", params=kubectls() or [""], ids=lambda p: Path(p).name or "kubectl")
def kubectl(request: pytest.FixtureRequest, server: Platform, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    path = request.param or program("kubectl", "it comes with kubernetes-client")
    return Kubectl(path, server.kubeconfig, tmp_path_factory.mktemp("cache"), cycle(server.urls), "root")


@pytest.fixture(scope="module")
def org(kubectl: Kubectl) -> tuple[str, str]:
    """Path and id of a workspace of this kubectl."""
    name = "org-" + Path(kubectl.path).name.replace(".", "-")
    return f"root:{name}", kubectl.workspace(name)


@pytest.fixture
def here(kubectl: Kubectl, org: tuple[str, str]) -> Kubectl:
    return kubectl.at(org[0])


def config_map(name: str, **data: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


@pytest.mark.every_minor
def test_workspaces_are_reached_by_path_and_id_and_keep_apart(server: Platform, kubectl: Kubectl, org: tuple[str, str]) -> None:
    path, cluster = org
    by_path, by_id = kubectl.at(path), kubectl.at(cluster)
    by_path("create", "configmap", "mine", "--from-literal=where=outer")
    assert by_id("get", "configmap", "mine", "-o", "jsonpath={.data.where}") == "outer"
    assert by_id("get", "configmap", "mine", "-o", "jsonpath={.metadata.annotations.kcp\\.io/cluster}") == cluster

    inner = by_path.workspace("team")
    url = by_path("get", "workspace", "team", "-o", "jsonpath={.spec.URL}")
    assert url == f"{server.url}/clusters/{path}:team"
    nested = kubectl.at(f"{path}:team")
    assert "NotFound" in nested("get", "configmap", "mine", fails=True)
    nested("create", "configmap", "mine", "--from-literal=where=inner")
    assert kubectl.at(inner)("get", "configmap", "mine", "-o", "jsonpath={.data.where}") == "inner"
    assert by_path("get", "configmap", "mine", "-o", "jsonpath={.data.where}") == "outer"
    # A walk may begin at any cluster.
    assert kubectl.at(f"{cluster}:team")("get", "configmap", "mine", "-o", "jsonpath={.data.where}") == "inner"
    assert by_path("get", "configmaps", "-A", "-o", "name").count("configmap/mine") == 1
    by_path("delete", "configmap", "mine")


def test_workspace_columns(kubectl: Kubectl, org: tuple[str, str]) -> None:
    lines = kubectl("get", "workspaces").splitlines()
    assert lines[0].split() == ["NAME", "TYPE", "REGION", "PHASE", "URL", "AGE"]
    mine = next(line.split() for line in lines if line.split()[0] == org[0].partition(":")[2])
    assert mine[1:3] == ["organization", "Ready"] and mine[3].endswith(org[0])
    assert "NAME" in kubectl("get", "ws", "-o", "wide")


def test_api_resources(here: Kubectl) -> None:
    lines = [line.split() for line in here("api-resources", "--no-headers").splitlines()]
    kinds = {line[-1]: line[0] for line in lines}
    expected = """
        ConfigMap Secret Namespace ServiceAccount Event ResourceQuota LimitRange Lease Role RoleBinding ClusterRole
        ClusterRoleBinding CustomResourceDefinition SelfSubjectAccessReview TokenReview
        Workspace WorkspaceType APIExport APIBinding APIResourceSchema APIExportEndpointSlice LogicalCluster
    """
    assert set(expected.split()) <= set(kinds)
    assert "Pod" not in kinds and "Node" not in kinds
    assert "configmaps" in here("api-resources", "--namespaced=true", "-o", "name").splitlines()
    assert "v1" in here("api-versions").splitlines()


@pytest.mark.every_minor
def test_explain(here: Kubectl) -> None:
    text = here("explain", "configmaps")
    assert "ConfigMap" in text and "binaryData" in text
    assert "directlyDeletable" in here("explain", "logicalclusters.spec")
    # Kubernetes' own tests look for these.
    metadata = here("explain", "logicalclusters.metadata")
    assert "Standard object's metadata" in metadata and "CreationTimestamp is a timestamp" in metadata
    assert "What may be done" in here("explain", "clusterroles.rules")


@pytest.mark.every_minor
def test_create_get_and_delete(here: Kubectl) -> None:
    here("create", "-f", "-", stdin=config_map("plain", a="1"))
    assert "AlreadyExists" in here("create", "-f", "-", stdin=config_map("plain"), fails=True)
    lines = here("get", "configmap", "plain").splitlines()
    assert lines[0].split() == ["NAME", "DATA", "AGE"] and lines[1].split()[:2] == ["plain", "1"]
    assert json.loads(here("get", "configmap", "plain", "-o", "json"))["data"] == {"a": "1"}
    assert "plain" in here("describe", "configmap", "plain")
    here("label", "configmap", "plain", "color=blue")
    assert here("get", "configmaps", "-l", "color=blue", "-o", "name").split() == ["configmap/plain"]
    assert here("get", "configmaps", "--field-selector=metadata.name=plain", "-o", "name").split() == ["configmap/plain"]
    here("delete", "configmap", "plain", "--wait")
    assert "NotFound" in here("get", "configmap", "plain", fails=True)


@pytest.mark.every_minor
def test_apply(here: Kubectl) -> None:
    assert "created" in here("apply", "-f", "-", stdin=config_map("applied", a="1", b="2"))
    assert "unchanged" in here("apply", "-f", "-", stdin=config_map("applied", a="1", b="2"))
    assert "configured" in here("apply", "-f", "-", stdin=config_map("applied", a="1"))
    assert json.loads(here("get", "configmap", "applied", "-o", "json"))["data"] == {"a": "1"}
    assert here("diff", "-f", "-", stdin=config_map("applied", a="1")) == ""
    here("delete", "-f", "-", stdin=config_map("applied"))


def test_apply_server_side(here: Kubectl) -> None:
    here("apply", "--server-side", "-f", "-", stdin=config_map("owned", a="1"))
    there = ("apply", "--server-side", "--field-manager=other", "-f", "-")
    conflict = here(*there, stdin=config_map("owned", a="2"), fails=True)
    assert 'conflict with "kubectl"' in conflict and ".data.a" in conflict
    here(*there, "--force-conflicts", stdin=config_map("owned", a="2", b="3"))
    found = json.loads(here("get", "configmap", "owned", "-o", "json", "--show-managed-fields"))
    assert found["data"] == {"a": "2", "b": "3"}
    managers = {m["manager"]: m["fieldsV1"].get("f:data", {}) for m in found["metadata"]["managedFields"]}
    assert set(managers["other"]) - {"."} == {"f:a", "f:b"}
    assert "f:a" not in managers.get("kubectl", {})
    here(*there, stdin=config_map("owned", a="2"))
    assert json.loads(here("get", "configmap", "owned", "-o", "json"))["data"] == {"a": "2"}


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("json", [{"op": "replace", "path": "/data/a", "value": "2"}, {"op": "remove", "path": "/data/b"}]),
        ("merge", {"data": {"a": "2", "b": None}}),
        ("strategic", {"data": {"a": "2", "b": None}}),
    ],
)
def test_patch(here: Kubectl, kind: str, patch: object) -> None:
    name = f"patched-{kind}"
    here("create", "-f", "-", stdin=config_map(name, a="1", b="1"))
    assert "patched" in here("patch", "configmap", name, f"--type={kind}", "-p", json.dumps(patch))
    assert json.loads(here("get", "configmap", name, "-o", "json"))["data"] == {"a": "2"}


@pytest.mark.every_minor
def test_get_watch(here: Kubectl) -> None:
    here("create", "-f", "-", stdin=config_map("watched", a="0"))
    command = [*here.command, "get", "configmap", "watched", "-w", "-o", "jsonpath={.data.a}{'\\n'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() == "0"
            for value in ("1", "2", "3"):
                here("patch", "configmap", "watched", "--type=merge", "-p", json.dumps({"data": {"a": value}}))
                assert process.stdout.readline().strip() == value
        finally:
            process.terminate()


@pytest.mark.every_minor
def test_wait(here: Kubectl) -> None:
    here("create", "namespace", "short-lived")
    here("wait", "namespace/short-lived", "--for=jsonpath={.status.phase}=Active", "--timeout=90s")
    here("delete", "namespace", "short-lived", "--wait=false")
    here("wait", "namespace/short-lived", "--for=delete", "--timeout=90s")


def test_auth_can_i(here: Kubectl) -> None:
    assert here("auth", "can-i", "create", "configmaps").strip() == "yes"
    # `no` is an exit code of 1 and no message.
    here("auth", "can-i", "get", "secrets", "--as=nobody", fails=True)
    here("create", "clusterrole", "reader", "--verb=get,list,watch", "--resource=configmaps")
    here("create", "clusterrolebinding", "reader", "--clusterrole=reader", "--user=somebody")
    here("create", "clusterrolebinding", "enter", "--clusterrole=system:kcp:workspace:access", "--user=somebody")
    assert here("auth", "can-i", "get", "configmaps", "--as=somebody").strip() == "yes"
    here("auth", "can-i", "get", "secrets", "--as=somebody", fails=True)
    assert "configmaps" in here("auth", "can-i", "--list", "--as=somebody")
    assert here("get", "configmaps", "--as=somebody")
    refused = here("get", "secrets", "--as=somebody", fails=True)
    assert 'User "somebody" cannot list resource "secrets" in API group "" in the namespace "default"' in refused


def test_service_account_token(here: Kubectl) -> None:
    here("create", "serviceaccount", "robot")
    token = here("create", "token", "robot", "--duration=1h").strip()
    here("create", "rolebinding", "robot", "--clusterrole=view", "--serviceaccount=default:robot")
    review = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}})
    status = json.loads(here("create", "-f", "-", "-o", "json", stdin=review))["status"]
    assert status["authenticated"] and status["user"]["username"] == "system:serviceaccount:default:robot"


def test_deleting_a_workspace(here: Kubectl, kubectl: Kubectl) -> None:
    here.workspace("doomed")
    doomed = kubectl.at(here.place + ":doomed")
    doomed("create", "configmap", "inside")
    here("delete", "workspace", "doomed", "--timeout=90s")
    assert here("get", "workspaces", "doomed", "--ignore-not-found") == ""
    assert doomed("get", "configmaps", fails=True)


def test_events_are_listed(here: Kubectl) -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "something.1"},
        "involvedObject": {"kind": "ConfigMap", "name": "any", "namespace": "default", "apiVersion": "v1"},
        "reason": "Tried",
        "message": "it was tried",
        "type": "Normal",
    }
    here("create", "-f", "-", stdin=json.dumps(event))
    assert "it was tried" in here("get", "events")
    here("events", "--types=Normal")


def test_the_schemas_of_a_workspace(kubectl: Kubectl, org: tuple[str, str]) -> None:
    view = ("--server", f"{next(kubectl.doors)}/services/apiresourceschema/{org[1]}")
    names = kubectl("get", "apiresourceschemas", "-o", "name", *view).split()
    assert any(name.endswith(".workspaces.tenancy.kcp.io") for name in names)
    assert names == sorted(names)
    name = names[0].partition("/")[2]
    lines = kubectl("get", "apiresourceschemas", f"--field-selector=metadata.name={name}", *view).splitlines()
    assert lines[0].split() == ["NAME", "AGE"] and [line.split()[0] for line in lines[1:]] == [name]
    assert kubectl("get", "apiresourceschema", name, "-o", "jsonpath={.spec.scope}", *view) == "Cluster"
    assert "Forbidden" in kubectl("delete", "apiresourceschema", name, *view, fails=True)
