"""What goes down, and the patches that take a status up."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tenantry_sync_agent.translation import as_applied, contains, created_by_update, desired, merge_patch, origin
from tenantry_syncer.names import CLUSTER_ANNOTATION, OWNER_LABEL, Target, downstream_namespace, located, locator
from tests.tenantry_sync_agent.fake_server import merged

TARGET = Target("root", "edge")
VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_makes_one_of_the_other(old: Any, new: Any) -> None:
    assert merged(copy.deepcopy(old), merge_patch(old, new)) == new


@given(VALUES)
def test_a_value_contains_itself(value: Any) -> None:
    assert contains(value, copy.deepcopy(value))


def test_contains() -> None:
    assert contains({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 2}})
    assert not contains({"a": 1}, {"b": 1})
    assert not contains([1, 2], [1])
    assert not contains({"a": True}, {"a": 1})
    assert not contains("a", {"a": 1})


def test_what_goes_down() -> None:
    up = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "a",
            "namespace": "default",
            "uid": "1",
            "resourceVersion": "5",
            "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": [TARGET.finalizer],
            "ownerReferences": [{"uid": "7"}],
            "managedFields": [{}],
            "labels": {f"state.workload.kcp.io/{TARGET.key}": "Sync", "app": "web"},
            "annotations": {
                CLUSTER_ANNOTATION: "one",
                "experimental.spec-diff.workload.kcp.io/x": "[]",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "example.com/note": "yes",
            },
        },
        "type": "Opaque",
        "data": {"a": "MQ=="},
        "status": {"x": 1},
    }
    made = desired(copy.deepcopy(up), TARGET)
    annotations = made["metadata"].pop("annotations")
    assert made == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "a",
            "namespace": downstream_namespace(TARGET, "one", "default"),
            "labels": {"app": "web", OWNER_LABEL: TARGET.key},
        },
        "type": "Opaque",
        "data": {"a": "MQ=="},
    }
    assert annotations.pop("example.com/note") == "yes"
    assert sorted(annotations) == [
        "internal.workload.kcp.io/applied",
        "internal.workload.kcp.io/upstream-uid",
        "kcp.io/namespace-locator",
    ]
    made["metadata"]["annotations"] = annotations
    assert origin(made, TARGET) == ("one", "default")
    assert origin(made, Target("root", "other")) is None


def test_a_locator_is_believed_only_as_this_target_writes_it() -> None:
    text = locator(TARGET, "one", "default")
    assert located(TARGET, text) == ("one", "default")
    for wrong in (None, 5, "", "[]", "{}", text + " ", text.replace("edge", "other"), text.replace('"one"', "1")):
        assert located(TARGET, wrong) is None


def test_keys_and_namespaces_differ() -> None:
    targets = [Target("root", "edge"), Target("root", "edge2"), Target("other", "edge")]
    assert len({target.key for target in targets}) == 3 and {len(target.key) for target in targets} == {20}
    places = {downstream_namespace(t, c, n) for t in targets for c in ("one", "two") for n in ("a", "b")}
    assert len(places) == 12 and all(len(name) == 16 for name in places)


def test_fields_of_the_create_become_applied() -> None:
    entries = [
        {"manager": "syncer", "operation": "Update"},
        {"manager": "syncer", "operation": "Update", "subresource": "status"},
        {"manager": "kubelet", "operation": "Update"},
    ]
    down = {"metadata": {"managedFields": entries, "resourceVersion": "4"}}
    assert created_by_update(down)
    fields, version = as_applied(down)
    assert fields["value"] == [{**entries[0], "operation": "Apply"}, *entries[1:]]
    assert version == {"op": "replace", "path": "/metadata/resourceVersion", "value": "4"}
    assert not created_by_update({"metadata": {"managedFields": fields["value"]}})
