"""What kube-apiserver 1.37.2 warned of when objects were created (`warnings.json`), and when updates are warned of."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.kube.types import resource_quota, service_account
from tests.kube.workloads.test_recorded import DEFINITIONS, created

RECORDED = json.loads((Path(__file__).parent / "warnings.json").read_text())
OTHERS = {each.kind: each.strategy for each in (resource_quota.DEFINITION, service_account.DEFINITION)}
MASTER = 'spec.template.spec.nodeSelector[node-role.kubernetes.io/master]: use "node-role.kubernetes.io/control-plane" instead'


def deployment(**spec: Any) -> Object:
    pod = {"containers": [{"name": "a", "image": "x"}], "nodeSelector": {"node-role.kubernetes.io/master": ""}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
    selected = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    return created({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": selected | spec})


def pod(**spec: Any) -> Object:
    whole = {"containers": [{"name": "a", "image": "x"}]} | spec
    return created({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": whole})


def warnings(obj: Object, old: Object | None = None) -> list[str]:
    return DEFINITIONS[obj["kind"]].strategy.warnings(obj, old)


def found_for(sent: Object) -> list[str]:
    if sent["kind"] in OTHERS:
        return OTHERS[sent["kind"]].warnings(sent, None)
    definition = DEFINITIONS[sent["kind"]]
    deprecated = definition.versions[definition.storage_version].deprecation_warning
    return [*filter(None, [deprecated]), *warnings(created(sent))]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["sent"]["kind"])
def test_a_create_is_warned_of_as_by_kubernetes(case: Any) -> None:
    # The server sends each text once.
    assert set(found_for(case["sent"])) == set(case["warnings"])


def test_all_types_with_warnings_are_recorded() -> None:
    assert len({case["sent"]["kind"] for case in RECORDED}) >= 20
    assert sum(len(case["warnings"]) for case in RECORDED) > 100


@pytest.mark.parametrize(("generation", "expected"), [(1, []), (2, [MASTER])])
def test_an_update_is_warned_of_where_it_is_another_generation(generation: int, expected: list[str]) -> None:
    old, new = deployment(), deployment(replicas=4)
    old["metadata"]["generation"], new["metadata"]["generation"] = 1, generation
    assert warnings(new, old) == expected


def test_updates_of_pods_are_not_warned_of() -> None:
    made = pod(nodeSelector={"beta.kubernetes.io/os": "linux"})
    assert len(warnings(made)) == 1
    assert warnings(made, made) == []


def test_quotas_are_warned_of_when_they_are_created_alone() -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"cpu": "4", "limits.cpu": "2"}}}
    strategy = OTHERS["ResourceQuota"]
    assert strategy.warnings(quota, None) == ["ResourceQuota cpu (4) should be less than limits.cpu (2)"]
    assert strategy.warnings(quota, quota) == []


def test_an_annotation_that_was_there_is_not_warned_of() -> None:
    account = {"metadata": {"name": "a", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}
    strategy = OTHERS["ServiceAccount"]
    assert len(strategy.warnings(account, None)) == len(strategy.warnings(account, {"metadata": {"name": "a"}})) == 1
    assert strategy.warnings(account, deepcopy(account)) == []


def test_a_template_may_have_a_negative_grace_period_and_a_pod_may_not() -> None:
    template = deployment()
    template["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = -5
    assert DEFINITIONS["Deployment"].strategy.validate(template, None, "") == []
    assert any("terminationGracePeriodSeconds: must be >= 0" in text for text in warnings(template))
    made = pod()
    made["spec"]["terminationGracePeriodSeconds"] = -5
    errors = DEFINITIONS["Pod"].strategy.validate(made, None, "")
    assert [error.field for error in errors] == ["spec.terminationGracePeriodSeconds"]


@pytest.mark.parametrize(
    "spec",
    [
        {"volumes": [{"name": "v", "configMap": {"items": [{"key": "k", "path": f"p{i}"} for i in range(20_000)]}}]},
        {"containers": [{"name": "a", "image": "x", "ports": [{"containerPort": 80, "hostPort": i} for i in range(20_000)]}]},
        {"containers": [{"name": "a", "image": "x", "env": [{"name": "A"}] * 20_000}]},
    ],
)
def test_a_large_pod_costs_time_in_proportion_to_its_size(spec: Object) -> None:
    made = pod(**spec)
    began = perf_counter()
    found = warnings(made)
    # Comparing each with each would be 200 million comparisons, which take more than ten seconds.
    assert perf_counter() - began < 2
    assert len(found) <= 200
