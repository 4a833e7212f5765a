"""The table of what happens above for an object below."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry_sync_agent.api_client import Object
from tenantry_sync_agent.translation import raised
from tenantry_sync_agent.upsyncer import UpStep, next_up_step
from tenantry_syncer.names import STATE_LABEL_PREFIX, Target

TARGET = Target("root", "edge")


def obj(version: str = "1", *, deleting: bool = False, status: Any = None, rv: str = "1") -> Object:
    metadata: Object = {"name": "a", "resourceVersion": version, "annotations": {"workload.kcp.io/rv": rv}}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata, **({"status": status} if status else {})}


@pytest.mark.parametrize(
    ("up", "down", "step"),
    [
        (None, None, UpStep.NOTHING),
        (None, obj(), UpStep.CREATE),
        (None, obj(deleting=True), UpStep.NOTHING),
        (obj(), None, UpStep.DELETE),
        (obj(), obj(deleting=True), UpStep.DELETE),
        (obj(deleting=True), None, UpStep.NOTHING),
        (obj(deleting=True), obj(), UpStep.NOTHING),
        (obj(), obj(), UpStep.NOTHING),
        (obj(rv="1"), obj("2"), UpStep.WRITE),
        (obj(), obj(status={"x": 1}), UpStep.WRITE_STATUS),
        (obj(status={"x": 1}), obj(status={"x": 1}), UpStep.NOTHING),
        (obj(status={"x": 1}), obj(), UpStep.WRITE_STATUS),
    ],
)
def test_next_up_step(up: Object | None, down: Object | None, step: UpStep) -> None:
    assert next_up_step(up, down, located=True, has_status=True) is step


def test_what_is_in_no_namespace_of_the_target_stays_below() -> None:
    assert next_up_step(None, obj(), located=False, has_status=True) is UpStep.NOTHING
    assert next_up_step(obj(), obj(status={"x": 1}), located=True, has_status=False) is UpStep.NOTHING


def test_what_goes_up() -> None:
    down = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "a",
            "namespace": "kcp-x",
            "uid": "1",
            "resourceVersion": "7",
            "labels": {"app": "web", "internal.workload.kcp.io/cluster": "x"},
            "annotations": {"kcp.io/namespace-locator": "{}", "note": "x"},
            "finalizers": ["x"],
        },
        "data": {"a": "1"},
        "status": {"x": 1},
    }
    assert raised(down, TARGET) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "a",
            "labels": {"app": "web", STATE_LABEL_PREFIX + TARGET.key: "Upsync"},
            "annotations": {"note": "x", "workload.kcp.io/rv": "7"},
        },
        "data": {"a": "1"},
    }
