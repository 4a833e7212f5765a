"""What a syncer sees and may write."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tenantry_syncer.names import (
    DELETION_PREFIX,
    SPEC_DIFF_ERROR_PREFIX,
    SPEC_DIFF_PREFIX,
    STATE_LABEL_PREFIX,
    Object,
    Target,
)
from tenantry_syncer.picture import Refused, shown, stored

TARGET = Target("root", "edge")
KEY = TARGET.key
TIME = "2026-01-02T03:04:05Z"


def obj(annotations: dict[str, str] | None = None, **metadata: Any) -> Object:
    made: Object = {"name": "a", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "7", **metadata}
    made["labels"] = {STATE_LABEL_PREFIX + KEY: "Sync", "app": "web"}
    if annotations:
        made["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Widget", "metadata": made, "spec": {"replicas": 1}, "status": {"seen": 1}}


def write(old: Object, change: Any, cluster: str = "one") -> Object:
    """What is stored after the syncer changed what it sees."""
    sent = shown(copy.deepcopy(old), TARGET, cluster)
    change(sent)
    return stored(sent, copy.deepcopy(old), TARGET, cluster)


def _set(*path: str, value: Any = "x") -> Any:
    def change(sent: Object) -> None:
        place = sent
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value

    return change


def test_the_spec_is_as_the_patch_makes_it() -> None:
    diff = json.dumps([{"op": "replace", "path": "/replicas", "value": 3}])
    old = obj({SPEC_DIFF_PREFIX + KEY: diff})
    assert shown(copy.deepcopy(old), TARGET, "one")["spec"] == {"replicas": 3}
    assert shown(copy.deepcopy(old), Target("root", "other"), "one")["spec"] == {"replicas": 1}
    kept = write(old, lambda sent: sent["status"].update(seen=2))
    assert kept["spec"] == {"replicas": 1} and kept["status"] == {"seen": 2}
    assert kept["metadata"] == old["metadata"]


@pytest.mark.parametrize("diff", ["{", '[{"op":"remove","path":"/none"}]', '[{"op":"replace","path":"","value":1}]'])
def test_a_bad_patch_is_shown_and_not_applied(diff: str) -> None:
    old = obj({SPEC_DIFF_PREFIX + KEY: diff})
    made = shown(copy.deepcopy(old), TARGET, "one")
    assert made["spec"] == {"replicas": 1}
    assert made["metadata"]["annotations"][SPEC_DIFF_ERROR_PREFIX + KEY]
    assert write(old, lambda sent: None) == old


def test_a_deletion_for_one_target() -> None:
    old = obj({DELETION_PREFIX + KEY: TIME}, finalizers=[TARGET.finalizer, "others/one"])
    assert shown(copy.deepcopy(old), TARGET, "one")["metadata"]["deletionTimestamp"] == TIME
    old["metadata"]["labels"][STATE_LABEL_PREFIX + Target("root", "other").key] = "Sync"
    assert "deletionTimestamp" not in shown(copy.deepcopy(old), Target("root", "other"), "one")["metadata"]
    odd = obj({DELETION_PREFIX + KEY: "now"})
    assert shown(odd, TARGET, "one")["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"


def test_who_removes_the_finalizer_gives_the_object_up() -> None:
    notes = {DELETION_PREFIX + KEY: TIME, SPEC_DIFF_PREFIX + KEY: "[]", "example.com/note": "x"}
    old = obj(notes, finalizers=[TARGET.finalizer, "others/one"])
    old["metadata"]["labels"][STATE_LABEL_PREFIX + "edge"] = "Sync"

    def give_up(sent: Object) -> None:
        sent["metadata"]["finalizers"].remove(TARGET.finalizer)

    made = write(old, give_up)["metadata"]
    assert made["finalizers"] == ["others/one"]
    assert made["annotations"] == {"example.com/note": "x"}
    # In another cluster, the label by name is of another SyncTarget.
    assert made["labels"] == {"app": "web", STATE_LABEL_PREFIX + "edge": "Sync"}
    assert write(old, give_up, "root")["metadata"]["labels"] == {"app": "web"}
    assert "deletionTimestamp" not in made


def test_an_object_that_is_not_assigned_any_more_is_being_deleted() -> None:
    taken = write(obj(), _set("metadata", "finalizers", value=[TARGET.finalizer]))
    assert taken["metadata"]["labels"][TARGET.held_label] == ""
    assert "deletionTimestamp" not in shown(copy.deepcopy(taken), TARGET, "one")["metadata"]
    del taken["metadata"]["labels"][STATE_LABEL_PREFIX + KEY]
    assert shown(copy.deepcopy(taken), TARGET, "one")["metadata"]["deletionTimestamp"]
    # The label by name is of this target in its own cluster alone.
    taken["metadata"]["labels"][STATE_LABEL_PREFIX + "edge"] = "Sync"
    assert "deletionTimestamp" not in shown(copy.deepcopy(taken), TARGET, "root")["metadata"]
    assert shown(copy.deepcopy(taken), TARGET, "one")["metadata"]["deletionTimestamp"]
    given_up = write(taken, _set("metadata", "finalizers", value=[]))
    assert given_up["metadata"]["labels"] == {"app": "web", STATE_LABEL_PREFIX + "edge": "Sync"}


def test_what_a_syncer_may_write() -> None:
    def change(sent: Object) -> None:
        sent["metadata"]["finalizers"] = [TARGET.finalizer]
        sent["metadata"]["annotations"] = {f"conflict.workload.kcp.io/{KEY}": "x"}
        sent["metadata"]["labels"][f"note.workload.kcp.io/{KEY}"] = "x"
        sent["metadata"]["resourceVersion"] = "6"

    made = write(obj(), change)["metadata"]
    assert made["finalizers"] == [TARGET.finalizer]
    assert made["annotations"] == {f"conflict.workload.kcp.io/{KEY}": "x"}
    assert made["labels"][f"note.workload.kcp.io/{KEY}"] == "x"
    assert made["resourceVersion"] == "6"


OTHER = Target("root", "other").key


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_set("spec", "replicas", value=2), "spec"),
        (_set("data", value={}), "data"),
        (_set("metadata", "labels", "app"), "metadata.labels[app]"),
        (_set("metadata", "labels", STATE_LABEL_PREFIX + KEY), f"metadata.labels[{STATE_LABEL_PREFIX}{KEY}]"),
        (_set("metadata", "labels", STATE_LABEL_PREFIX + OTHER), f"metadata.labels[{STATE_LABEL_PREFIX}{OTHER}]"),
        (_set("metadata", "annotations", "a"), "metadata.annotations[a]"),
        (_set("metadata", "annotations", DELETION_PREFIX + KEY), f"metadata.annotations[{DELETION_PREFIX}{KEY}]"),
        (_set("metadata", "annotations", SPEC_DIFF_PREFIX + KEY), f"metadata.annotations[{SPEC_DIFF_PREFIX}{KEY}]"),
        (_set("metadata", "annotations", f"x.workload.kcp.io/{OTHER}"), f"metadata.annotations[x.workload.kcp.io/{OTHER}]"),
        (_set("metadata", "annotations", f"workload.example.com/{KEY}"), f"metadata.annotations[workload.example.com/{KEY}]"),
        (_set("metadata", "labels", TARGET.held_label), f"metadata.labels[{TARGET.held_label}]"),
        (_set("metadata", "finalizers", value=["others/one"]), "metadata.finalizers"),
        (_set("metadata", "ownerReferences", value=[{}]), "metadata.ownerReferences"),
    ],
)
def test_what_a_syncer_may_not_write(change: Any, field: str) -> None:
    with pytest.raises(Refused) as refused:
        write(obj(), change)
    assert refused.value.field == field
