"""Objects inside of custom resources, as kube-apiserver 1.37 decodes and validates them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tenantry.apiserver.decoding import normalise
from tenantry.kube.go_decode import Mismatch
from tenantry.kube.names import dns1035_label_errors, dns1123_label_errors, qualified_name_errors
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.validate import validate
from tests.kube.definitions import KEEP, S, define, obj_schema, version

EMBEDDED = {"type": "object", "x-kubernetes-embedded-resource": True} | KEEP
INNER = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": obj_schema(t=EMBEDDED)}}
DOCUMENT = obj_schema(
    spec=obj_schema(
        t=EMBEDDED,
        inner=INNER,
        list={"type": "array", "items": EMBEDDED},
        map={"type": "object", "additionalProperties": EMBEDDED},
    )
)
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap"}


def first(texts: Iterable[str]) -> str:
    return next(iter(texts))


def errors(spec: dict[str, Any]) -> list[tuple[str, str]]:
    return [(error.field, error.text) for error in validate({"spec": spec}, from_openapi(DOCUMENT))]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (CONFIG, []),
        ({**CONFIG, "metadata": {"name": "Any_Name", "namespace": "n", "labels": {"a": "b"}, "generateName": "g-"}}, []),
        ({}, [("apiVersion", "Required value"), ("kind", "Required value")]),
        ({**CONFIG, "kind": ""}, [("kind", 'Invalid value: "": must not be empty')]),
        ({**CONFIG, "apiVersion": "a/b/c"}, [("apiVersion", 'Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c')]),
        (
            {**CONFIG, "kind": "X_y!"},
            [
                (
                    "kind",
                    'Invalid value: "X_y!": may have mixed case, but should otherwise match: '
                    + first(dns1035_label_errors("x_y!")),
                )
            ],
        ),
        ({**CONFIG, "metadata": {"name": "A/B"}}, [("metadata.name", "Invalid value: \"A/B\": may not contain '/'")]),
        ({**CONFIG, "metadata": {"name": ".."}}, [("metadata.name", "Invalid value: \"..\": may not be '..'")]),
        (
            {**CONFIG, "metadata": {"namespace": "B_"}},
            [("metadata.namespace", f'Invalid value: "B_": {first(dns1123_label_errors("B_"))}')],
        ),
        (
            {**CONFIG, "metadata": {"annotations": {"a b": "c"}}},
            [("metadata.annotations", f'Invalid value: "a b": {first(qualified_name_errors("a b"))}')],
        ),
        (
            {**CONFIG, "metadata": {"ownerReferences": [{"kind": "x"}]}},
            [
                (f"metadata.ownerReferences[0].{name}", "Required value: must not be empty")
                for name in ("apiVersion", "name", "uid")
            ],
        ),
        (
            {**CONFIG, "metadata": {"managedFields": [{"manager": "m"}, {"operation": "X", "fieldsType": "Y"}]}},
            [
                ("metadata.managedFields[0].operation", "Required value: must not be empty"),
                ("metadata.managedFields[1].operation", 'Unsupported value: "X": supported values: "Apply", "Update"'),
                ("metadata.managedFields[1].fieldsType", 'Invalid value: "Y": must be `FieldsV1`'),
            ],
        ),
        (
            {**CONFIG, "metadata": {"labels": {"a": 1}}},
            [
                (
                    "metadata",
                    'Invalid value: {"labels":{"a":1}}: json: cannot unmarshal number into Go struct field ObjectMeta.labels of '
                    "type string",
                )
            ],
        ),
    ],
)
def test_texts(value: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert errors({"t": value}) == [(f"spec.t.{field}", text) for field, text in expected]


def test_places() -> None:
    bad = {**CONFIG, "kind": ""}
    found = errors({"inner": {**bad, "spec": {"t": bad}}, "list": [CONFIG, bad], "map": {"a": bad}})
    assert [field for field, _ in found] == ["spec.inner.kind", "spec.inner.spec.t.kind", "spec.list[1].kind", "spec.map[a].kind"]


def test_an_unchanged_one_is_refused_too() -> None:
    spec = {"spec": {"t": {**CONFIG, "kind": ""}}}
    assert [error.field for error in validate(spec, from_openapi(DOCUMENT), old=spec)] == ["spec.t.kind"]


def decoded(value: Any) -> Any:
    definition = define(version(DOCUMENT))
    obj: dict[str, Any] = {"apiVersion": "g.example/v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": {"t": value}}
    normalise(definition, definition.versions["v1"], obj)
    return obj["spec"]["t"]


def test_metadata_is_decoded_as_go_does() -> None:
    sent = {"name": "x", "zzz": 1, "creationTimestamp": None, "labels": None, "finalizers": [], "generation": 0}
    assert decoded({**CONFIG, "metadata": sent, "data": 1.0}) == {**CONFIG, "metadata": {"name": "x"}, "data": 1}
    assert decoded({**CONFIG, "metadata": None}) == {**CONFIG, "metadata": {}}
    assert decoded({**CONFIG, "metadata": {"creationTimestamp": "2020-01-01T01:00:00+01:00"}})["metadata"] == {
        "creationTimestamp": "2020-01-01T00:00:00Z"
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            {**CONFIG, "metadata": "x"},
            'spec.t.metadata: Invalid value: "x": json: cannot unmarshal string into Go value of type v1.ObjectMeta',
        ),
        (
            {**CONFIG, "metadata": {"labels": "x"}},
            'spec.t.metadata: Invalid value: {"labels":"x"}: json: cannot unmarshal string into Go struct field '
            "ObjectMeta.labels of type map[string]string",
        ),
        (
            {**CONFIG, "metadata": {"creationTimestamp": "x"}},
            'spec.t.metadata: Invalid value: {"creationTimestamp":"x"}: parsing time "x" as "2006-01-02T15:04:05Z07:00": '
            'cannot parse "x" as "2006"',
        ),
        ({"apiVersion": "v1", "kind": 5}, "spec.t.kind: Invalid value: 5: must be a string"),
    ],
)
def test_wrong_types_cannot_be_decoded(value: Any, text: str) -> None:
    with pytest.raises(Mismatch) as caught:
        decoded(value)
    assert caught.value.text() == text


def test_a_schema_without_them_is_not_walked() -> None:
    assert errors({"t": "x"}) == [
        ("spec.t", 'Invalid value: "string": spec.t in body must be of type object: "string"'),
    ]
    assert validate({"spec": {"t": {}}}, from_openapi(obj_schema(spec=obj_schema(t=obj_schema(a=S))))) == []
