"""What Kubernetes' converter says of strategic merge patches whose result has values of wrong types, recorded from 1.37.2."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.message_tables import Message
from tenantry.kube.objects import Object
from tenantry.kube.patch.restored import problem
from tenantry.kube.types import BUILTINS
from tenantry.tenancy.types.workload_type import WORKLOAD_TYPES
from tests.support.sound_objects import sound_objects

MESSAGES = {each.kind: message for each in BUILTINS if (message := each.versions[each.storage_version].message) is not None}

WORKLOADS = [each.define(identity="x", uid="x") for each in WORKLOAD_TYPES]


def said(kind: str, obj: dict[str, Any]) -> str:
    message = MESSAGES[kind]
    assert message is not None
    return problem(message, obj)


RFC3339 = "2006-01-02T15:04:05Z07:00"


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        ({"data": ["x"]}, "cannot restore map from slice"),
        ({"data": "x"}, "cannot restore map from string"),
        ({"data": 5}, "cannot restore map from int64"),
        ({"data": 5.5}, "cannot restore map from float64"),
        ({"data": True}, "cannot restore map from bool"),
        ({"data": {"x": {"y": "z"}}}, "unrecognized type: string"),
        ({"data": {"x": ["y"]}}, "unrecognized type: string"),
        ({"data": {"x": True}}, "unrecognized type: string"),
        ({"data": {"x": 1.5}}, "unrecognized type: string"),
        ({"data": {"x": 1}}, "cannot convert int64 to string"),
        ({"immutable": "yes"}, "unrecognized type: bool"),
        ({"kind": 5}, "cannot convert int64 to string"),
        ({"metadata": ["x"]}, "cannot restore struct from: slice"),
        ({"metadata": "x"}, "cannot restore struct from: string"),
        ({"metadata": {"finalizers": "x"}}, "cannot restore slice from string"),
        ({"metadata": {"finalizers": [True]}}, "unrecognized type: string"),
        ({"metadata": {"ownerReferences": {"uid": "x"}}}, "cannot restore slice from map"),
        ({"metadata": {"ownerReferences": ["x"]}}, "cannot restore struct from: string"),
        ({"metadata": {"ownerReferences": [{"uid": 1}]}}, "cannot convert int64 to types.UID"),
        ({"metadata": {"generation": "x"}}, "unrecognized type: int64"),
        ({"metadata": {"generation": 1.5}}, "cannot convert float64 to int64"),
        ({"metadata": {"managedFields": [{"manager": 5}]}}, "cannot convert int64 to string"),
        ({"binaryData": {"x": "***"}}, "error decoding from json: illegal base64 data at input byte 0"),
        ({"binaryData": {"x": 5}}, "cannot restore slice from int64"),
        # The first one in the order of the struct's fields, whatever the order of the object's.
        ({"data": 5, "metadata": "x"}, "cannot restore struct from: string"),
        # Types that decode themselves do not tell where.
        ({"metadata": {"creationTimestamp": 5}}, "json: cannot unmarshal number into Go value of type string"),
        ({"metadata": {"creationTimestamp": "x"}}, f'parsing time "x" as "{RFC3339}": cannot parse "x" as "2006"'),
        ({"binaryData": {"x": "YQ="}}, "error decoding from json: illegal base64 data at input byte 3"),
        ({"binaryData": {"x": ["y"]}}, "unrecognized type: uint8"),
        # Right.
        ({"data": None, "metadata": None, "immutable": True, "binaryData": {"x": "YQ==", "y": ""}}, ""),
        ({"metadata": {"generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z"}}, ""),
        ({"metadata": {"generation": 2.0}}, ""),
    ],
)
def test_values_of_wrong_types(obj: dict[str, Any], text: str) -> None:
    assert said("ConfigMap", obj) == text


def test_a_named_string_type_is_named() -> None:
    assert said("Secret", {"type": 5}) == "cannot convert int64 to v1.SecretType"
    assert said("Secret", {"data": {"x": "***"}}) == "error decoding from json: illegal base64 data at input byte 0"


@pytest.mark.parametrize(
    ("kind", "obj", "result"),
    [
        ("Lease", {"spec": {"leaseDurationSeconds": 1 << 31}}, {"spec": {"leaseDurationSeconds": -(1 << 31)}}),
        ("Lease", {"spec": {"leaseDurationSeconds": (1 << 32) + 5}}, {"spec": {"leaseDurationSeconds": 5}}),
        ("Lease", {"spec": {"leaseDurationSeconds": 1e30}}, {"spec": {"leaseDurationSeconds": 0}}),
        ("Lease", {"spec": {"leaseDurationSeconds": 3.0}}, {"spec": {"leaseDurationSeconds": 3}}),
        ("ConfigMap", {"metadata": {"generation": 1e30}}, {"metadata": {"generation": -(1 << 63)}}),
        ("ConfigMap", {"binaryData": {"x": [97, 353]}}, {"binaryData": {"x": "YWE="}}),
    ],
)
def test_numbers_are_cut_as_go_converts_them(kind: str, obj: dict[str, Any], result: dict[str, Any]) -> None:
    message = MESSAGES[kind]
    assert message is not None
    assert problem(message, obj) == ""
    assert obj == result


SERVICE = next(each for each in WORKLOADS if each.kind == "Service").versions["v1"].message
REVISION = next(each for each in WORKLOADS if each.kind == "ControllerRevision").versions["v1"].message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (80, ""),
        ("http", ""),
        (None, ""),
        (True, "json: cannot unmarshal bool into Go value of type int32"),
        ({}, "json: cannot unmarshal object into Go value of type int32"),
        ([], "json: cannot unmarshal array into Go value of type int32"),
        (1.5, "json: cannot unmarshal number 1.5 into Go value of type int32"),
        (1 << 40, "json: cannot unmarshal number 1099511627776 into Go value of type int32"),
    ],
)
def test_a_number_or_a_text(value: Any, text: str) -> None:
    assert SERVICE is not None
    assert problem(SERVICE, {"spec": {"ports": [{"port": 80, "targetPort": value}]}}) == text


@pytest.mark.parametrize("value", [{"a": {"b": 1}}, 5, "x", None, [1]])
def test_anything(value: Any) -> None:
    assert REVISION is not None
    assert problem(REVISION, {"data": value, "revision": 3}) == ""


SOUND = [
    (message, obj)
    for definition, obj in sound_objects()
    if (message := definition.versions[definition.storage_version].message) is not None
]


@pytest.mark.parametrize(("message", "obj"), SOUND, ids=lambda value: value["kind"] if isinstance(value, dict) else "")
def test_a_sound_object_has_no_problem(message: Message, obj: Object) -> None:
    assert problem(message, obj) == ""
