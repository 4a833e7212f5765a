"""Rules that random requests found to differ from those of kube-apiserver 1.37.2, whose answers these are."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.patch import merge_patch
from tenantry.kube.status import already_exists, invalid, not_found
from tests.support.sound_objects import sound_objects

SOUND = {definition.kind: (definition, obj) for definition, obj in sound_objects() if definition.group != "events.k8s.io"}
QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
KINDS = 'supported values: "ServiceAccount", "User", "Group"'
STAMP = "2024-01-01T00:00:00.000000Z"


def made(kind: str, patch: Object) -> Object:
    obj: Object = merge_patch.apply(deepcopy(SOUND[kind][1]), patch)
    obj["metadata"].setdefault("namespace", "default" if SOUND[kind][0].namespaced else "")
    SOUND[kind][0].strategy.default(obj)
    return obj


def created(kind: str, patch: Object) -> list[str]:
    definition, obj = SOUND[kind][0], made(kind, patch)
    definition.strategy.prepare_for_create(obj)
    return [error.message for error in definition.strategy.validate(obj, None, "")]


def updated(kind: str, patch: Object) -> list[str]:
    definition, old, obj = SOUND[kind][0], made(kind, {}), made(kind, patch)
    definition.strategy.prepare_for_create(old)
    definition.strategy.prepare_for_update(obj, old, "")
    return [error.message for error in definition.strategy.validate(obj, old, "")]


@pytest.mark.parametrize(
    ("subjects", "texts"),
    [
        ([{}], [f'subjects[0].kind: Unsupported value: "": {KINDS}', "subjects[0].name: Required value"]),
        ([{"kind": "ServiceAccount", "name": "a"}], ["subjects[0].namespace: Required value"]),
        ([{"kind": "ServiceAccount"}], ["subjects[0].namespace: Required value", "subjects[0].name: Required value"]),
        ([{"kind": "ServiceAccount", "name": "a", "namespace": "b"}], []),
    ],
)
def test_subjects_of_a_cluster_role_binding(subjects: list[Any], texts: list[str]) -> None:
    assert created("ClusterRoleBinding", {"subjects": subjects}) == texts


def test_a_service_account_of_a_role_binding_may_be_of_its_own_namespace() -> None:
    assert created("RoleBinding", {"subjects": [{"kind": "ServiceAccount", "name": "a"}]}) == []


@pytest.mark.parametrize(
    ("patch", "texts"),
    [
        ({"parameters": {"x": "y"}}, ["parameters: Invalid value: null: field is immutable"]),
        (
            {"parameters": {"x": "y"}, "provisioner": "x/y", "volumeBindingMode": "WaitForFirstConsumer"},
            [
                "provisioner: Invalid value: null: field is immutable",
                "parameters: Invalid value: null: field is immutable",
                "volumeBindingMode: Invalid value: null: field is immutable",
            ],
        ),
        ({"allowVolumeExpansion": True}, []),
    ],
)
def test_what_stays_of_a_storage_class(patch: Object, texts: list[str]) -> None:
    assert updated("StorageClass", patch) == texts


def test_what_stays_of_a_volume_attributes_class() -> None:
    assert updated("VolumeAttributesClass", {"driverName": "x.y", "parameters": {"x": "y"}}) == [
        "driverName: Forbidden: updates to driverName are forbidden.",
        "parameters: Forbidden: updates to parameters are forbidden.",
    ]


SOURCE = "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        ({"hostPath": {"path": "/y"}}, [SOURCE]),
        ({"hostPath": None, "nfs": {"server": "a", "path": "/x"}}, [SOURCE]),
        ({"volumeMode": "Block"}, ['volumeMode: Invalid value: "Block": field is immutable']),
        ({"persistentVolumeReclaimPolicy": "Delete"}, []),
    ],
)
def test_what_stays_of_a_volume(spec: Object, texts: list[str]) -> None:
    assert updated("PersistentVolume", {"spec": spec}) == texts


def test_a_secret_for_expansions_may_be_added_to_a_volume() -> None:
    definition, csi = SOUND["PersistentVolume"][0], {"driver": "a.example", "volumeHandle": "h"}
    old = made("PersistentVolume", {"spec": {"hostPath": None, "csi": csi}})
    more = csi | {"controllerExpandSecretRef": {"name": "s", "namespace": "default"}}
    new = made("PersistentVolume", {"spec": {"hostPath": None, "csi": more}})
    assert definition.strategy.validate(new, old, "") == []
    assert [error.message for error in definition.strategy.validate(old, new, "")] == [SOURCE]


@pytest.mark.parametrize("kind", ["PodDisruptionBudget", "Role"])
@pytest.mark.parametrize(("name", "is_right"), [("Jz", True), ("a:b", True), ("-a", True), ("x" * 300, True), ("a/b", False)])
def test_names_that_are_any_segment_of_a_path(kind: str, name: str, is_right: bool) -> None:
    assert (SOUND[kind][0].strategy.name_errors(name, prefix=False) == []) is is_right


@pytest.mark.parametrize(
    ("patch", "texts"),
    [
        ({"eventTime": None}, []),
        (
            {"eventTime": STAMP, "reason": "r"},
            [
                "reportingComponent: Required value",
                'reportingComponent: Invalid value: "": name part must be non-empty',
                f'reportingComponent: Invalid value: "": {QUALIFIED}',
                "reportingInstance: Required value",
                "action: Required value",
            ],
        ),
        (
            {"eventTime": STAMP, "reportingComponent": "c", "reportingInstance": "i", "action": "a" * 129, "reason": ""},
            ['action: Invalid value: "": can have at most 128 characters', "reason: Required value"],
        ),
        ({"eventTime": STAMP, "reportingComponent": "c", "reportingInstance": "i", "action": "a", "reason": "r"}, []),
    ],
)
def test_events_of_the_core_group_that_have_a_time(patch: Object, texts: list[str]) -> None:
    where = {"involvedObject": {"namespace": "default"}, "reportingComponent": None, "reportingInstance": None, "action": None}
    assert created("Event", where | patch) == texts


def test_a_limit_range_gets_a_name() -> None:
    definition, obj = SOUND["LimitRange"][0], made("LimitRange", {"metadata": {"name": None}})
    definition.strategy.prepare_for_create(obj)
    assert len(obj["metadata"]["name"]) == 36
    named = made("LimitRange", {"metadata": {"name": None, "generateName": "x-"}})
    definition.strategy.prepare_for_create(named)
    assert "name" not in named["metadata"]


def test_names_in_errors_are_quoted_as_go_does() -> None:
    things = GroupResource("", "things")
    assert not_found(things, 'a"\n').message == 'things "a\\"\\n" not found'
    assert already_exists(things, "a\\").message == 'things "a\\\\" already exists'
    assert invalid("", "Thing", 'a"', []).message.startswith('Thing "a\\"" is invalid: ')
