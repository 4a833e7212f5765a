"""The manifests under deploy/kubernetes, created on a kube-apiserver: its admission sees more than schemas do."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from benchmarks.hostile import kube_apiserver
from tests.deploy.test_kubernetes import LAYERS, of_kind, rendered
from tests.support.tools import missing, program

TOKEN = "administrator"

pytestmark = pytest.mark.client

Create = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def create(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Create]:
    """`kubectl create` of manifests, which refuses unknown and repeated fields."""
    kubectl = program("kubectl", "it creates the manifests")
    if (why := kube_apiserver.missing()) is not None:
        missing(why)
    folder = tmp_path_factory.mktemp("kubernetes")
    tokens = folder / "tokens.csv"
    tokens.write_text(f'{TOKEN},{TOKEN},1,"system:masters"\n')
    with kube_apiserver.kube_apiserver(folder, tokens) as server:
        access = (
            "--server",
            server.url,
            "--certificate-authority",
            str(server.ca),
            "--token",
            TOKEN,
            "--kubeconfig",
            "/dev/null",
        )

        def run(manifests: list[dict[str, Any]], *flags: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [kubectl, *access, "create", "--validate=strict", *flags, "--filename", "-"],
                input=yaml.safe_dump_all(manifests),
                capture_output=True,
                text=True,
                check=False,
            )

        yield run


def in_namespace(manifest: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The manifest, with a namespace of the layer's own, so that one server takes all layers."""
    metadata = manifest["metadata"]
    if manifest["kind"] == "Namespace":
        return {**manifest, "metadata": {**metadata, "name": namespace}}
    return {**manifest, "metadata": {**metadata, "namespace": namespace}}


def pod_of(deployment: dict[str, Any], namespace: str) -> dict[str, Any]:
    """A pod as the Deployment's controller makes it. A test has no such controller."""
    template = deployment["spec"]["template"]
    metadata = {**template["metadata"], "name": deployment["metadata"]["name"], "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_server_takes_all_of_a_layer_and_its_pods(layer: str, create: Create) -> None:
    manifests = [in_namespace(manifest, layer) for manifest in rendered(layer)]
    created = create(manifests)
    assert (created.returncode, created.stderr) == (0, ""), "neither refused nor warned about"
    assert len(created.stdout.splitlines()) == len(manifests)
    # Only pods are held against the namespace's level `restricted`.
    pods = create([pod_of(deployment, layer) for deployment in of_kind(layer, "Deployment").values()], "--dry-run=server")
    assert (pods.returncode, pods.stderr) == (0, "")


def test_the_server_notices_mistakes(create: Create) -> None:
    namespace = in_namespace(next(iter(of_kind("trial", "Namespace").values())), "mistakes")
    assert create([namespace]).returncode == 0
    deployment = of_kind("trial", "Deployment")["shard"]
    unknown = create([in_namespace({**deployment, "spec": {**deployment["spec"], "replica": 2}}, "mistakes")])
    assert unknown.returncode == 1 and 'unknown field "spec.replica"' in unknown.stderr
    pod = pod_of(deployment, "mistakes")
    pod["spec"] = {**pod["spec"], "hostNetwork": True}
    free = create([pod], "--dry-run=server")
    assert free.returncode == 1 and 'violates PodSecurity "restricted' in free.stderr
