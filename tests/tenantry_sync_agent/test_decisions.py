"""The table of docs/syncing.md: what is above, what is below, and the next step."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry_sync_agent.api_client import Object
from tenantry_sync_agent.decisions import Step, next_step
from tenantry_sync_agent.translation import desired
from tenantry_syncer.names import CLUSTER_ANNOTATION, CONFLICT_PREFIX, OWNER_LABEL, Target

TARGET = Target("root", "edge")
OTHER = Target("root", "other")
_CONFLICT = {CONFLICT_PREFIX + TARGET.key: "belongs to others"}


def up(*, finalized: bool = True, deleting: bool = False, annotations: dict[str, str] | None = None, **more: Any) -> Object:
    metadata: Object = {"name": "a", "namespace": "default", "uid": "1", "resourceVersion": "1"}
    metadata["annotations"] = {CLUSTER_ANNOTATION: "one", **(annotations or {})}
    metadata["finalizers"] = [TARGET.finalizer] if finalized else []
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}, **more}


def down(of: Object | None = None, *, deleting: bool = False, by: Target = TARGET, **more: Any) -> Object:
    made = desired(of or up(), by)
    made["metadata"]["uid"] = "below"
    if deleting:
        made["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {**made, **more}


ANOTHER = up()
ANOTHER["metadata"]["uid"] = "2"
FOREIGN: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "x", "uid": "3"}}
FORGED: Object = {**FOREIGN, "metadata": {**FOREIGN["metadata"], "labels": {OWNER_LABEL: TARGET.key}}}

TABLE = [
    (None, None, Step.NOTHING),
    (None, FOREIGN, Step.NOTHING),
    (None, FORGED, Step.NOTHING),
    (None, down(by=OTHER), Step.NOTHING),
    (None, down(), Step.DELETE_ORPHAN),
    (None, down(deleting=True), Step.WAIT),
    (up(finalized=False), None, Step.ADD_FINALIZER),
    (up(finalized=False), down(), Step.ADD_FINALIZER),
    (up(), None, Step.CREATE),
    (up(), FOREIGN, Step.REPORT_CONFLICT),
    (up(), down(by=OTHER), Step.REPORT_CONFLICT),
    (up(annotations=_CONFLICT), FOREIGN, Step.NOTHING),
    (up(annotations=_CONFLICT), None, Step.CREATE),
    (up(annotations=_CONFLICT), down(), Step.CLEAR_CONFLICT),
    (up(), down(), Step.NOTHING),
    (up(), down(deleting=True), Step.WAIT),
    (up(), down(ANOTHER), Step.DELETE),
    (up(data={"a": "2"}), down(), Step.APPLY),
    (up(data={}), down(), Step.APPLY),
    (up(), down(data={"a": "3"}), Step.APPLY),
    (up(), down(status={"ready": True}), Step.WRITE_STATUS),
    (up(status={"ready": True}), down(status={"ready": True}), Step.NOTHING),
    (up(status={"ready": True}), down(), Step.NOTHING),
    (up(deleting=True), down(), Step.DELETE),
    (up(deleting=True), down(deleting=True), Step.WAIT),
    (up(deleting=True), None, Step.REMOVE_FINALIZER),
    (up(deleting=True), FOREIGN, Step.REMOVE_FINALIZER),
    (up(deleting=True, finalized=False), None, Step.NOTHING),
    (up(deleting=True, finalized=False), down(), Step.DELETE),
]


@pytest.mark.parametrize(("above", "below", "step"), TABLE)
def test_next_step(above: Object | None, below: Object | None, step: Step) -> None:
    assert next_step(above, below, TARGET, has_status=True, applied=False) is step


def test_a_status_goes_up_only_if_the_type_has_one() -> None:
    assert next_step(up(), down(status={"ready": True}), TARGET, has_status=False, applied=False) is Step.NOTHING


def test_what_a_server_made_of_an_apply_is_not_applied_again() -> None:
    assert next_step(up(), down(data={"a": "1.0"}), TARGET, has_status=True, applied=True) is Step.NOTHING
