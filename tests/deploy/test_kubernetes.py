"""The manifests under deploy/kubernetes: rendered, checked against Kubernetes' own schemas, and held to what they promise."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenantry.cli.commands import parser
from tests.deploy.environment import unknown_variables
from tests.deploy.kubernetes_schemas import errors
from tests.support.tools import program

DIRECTORY = Path(__file__).parents[2] / "deploy" / "kubernetes"
COMPOSE = DIRECTORY.parents[1] / "docker-compose.yml"
LAYERS = ["trial", "external-etcd", "trial-with-views"]
PROCESSES = {"registry", "shard", "gateway", "views"}

pytestmark = pytest.mark.client


@cache
def rendered(layer: str) -> list[dict[str, Any]]:
    kubectl = program("kubectl", "it renders the manifests")
    done = subprocess.run([kubectl, "kustomize", str(DIRECTORY / layer)], check=True, capture_output=True)
    return list(yaml.safe_load_all(done.stdout))


def of_kind(layer: str, kind: str) -> dict[str, dict[str, Any]]:
    return {m["metadata"]["name"]: m for m in rendered(layer) if m["kind"] == kind}


def processes(layer: str) -> set[str]:
    return PROCESSES if layer.endswith("-with-views") else PROCESSES - {"views"}


def pod_specs(layer: str) -> dict[str, dict[str, Any]]:
    return {name: m["spec"]["template"]["spec"] for name, m in of_kind(layer, "Deployment").items()}


@pytest.mark.parametrize("layer", LAYERS)
def test_kubernetes_takes_them(layer: str) -> None:
    wrong = {f"{m['kind']} {m['metadata']['name']}": found for m in rendered(layer) if (found := errors(m))}
    assert wrong == {}


def test_the_schemas_notice_mistakes() -> None:
    deployment = copy.deepcopy(of_kind("trial", "Deployment")["shard"])
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["readOnlyRootFileSystem"] = True
    container["ports"][0]["containerPort"] = "https"
    del deployment["spec"]["selector"]
    assert len(errors(deployment)) == 3


@pytest.mark.parametrize("layer", LAYERS)
def test_kinds(layer: str) -> None:
    assert set(of_kind(layer, "Deployment")) - {"etcd"} == processes(layer)
    assert set(of_kind(layer, "PodDisruptionBudget")) == processes(layer)
    assert {m["kind"] for m in rendered(layer)} <= {
        *("Namespace", "ConfigMap", "ServiceAccount", "Deployment", "Service"),
        *("PodDisruptionBudget", "NetworkPolicy", "PersistentVolumeClaim"),
    }


@pytest.mark.parametrize("layer", LAYERS)
def test_everything_is_in_one_namespace_and_selects_its_own(layer: str) -> None:
    templates = {n: m["spec"]["template"]["metadata"]["labels"] for n, m in of_kind(layer, "Deployment").items()}
    for manifest in rendered(layer):
        if manifest["kind"] == "Namespace":
            assert manifest["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
            continue
        name, spec = manifest["metadata"]["name"], manifest.get("spec", {})
        assert manifest["metadata"]["namespace"] == "tenantry"
        selector = spec.get("podSelector") or spec.get("selector")
        if selector is not None:
            wanted = selector.get("matchLabels", selector)
            chosen = [n for n, labels in templates.items() if wanted.items() <= labels.items()]
            assert chosen == [name], f"{manifest['kind']} {name}"


@pytest.mark.parametrize("layer", LAYERS)
def test_pods_are_as_restricted_as_kubernetes_asks(layer: str) -> None:
    for name, pod in pod_specs(layer).items():
        assert pod["automountServiceAccountToken"] is False, name
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name


@pytest.mark.parametrize("layer", LAYERS)
def test_probes_limits_and_time_to_end(layer: str) -> None:
    for name, pod in pod_specs(layer).items():
        assert pod["terminationGracePeriodSeconds"] >= 30, name
        for container in pod["containers"]:
            ports = {port["name"] for port in container["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert container[probe]["httpGet"]["port"] in ports, (name, probe)
            assert container["livenessProbe"]["httpGet"]["path"] == "/livez", name
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz", name
            assert {"cpu", "memory"} == set(container["resources"]["requests"]), name
            # A limit of CPU would stop heartbeats, and so cost a shard its ranges.
            assert {"memory"} == set(container["resources"]["limits"]), name
    for name, service in of_kind(layer, "Service").items():
        if name in PROCESSES:
            container = pod_specs(layer)[name]["containers"][0]
            assert "sleep" in container["lifecycle"]["preStop"]["exec"]["command"], name
            served = {port["name"] for port in container["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= served, name


@pytest.mark.parametrize("layer", LAYERS)
def test_no_process_leaves_before_another_serves(layer: str) -> None:
    for name, deployment in of_kind(layer, "Deployment").items():
        if name in PROCESSES:
            assert deployment["spec"]["replicas"] >= 2, name
            assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}, name
            assert of_kind(layer, "PodDisruptionBudget")[name]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("layer", LAYERS)
def test_commands_and_settings_exist(layer: str) -> None:
    configured = {key for m in of_kind(layer, "ConfigMap").values() for key in m["data"]}
    for name in processes(layer):
        container = pod_specs(layer)[name]["containers"][0]
        assert parser().parse_args(container["args"])
        assert unknown_variables(name, [variable["name"] for variable in container["env"]]) == []
        asked = {
            v["valueFrom"]["configMapKeyRef"]["key"] for v in container["env"] if "configMapKeyRef" in v.get("valueFrom", {})
        }
        assert asked <= configured, name


@pytest.mark.parametrize("layer", LAYERS)
def test_what_pods_refer_to_is_there(layer: str) -> None:
    for name, pod in pod_specs(layer).items():
        assert pod.get("serviceAccountName") in {*of_kind(layer, "ServiceAccount"), None}, name
        variables = [variable.get("valueFrom", {}) for c in pod["containers"] for variable in c.get("env", ())]
        assert {v["configMapKeyRef"]["name"] for v in variables if "configMapKeyRef" in v} <= set(of_kind(layer, "ConfigMap"))
        claims = {v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v}
        assert claims <= set(of_kind(layer, "PersistentVolumeClaim")), name


def test_the_shape_is_that_of_compose() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for name in PROCESSES:
        container = pod_specs("trial-with-views")[name]["containers"][0]
        assert container["args"] == services[name]["command"]
        # Kubernetes probes by itself, and the size of a range is a plaything of trials.
        asked = set(services[name]["environment"]) - {"TENANTRY_PROBE_URL", "TENANTRY_RANGE_CAPACITY"}
        assert asked <= {variable["name"] for variable in container["env"]}, name
        limits = services[name]["deploy"]["resources"]["limits"]
        assert container["resources"]["limits"]["memory"].lower() == f"{limits['memory']}i"
    etcd, there = pod_specs("trial")["etcd"]["containers"][0], services["etcd"]
    assert there["image"] == f"${{ETCD_IMAGE:-{etcd['image']}}}"
    assert [word for word in etcd["command"] if "metrics" not in word] == there["command"]


def external_with_views(directory: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """The pods of external-etcd when it names the component for views."""
    shutil.copytree(DIRECTORY, directory / "kubernetes")
    layer = directory / "kubernetes" / "external-etcd"
    kustomization = yaml.safe_load((layer / "kustomization.yaml").read_text())
    (layer / "kustomization.yaml").write_text(yaml.safe_dump({**kustomization, "components": ["../views"]}))
    found = rendered(str(layer))
    assert [m["metadata"]["name"] for m in found if m["kind"] == "Deployment"] == sorted(PROCESSES)
    return [(m["metadata"]["name"], m["spec"]["template"]["spec"]) for m in found if m["kind"] == "Deployment"]


def test_external_etcd_is_reached_with_certificates(tmp_path: Path) -> None:
    for name, pod in [*pod_specs("external-etcd").items(), *external_with_views(tmp_path)]:
        container = pod["containers"][0]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        values = {variable["name"]: variable.get("value", "") for variable in container["env"]}
        for variable in ("TENANTRY_ETCD_CAFILE", "TENANTRY_ETCD_CERTFILE", "TENANTRY_ETCD_KEYFILE"):
            assert values[variable].startswith(mounts["etcd-certificates"]), name
        assert {"secretName": "tenantry-etcd", "defaultMode": 0o440} in [v.get("secret") for v in pod["volumes"]], name
