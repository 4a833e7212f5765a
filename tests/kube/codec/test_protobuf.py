"""Protobuf bodies of built-in types."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from tenantry.kube.codec.protobuf import MAGIC, decode
from tenantry.kube.decode import check_types
from tenantry.kube.status import StatusError
from tenantry.kube.types import config_map, lease
from tests.support.protobuf import envelope, message

UNRECOGNIZED = "the object provided is unrecognized (must be of type ConfigMap): "


def test_a_config_map_as_a_go_client_sends_it() -> None:
    metadata = message((1, "b"), (2, ""), (3, "default"), (5, ""), (7, 0), (8, b""), (11, {"x": "z"}), (14, "example.com/f"))
    body = envelope("v1", "ConfigMap", message((1, metadata), (2, {"p": "b", "empty": ""}), (3, {"raw": b"\x00\xff"}), (4, 1)))
    obj = decode(body)
    check_types(obj, config_map.DEFINITION, "v1")
    assert obj == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "b", "namespace": "default", "labels": {"x": "z"}, "finalizers": ["example.com/f"]},
        "data": {"p": "b", "empty": ""},
        "binaryData": {"raw": "AP8="},
        "immutable": True,
    }


def test_times_numbers_and_nested_messages() -> None:
    spec = message((1, "me"), (2, 15), (4, message((1, 1577836800), (2, 123456000))), (5, -1))
    obj = decode(envelope("coordination.k8s.io/v1", "Lease", message((2, spec))))
    assert obj["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "renewTime": "2020-01-01T00:00:00.123456Z",
        "leaseTransitions": -1,
    }


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (-62101209600, 5000, "0002-02-03T00:00:00.000005Z"),
        (253402300799, 0, "9999-12-31T23:59:59.000000Z"),
        (-62135596800, 0, None),
    ],
)
def test_times_have_the_digits_that_go_writes(seconds: int, nanos: int, text: str | None) -> None:
    moment = message((1, seconds), (2, nanos))
    managed = message((1, message((17, message((4, moment))))), (2, message((4, moment))))
    obj = decode(envelope("coordination.k8s.io/v1", "Lease", managed))
    assert obj["spec"].get("renewTime") == text
    whole = f"{text[:19]}Z" if text else None
    assert obj["metadata"]["managedFields"][0].get("time") == whole
    check_types(obj, lease.DEFINITION, "v1")


def test_quantities_extra_values_and_options() -> None:
    quota = message((2, message((1, {"configmaps": message((1, "3"))}))))
    assert decode(envelope("v1", "ResourceQuota", quota))["spec"] == {"hard": {"configmaps": "3"}}
    review = message((2, message((3, "x"), (5, {"scopes": message((1, "a"), (1, "b"))}))))
    assert decode(envelope("authorization.k8s.io/v1", "SubjectAccessReview", review))["spec"] == {
        "user": "x",
        "extra": {"scopes": ["a", "b"]},
    }
    options = decode(envelope("v1", "DeleteOptions", message((1, 0), (2, message((1, "u"))), (4, "Background"))))
    assert options["preconditions"] == {"uid": "u"}
    assert options["propagationPolicy"] == "Background"


def test_unknown_numbers_are_skipped() -> None:
    assert decode(envelope("v1", "ConfigMap", message((2, {"a": "b"}), (99, "later"))))["data"] == {"a": "b"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "empty data (<empty>)"),
        (
            b"nonsense",
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] (6e6f6e73656e7365)",
        ),
        (MAGIC + b"\x0a\xff", "proto: unexpected EOF (6b3873000aff)"),
    ],
)
def test_refusals(body: bytes, text: str) -> None:
    with pytest.raises(StatusError) as refused:
        decode(body, kind="ConfigMap")
    assert refused.value.code == 400
    assert refused.value.message == UNRECOGNIZED + text


def test_a_message_cut_anywhere_is_refused_or_shorter() -> None:
    whole = envelope("v1", "ConfigMap", message((1, message((1, "n"))), (2, {"k": "v"})))
    for end in range(len(whole)):
        try:
            decode(whole[:end])
        except StatusError as error:
            assert error.code == 400


CRD_V1 = "apiextensions.k8s.io/v1"


def definition(schema: bytes) -> bytes:
    """A definition as Go writes it: empty strings, numbers and booleans are there."""
    names = message((1, "things"), (2, ""), (4, "Thing"), (5, ""))
    column = message((1, "Color"), (2, "string"), (3, ""), (4, ""), (5, 0), (6, ".spec.color"))
    version = message((1, "v1"), (2, 1), (3, 1), (4, message((1, schema))), (5, message((1, b""))), (6, column), (7, 0))
    spec = message((1, "example.com"), (3, names), (4, "Namespaced"), (7, version), (10, 0))
    return envelope(CRD_V1, "CustomResourceDefinition", message((1, message((1, "things.example.com"))), (2, spec), (3, b"")))


def schema_of(obj: Any) -> Any:
    return obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_a_definition_has_no_zero_values_that_go_leaves_out_of_json() -> None:
    assert decode(definition(message((5, "object"), (4, ""), (10, 0))))["spec"] == {
        "group": "example.com",
        "names": {"plural": "things", "kind": "Thing"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object"}},
                "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
            }
        ],
    }


def test_what_a_schema_may_be_instead() -> None:
    text = message((5, "string"))
    raw = message(
        (8, message((1, b'{"a":1}'))),
        (13, 0),
        (20, message((1, b'"red"'))),
        (20, message((1, b"null"))),
        (24, message((1, text))),
        (29, message((1, "some"), (2, message((24, message((2, text), (2, text))))))),
        (30, message((1, 1), (2, text))),
        (32, message((1, "d"), (2, message((2, "x"), (2, "y"))))),
        (33, message((1, 0))),
        (38, 1),
        (43, "atomic"),
        (44, message((1, "self.a > 0"), (2, ""), (3, ""), (5, ""))),
    ) + bytes((9 << 3 | 1, *bytes.fromhex("0000000000002440")))
    assert schema_of(decode(definition(raw))) == {
        "default": {"a": 1},
        "maximum": 10,
        "maxLength": 0,
        "enum": ["red", None],
        "items": {"type": "string"},
        "properties": {"some": {"items": [{"type": "string"}, {"type": "string"}]}},
        "additionalProperties": {"type": "string"},
        "dependencies": {"d": ["x", "y"]},
        "additionalItems": False,
        "x-kubernetes-preserve-unknown-fields": True,
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-validations": [{"rule": "self.a > 0"}],
    }


def test_a_schema_that_contains_itself_too_often_is_refused() -> None:
    raw = b""
    for _ in range(200):
        raw = message((28, raw))
    with pytest.raises(StatusError) as refused:
        decode(definition(raw), kind="CustomResourceDefinition")
    assert refused.value.message.endswith("proto: exceeded max depth")


def test_messages_in_messages_are_not_copied_for_each_level() -> None:
    raw = message((4, "x" * 1_000_000))
    for _ in range(90):
        raw = message((28, raw))
    body = definition(raw)
    del raw
    tracemalloc.start()
    try:
        decode(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_a_value_of_another_wire_type_is_refused_by_the_name_of_its_field() -> None:
    with pytest.raises(StatusError) as refused:
        decode(definition(message((43, 1))), kind="CustomResourceDefinition")
    assert refused.value.message == (
        'CustomResourceDefinition in version "v1" cannot be handled as a CustomResourceDefinition: '
        "proto: wrong wireType = 0 for field XMapType"
    )


def test_a_body_without_a_kind_has_that_of_its_url() -> None:
    obj = decode(envelope("", "", message((2, {"a": "b"}))), kind="ConfigMap", api_version="v1")
    assert obj == {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(StatusError) as refused:
        decode(envelope("v1", "Frob", b""), kind="ConfigMap")
    assert refused.value.message.startswith('Frob in version "v1" cannot be handled as a ConfigMap: no kind "Frob" is registered')
