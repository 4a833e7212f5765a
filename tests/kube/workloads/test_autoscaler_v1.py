"""HorizontalPodAutoscalers in both versions; the values are those of kube-apiserver 1.37.2."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.kube.workloads.autoscaler_v1 import to_v1, to_v2

PREFIX = "autoscaling.alpha.kubernetes.io/"
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}


def v1(annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    metadata = {"name": "a", **({"annotations": annotations} if annotations else {})}
    spec = {"scaleTargetRef": TARGET, "maxReplicas": 3, **spec}
    return {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}


def v2(status: Object | None = None, **spec: Any) -> Object:
    spec = {"scaleTargetRef": TARGET, "maxReplicas": 3, **spec}
    made = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"}, "spec": spec}
    return {**made, "status": status or {}}


def test_a_use_of_cpu_is_implied() -> None:
    assert to_v2(v1())["spec"]["metrics"] == [CPU]
    assert to_v1(v2(metrics=[CPU]))["spec"]["targetCPUUtilizationPercentage"] == 80
    assert to_v1(v2(metrics=[CPU]))["status"] == {"currentReplicas": 0, "desiredReplicas": 0}


METRICS = [
    ({"type": "Pods", "pods": {"metricName": "x<y", "targetAverageValue": "1", "selector": {"matchLabels": {"a": "2", "b": "1"}}}},  # noqa: E501
     {"type": "Pods", "pods": {"metric": {"name": "x<y", "selector": {"matchLabels": {"b": "1", "a": "2"}}},
                               "target": {"type": "AverageValue", "averageValue": "1"}}}),
    ({"type": "Object", "object": {"target": {"kind": "A", "name": "n"}, "metricName": "m", "targetValue": "5"}},
     {"type": "Object", "object": {"describedObject": {"kind": "A", "name": "n"}, "metric": {"name": "m"},
                                   "target": {"type": "Value", "value": "5"}}}),
    ({"type": "Object", "object": {"target": {"kind": "A", "name": "n"}, "metricName": "m", "targetValue": "0",
                                   "averageValue": "1500m"}},
     {"type": "Object", "object": {"describedObject": {"kind": "A", "name": "n"}, "metric": {"name": "m"},
                                   "target": {"type": "AverageValue", "averageValue": "1500m"}}}),
    ({"type": "Resource", "resource": {"name": "memory", "targetAverageUtilization": 20}},
     {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 20}}}),
    ({"type": "ContainerResource", "containerResource": {"name": "cpu", "targetAverageValue": "100m", "container": "c"}},
     {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c",
                                                         "target": {"type": "AverageValue", "averageValue": "100m"}}}),
    ({"type": "External", "external": {"metricName": "q", "metricSelector": {"matchLabels": {"a": "b"}}, "targetValue": "3"}},
     {"type": "External", "external": {"metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}},
                                       "target": {"type": "Value", "value": "3"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), METRICS)
def test_other_metrics_are_in_an_annotation(old: Object, new: Object) -> None:
    text = json.dumps([old], separators=(",", ":")).replace("<", "\\u003c")
    shown = v1({PREFIX + "metrics": text, "other": "x"}, targetCPUUtilizationPercentage=80)
    stored = to_v2(deepcopy(shown))
    assert stored["spec"]["metrics"] == [new, CPU]
    assert stored["metadata"]["annotations"] == {"other": "x"}
    back = to_v1(stored)
    assert back["metadata"]["annotations"] == {"other": "x", PREFIX + "metrics": text}
    assert back["spec"] == shown["spec"]


def test_the_behavior_has_the_names_of_go() -> None:
    rules = {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 10}]}
    text = (
        '{"ScaleUp":{"StabilizationWindowSeconds":null,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":1,'
        '"PeriodSeconds":10}],"Tolerance":null},"ScaleDown":null}'
    )
    assert to_v1(v2(metrics=[CPU], behavior={"scaleUp": rules}))["metadata"]["annotations"] == {PREFIX + "behavior": text}
    for written in (text, text.lower().replace('"max"', '"Max"').replace('"pods"', '"Pods"')):
        assert to_v2(v1({PREFIX + "behavior": written}))["spec"]["behavior"] == {"scaleUp": rules}


def test_the_status() -> None:
    current = [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 3, "averageValue": "10m"}}}]
    condition = {"type": "AbleToScale", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z", "message": "a & b"}
    made = to_v1(v2({"currentMetrics": current, "conditions": [condition], "currentReplicas": 1, "desiredReplicas": 2}))
    assert made["status"] == {"currentReplicas": 1, "desiredReplicas": 2, "currentCPUUtilizationPercentage": 3}
    assert made["metadata"]["annotations"] == {
        PREFIX + "conditions": '[{"type":"AbleToScale","status":"True","lastTransitionTime":"2024-01-01T00:00:00Z",'
        '"message":"a \\u0026 b"}]',
        PREFIX + "current-metrics": '[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":3,'
        '"currentAverageValue":"10m"}}]',
    }
    back = to_v2(made)
    assert back["status"]["currentMetrics"] == current and back["status"]["conditions"] == [condition]


@pytest.mark.parametrize(
    "text", ["", "[", '[{"type":1}]', '{"type":"Pods"}', "5", '[{"pods":{"targetAverageValue":"x"}}]', "[5]"]
)
def test_what_is_no_metric_is_dropped(text: str) -> None:
    made = to_v2(v1({PREFIX + "metrics": text, PREFIX + "behavior": text, PREFIX + "conditions": text}))
    assert made["spec"]["metrics"] == [CPU]
    assert "behavior" not in made["spec"] and "annotations" not in made["metadata"]
