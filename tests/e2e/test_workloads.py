"""Kubernetes' workload types in a workspace that has bound them, with unmodified kubectl and the page about them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.kubeconfig import kubeconfig
from tests.e2e.readme import README, blocks, follow
from tests.support.api import API_BINDINGS, Api
from tests.support.forms import Platform, platform
from tests.support.tools import program
from tests.support.waiting import wait_for

PAGE = README.parent / "docs" / "workloads.md"
BINDING = {
    "apiVersion": "apis.kcp.io/v1alpha2",
    "kind": "APIBinding",
    "metadata": {"name": "workloads"},
    "spec": {"reference": {"export": {"path": "root", "name": "kubernetes-workloads"}}},
}
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "example.com/web:%s", ports: [{containerPort: 80}]}
"""
AUTOSCALER = """
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 5, targetCPUUtilizationPercentage: 60}
"""


@pytest.fixture
def staging(place: Api) -> Api:
    place.create(API_BINDINGS, BINDING)
    wait_for(lambda: place.status_of("GET", "/apis/apps/v1/deployments") == 200, "the types are served")
    return place


Kubectl = Callable[..., str]


@pytest.fixture
def kubectl(server: Platform, staging: Api, tmp_path: Path) -> Kubectl:
    path = tmp_path / "workspace.kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig(server, staging)))
    command = program("kubectl", "it comes with kubernetes-client")

    def run(*arguments: str, text: str = "") -> str:
        environment = os.environ | {"KUBECONFIG": str(path), "HOME": str(tmp_path)}
        done = subprocess.run(
            [command, *arguments], input=text, capture_output=True, text=True, check=False, timeout=60, env=environment
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    return run


def test_the_commands_on_the_page(form: str, tmp_path: Path) -> None:
    program("kubectl", "it comes with kubernetes-client")
    checkout = tmp_path / "checkout"
    (checkout / ".tenantry").mkdir(parents=True)
    (checkout / ".venv").symlink_to(sys.prefix)
    with platform(form, tmp_path) as running:
        (checkout / ".tenantry" / "admin.kubeconfig").symlink_to(running.kubeconfig)
        follow(blocks(page=PAGE), checkout)


def test_kubectl_does_with_workloads_what_it_does_with_kubernetes(kubectl: Kubectl, staging: Api) -> None:
    def images() -> list[str]:
        found = staging.get("/apis/apps/v1/namespaces/default/deployments/web")
        return [container["image"] for container in found["spec"]["template"]["spec"]["containers"]]

    kubectl("apply", "-f", "-", text=MANIFEST % "1")
    assert "configured" in kubectl("apply", "-f", "-", text=MANIFEST % "2")
    assert "unchanged" in kubectl("apply", "-f", "-", text=MANIFEST % "2")
    assert images() == ["example.com/web:2"]
    kubectl("set", "env", "deployment/web", "LEVEL=debug")
    kubectl("set", "resources", "deployment/web", "--limits=cpu=1")
    kubectl("scale", "deployment", "web", "--replicas=4")
    kubectl("rollout", "restart", "deployment/web")
    kubectl("patch", "deployment", "web", "-p", '{"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "b"}]}}}}')
    assert images() == ["b", "example.com/web:2"]
    kubectl("expose", "deployment", "web", "--port=80")
    kubectl("run", "one", "--image=busybox", "--restart=Never", "--", "true")
    kubectl("create", "job", "job", "--image=busybox", "--", "true")
    kubectl("create", "cronjob", "cron", "--image=busybox", "--schedule=*/5 * * * *")
    kubectl("create", "ingress", "in", "--rule=a.example.com/*=web:80")
    kubectl("create", "poddisruptionbudget", "pdb", "--selector=app=web", "--min-available=1")
    listed = kubectl("get", "all", "-o", "name").split()
    assert set(listed) == {"pod/one", "service/web", "deployment.apps/web", "job.batch/job", "cronjob.batch/cron"}
    rows = [line.split() for line in kubectl("get", "pods,services", "-o", "wide", "--no-headers").splitlines() if line]
    assert rows[0][:4] == ["pod/one", "0/1", "Pending", "0"]
    assert rows[1][:5] == ["service/web", "ClusterIP", "<none>", "<none>", "80/TCP"]
    assert "rollingUpdate" in kubectl("explain", "deployment.spec.strategy")
    kubectl("autoscale", "deployment", "web", "--min=2", "--max=5", "--cpu-percent=70")
    for version in ("v1", "v2"):
        row = kubectl("get", f"horizontalpodautoscalers.{version}.autoscaling", "web", "--no-headers").split()
        assert row[:6] == ["web", "Deployment/web", "cpu:", "<unknown>/70%", "2", "5"]
    kubectl("apply", "-f", "-", text=AUTOSCALER)
    percent = "jsonpath={.spec.targetCPUUtilizationPercentage}"
    assert kubectl("get", "horizontalpodautoscalers.v1.autoscaling", "web", "-o", percent) == "60"
    assert "targetCPUUtilizationPercentage" in kubectl("explain", "hpa.spec", "--api-version=autoscaling/v1")
    kubectl("delete", "hpa", "web")
    assert "25% max unavailable" in kubectl("describe", "deployment", "web")
    kubectl("delete", "pod", "one", "--timeout=20s")
    kubectl("delete", "deployment", "web", "--timeout=20s")


def test_quotas_and_limit_ranges_are_about_pods(staging: Api) -> None:
    inside = "/api/v1/namespaces/default"

    def made(kind: str, **spec: Any) -> Any:
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "one"}, "spec": spec}

    staging.create(f"{inside}/resourcequotas", made("ResourceQuota", hard={"requests.cpu": "1", "services.loadbalancers": "0"}))
    staging.create(f"{inside}/limitranges", made("LimitRange", limits=[{"type": "Container", "defaultRequest": {"cpu": "600m"}}]))
    wait_for(lambda: staging.get(f"{inside}/resourcequotas/one").get("status"), "the quota is counted")
    pod = made("Pod", containers=[{"name": "a", "image": "x"}])
    made_pod = staging.create(f"{inside}/pods", pod)
    assert made_pod["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "600m"}}
    refused = staging.request("POST", f"{inside}/pods", {**pod, "metadata": {"name": "two"}}).expect(403)
    assert refused["message"] == (
        'pods "two" is forbidden: exceeded quota: one, requested: requests.cpu=600m, used: requests.cpu=600m, '
        "limited: requests.cpu=1"
    )
    service = made("Service", type="LoadBalancer", ports=[{"port": 80}])
    assert "services.loadbalancers=1" in staging.request("POST", f"{inside}/services", service).expect(403)["message"]
    staging.delete(f"{inside}/pods/one")
    wait_for(lambda: staging.get(f"{inside}/resourcequotas/one")["status"]["used"]["requests.cpu"] == "0")


def test_a_watch_gets_what_kubectl_creates(staging: Api, kubectl: Kubectl) -> None:
    with staging.watch("/apis/apps/v1/namespaces/default/deployments") as events:
        kubectl("create", "deployment", "web", "--image=x")
        seen = events.until(lambda event: event["type"] == "ADDED")[-1]
    assert seen["object"]["spec"]["progressDeadlineSeconds"] == 600


def test_a_token_of_a_pod_lives_as_long_as_it(kubectl: Kubectl, staging: Api) -> None:
    kubectl("create", "serviceaccount", "robot")
    kubectl("run", "web", "--image=example.com/web", '--overrides={"spec":{"serviceAccountName":"robot"}}')
    token = kubectl("create", "token", "robot", "--bound-object-kind=Pod", "--bound-object-name=web").strip()
    caller = staging.caller(token)
    reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    extra = caller.create(reviews, {})["status"]["userInfo"]["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["web"]
    kubectl("delete", "pod", "web")
    wait_for(lambda: caller.status_of("POST", reviews, {}) == 401, "the token ends with its Pod")
