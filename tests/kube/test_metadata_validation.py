"""Metadata is checked with upstream's texts."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.metadata_validation import finalizer_warnings, owner_warnings, validate_metadata
from tenantry.kube.types import config_map, events, lease, rbac

UID = "00000000-0000-0000-0000-000000000000"
OWNER = {"apiVersion": "v1", "kind": "Secret", "name": "o", "uid": UID}


def messages(metadata: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    before = None if old is None else {"metadata": old}
    return [e.message for e in validate_metadata({"metadata": metadata}, before, config_map.DEFINITION)]


def test_good_metadata() -> None:
    assert messages({"name": "a", "labels": {"example.com/a": ""}, "annotations": {"Example.COM/a": "any\n"}}) == []
    assert messages({"name": "a", "ownerReferences": [OWNER], "finalizers": ["orphan", "example.com/f"]}) == []


def test_a_name_is_required() -> None:
    assert messages({}) == ["metadata.name: Required value: name or generateName is required"]


def test_rbac_names_are_path_segments() -> None:
    errors = validate_metadata({"metadata": {"name": "a/b"}}, None, rbac.ROLES)
    assert [e.message for e in errors] == ["metadata.name: Invalid value: \"a/b\": may not contain '/'"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"generation": -1}, "metadata.generation: Invalid value: -1: must be greater than or equal to 0"),
        ({"labels": {"k" * 64: "v"}}, f'metadata.labels: Invalid value: "{"k" * 64}": name part must be no more than 63 bytes'),
        ({"annotations": {"a": "x" * 270_000}}, "metadata.annotations: Too long: may not be more than 262144 bytes"),
        (
            {"finalizers": ["x"]},
            'metadata.finalizers[0]: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified',
        ),
        (
            {"finalizers": ["orphan", "foregroundDeletion"]},
            'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: '
            "finalizer orphan and foregroundDeletion cannot be both set",
        ),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}]},
            "metadata.ownerReferences[0].uid: Required value: must not be empty",
        ),
        (
            {"ownerReferences": [OWNER | {"apiVersion": "a/b/c"}]},
            'metadata.ownerReferences[0].apiVersion: Invalid value: "a/b/c": must be <group>/<version> or <version>',
        ),
        (
            {"ownerReferences": [OWNER | {"kind": "Event"}]},
            'metadata.ownerReferences[0]: Invalid value: {"apiVersion":"v1","kind":"Event","name":"o","uid":"' + UID + '"}: '
            "/v1, Kind=Event is disallowed from being an owner",
        ),
    ],
)
def test_refusals(fields: dict[str, Any], text: str) -> None:
    assert messages({"name": "a"} | fields) == [text]


def test_only_one_owner_controls() -> None:
    (text,) = messages({"name": "a", "ownerReferences": [OWNER | {"controller": True, "name": n} for n in "12"]})
    assert text.endswith('Found "true" in references for Secret/1 and Secret/2')


def test_system_fields_are_immutable() -> None:
    old = {"name": "a", "uid": UID}
    assert messages({"name": "a", "uid": "other"}, old) == ['metadata.uid: Invalid value: "other": field is immutable']
    late = {"name": "a", "uid": UID, "deletionGracePeriodSeconds": 7}
    assert messages(late, old) == ["metadata.deletionGracePeriodSeconds: Invalid value: 7: field is immutable"]


def test_no_finalizers_while_being_deleted() -> None:
    old = {"name": "a", "deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["b/c"]}
    assert messages(old | {"finalizers": []}, old) == []
    assert messages(old | {"finalizers": ["b/c", "d/e"]}, old) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"d/e"}'
    ]


def test_warnings() -> None:
    assert owner_warnings({"metadata": {"ownerReferences": [OWNER, OWNER]}}) == [
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such "
        f"requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {UID}"
    ]
    assert owner_warnings({"metadata": {"ownerReferences": [OWNER]}}) == []


def test_finalizers_of_custom_resources_without_a_domain() -> None:
    finalizers = ["a", "a.b", "a.b/c", "orphan", "kubernetes", "known", ""]
    old = {"metadata": {"finalizers": ["known"]}}
    advice = "to avoid accidental conflicts with other finalizer writers"
    assert finalizer_warnings({"metadata": {"finalizers": finalizers}}, old) == [
        f'metadata.finalizers: "a": prefer a domain-qualified finalizer name {advice}',
        f'metadata.finalizers: "a.b": prefer a domain-qualified finalizer name including a path (/) {advice}',
    ]


@pytest.mark.parametrize("definition", [lease.DEFINITION, events.CORE_EVENTS], ids=["leases", "core events"])
def test_finalizers_of_types_that_take_any_qualified_name(definition: ResourceDefinition) -> None:
    for name, good in (("a", True), ("a/b", True), ("", False), ("a/b/c", False), ("x" * 70, False)):
        obj = {"metadata": {"name": "x", "namespace": "default", "finalizers": [name]}}
        assert (validate_metadata(obj, None, definition) == []) is good, name
