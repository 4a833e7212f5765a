"""Kubernetes' own end-to-end specs of the API machinery, authentication and events, on a workspace. `make clients`.

They take the workspace for a cluster: it has bound the workload types, and has a node and the service of its API server, which
the specs look at before they begin.
"""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.kubeconfig import kubeconfig
from tests.support.api import Api
from tests.support.forms import ONE_PROCESS, Platform, platform
from tests.support.tools import program
from tests.support.waiting import wait_for
from tools.go_programs import UPSTREAM_SPECS

LEFT_OUT = Path(__file__).parent / "upstream_specs.toml"
GROUPS = {
    "a-c": (r"sig-api-machinery\] (API |Agg|C)", 40),
    "d-q": (r"sig-api-machinery\] [D-Qk]", 20),
    "r-z": (r"sig-api-machinery\] [R-Zc]", 55),
    "others": ("sig-auth|sig-instrumentation", 15),
}
"""Which specs a test runs, and how many these are at least."""
SECONDS = 2400
NODE = {
    "metadata": {"name": "node-1", "labels": {"kubernetes.io/os": "linux"}},
    "status": {
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "NetworkUnavailable", "status": "False"}],
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
    },
}
SERVICE = {"metadata": {"name": "kubernetes"}, "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "https", "port": 443}]}}
BINDINGS = "/apis/apis.kcp.io/v1alpha2/apibindings"
BINDING = {
    "apiVersion": "apis.kcp.io/v1alpha2",
    "kind": "APIBinding",
    "metadata": {"name": "workloads"},
    "spec": {"reference": {"export": {"path": "root", "name": "kubernetes-workloads"}}},
}
ENTER = {"metadata": {"name": "enter"}, "rules": [{"nonResourceURLs": ["/"], "verbs": ["access"]}]}
EVERYBODY = {
    "metadata": {"name": "enter"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "enter"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(ONE_PROCESS, tmp_path_factory.mktemp("specs")) as running:
        yield running


def left_out() -> Sequence[str]:
    return [spec for each in tomllib.loads(LEFT_OUT.read_text())["left_out"] for spec in each["specs"]]


def as_a_cluster(place: Api) -> None:
    """Gives a workspace what the specs expect of a cluster."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    place.create(BINDINGS, BINDING)
    wait_for(lambda: place.get(f"{BINDINGS}/workloads").get("status", {}).get("phase") == "Bound", "the binding")
    place.create(f"{rbac}/clusterroles", ENTER)
    place.create(f"{rbac}/clusterrolebindings", EVERYBODY)
    place.create("/api/v1/namespaces/default/services", SERVICE)
    node = place.create("/api/v1/nodes", {"metadata": NODE["metadata"]})
    place.put("/api/v1/nodes/node-1/status", {**node, "status": NODE["status"]})


@pytest.mark.parametrize("group", GROUPS)
def test_specs_pass(server: Platform, tmp_path: Path, group: str) -> None:
    specs = program(UPSTREAM_SPECS, "`make clients` builds it")
    place = server.root.workspace(f"specs-{group}")
    as_a_cluster(place)
    config, report = tmp_path / "kubeconfig", tmp_path / "report.json"
    config.write_text(yaml.safe_dump(kubeconfig(server, place)))
    focus, at_least = GROUPS[group]
    done = subprocess.run(
        [
            specs,
            f"--kubeconfig={config}",
            "--provider=local",
            "--allowed-not-ready-nodes=10",
            f"--ginkgo.focus={focus}",
            f"--ginkgo.skip={'|'.join(left_out())}",
            f"--ginkgo.json-report={report}",
            f"--report-dir={tmp_path}",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=os.environ | {"HOME": str(tmp_path)},
    )
    assert report.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    ran = [spec for suite in json.loads(report.read_text()) for spec in suite["SpecReports"] if spec["State"] != "skipped"]
    failed = [f"{name(spec)}: {spec['Failure']['Message'][:1000]}" for spec in ran if spec["State"] != "passed"]
    assert not failed, "\n".join([f"{len(failed)} of {len(ran)} failed", *failed])
    assert len([spec for spec in ran if spec["LeafNodeType"] == "It"]) >= at_least


def name(spec: Any) -> str:
    return " ".join([*(spec["ContainerHierarchyTexts"] or ()), spec["LeafNodeText"]])
