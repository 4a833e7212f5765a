"""Pruning and defaulting."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.custom import with_object_fields
from tenantry.kube.schema.default import default, default_within
from tenantry.kube.schema.parse import from_openapi, to_openapi
from tenantry.kube.schema.prune import prune
from tests.kube.definitions import KEEP, I, S, obj_schema

EMBEDDED = {"type": "object", "x-kubernetes-embedded-resource": True}
SCHEMA = obj_schema(
    spec=obj_schema(
        keep=obj_schema(a=S, deep=obj_schema(b=S)) | KEEP,
        prune=obj_schema(a=S),
        color=S | {"default": "red"},
        nul=S | {"default": "d", "nullable": True},
        sub=obj_schema(x=I | {"default": 1}),
        filled=obj_schema(x=I | {"default": 1}) | {"default": {}},
        list={"type": "array", "items": obj_schema(n=I | {"default": 7})},
        map={"type": "object", "additionalProperties": obj_schema(n=I | {"default": 8})},
        template=EMBEDDED | KEEP,
        closed=EMBEDDED | {"properties": {"spec": obj_schema(a=S)}},
    )
)


@pytest.mark.parametrize(
    ("spec", "left", "removed"),
    [
        ({"keep": {"a": "1", "b": 1, "deep": {"z": 1}}}, {"keep": {"a": "1", "b": 1, "deep": {}}}, ["spec.keep.deep.z"]),
        ({"zz": 1, "prune": {"z": {}}}, {"prune": {}}, ["spec.prune.z", "spec.zz"]),
        (
            {"list": [{}, {"q": 1}], "map": {"k": {"q": 1}}},
            {"list": [{}, {}], "map": {"k": {}}},
            ["spec.list[1].q", "spec.map.k.q"],
        ),
        (
            {"template": {"kind": "K", "metadata": {"name": "x", "zz": 1}, "spec": {"a": 1}}},
            {"template": {"kind": "K", "metadata": {"name": "x"}, "spec": {"a": 1}}},
            ["spec.template.metadata.zz"],
        ),
        (
            {"closed": {"apiVersion": "v1", "kind": "K", "spec": {"a": "1", "b": 1}, "zz": 1}},
            {"closed": {"apiVersion": "v1", "kind": "K", "spec": {"a": "1"}}},
            ["spec.closed.spec.b", "spec.closed.zz"],
        ),
        # Where the schema has no object or no list, nothing in it is known.
        ({"color": {"a": 1}, "sub": [{"x": 1}, 2]}, {"color": {}, "sub": [{}, 2]}, ["spec.color.a", "spec.sub[0].x"]),
        (
            {"list": {"n": 1}, "map": [[{"n": 1}]], "nul": [[{"a": [{}]}]]},
            {"list": {}, "map": [[{}]], "nul": [[{}]]},
            ["spec.list.n", "spec.map[0][0].n", "spec.nul[0][0].a"],
        ),
    ],
)
def test_unknown_fields_go(spec: Any, left: Any, removed: list[str]) -> None:
    obj = {"spec": spec}
    assert prune(obj, from_openapi(SCHEMA)) == removed
    assert obj == {"spec": left}


def test_metadata_is_pruned_as_object_meta() -> None:
    obj = {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "labels": {"a": "b"}, "zzz": 1}, "extra": 1}
    assert prune(obj, with_object_fields(from_openapi(SCHEMA))) == ["metadata.zzz", "extra"]


def test_unknown_fields_of_metadata_come_first_and_those_of_embedded_metadata_last() -> None:
    root = with_object_fields(from_openapi(SCHEMA))
    inner = {"kind": "K", "metadata": {"zz": 1}, "spec": {"b": 1}, "zz": 1}
    obj = {"aa": 1, "metadata": {"zz": 1}, "spec": {"closed": inner, "zz": 1}}
    assert prune(obj, root) == [
        "metadata.zz",
        "aa",
        "spec.closed.spec.b",
        "spec.closed.zz",
        "spec.zz",
        "spec.closed.metadata.zz",
    ]
    assert prune(obj, root) == []


@pytest.mark.parametrize(
    ("spec", "filled"),
    [
        ({}, {"color": "red", "nul": "d", "filled": {"x": 1}}),
        ({"color": None, "nul": None, "sub": None}, {"color": "red", "nul": None, "filled": {"x": 1}}),
        ({"list": [{}, {"n": 1}], "map": {"k": {"n": None}}}, {"list": [{"n": 7}, {"n": 1}], "map": {"k": {"n": 8}}}),
        ({"template": {"metadata": {"creationTimestamp": None}}}, {"template": {"metadata": {}}}),
        ({"sub": {"x": 2.0}}, {"sub": {"x": 2}}),
    ],
)
def test_defaults_and_nulls(spec: Any, filled: Any) -> None:
    obj = {"spec": spec}
    assert default(obj, from_openapi(SCHEMA))
    assert obj["spec"] == {"color": "red", "nul": "d", "filled": {"x": 1}} | filled
    assert not default(obj, from_openapi(SCHEMA))


def test_each_object_gets_a_default_of_its_own() -> None:
    schema = from_openapi(SCHEMA)
    one: dict[str, Any] = {"spec": {}}
    two: dict[str, Any] = {"spec": {}}
    default(one, schema)
    default(two, schema)
    one["spec"]["filled"]["x"] = 9
    assert two["spec"]["filled"] == {"x": 1}


def test_a_document_survives_the_round_trip() -> None:
    document = SCHEMA | {"description": "d", "x-kubernetes-validations": [{"rule": "true", "message": "m"}]}
    assert to_openapi(from_openapi(document)) == document


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda i: (
            st.lists(i, max_size=2)
            | st.dictionaries(st.sampled_from(["spec", "keep", "list", "map", "n", "x", "z"]), i, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_once_is_enough(value: Any) -> None:
    schema = from_openapi(SCHEMA)
    prune(value, schema)
    assert prune(value, schema) == []
    default(value, schema)
    assert not default(value, schema)


@pytest.mark.parametrize("obj", [{"list": [{}, {"a": {}}, None], "null": None}, {"list": [{"a": {"b": "1"}}]}])
def test_too_many_defaults_are_taken_back(obj: Any) -> None:
    item = obj_schema(n=S | {"default": "x" * 100}, a=obj_schema(b=S | {"default": "y"})) | {"default": {}}
    schema = from_openapi(
        obj_schema(list={"type": "array", "items": item}, other=S | {"default": "z"}, null=S | {"default": "z"})
    )
    before = orjson.loads(orjson.dumps(obj))
    assert default_within(obj, schema, 110) is None
    assert obj == before
    assert default_within(obj, schema, 1000)
    assert obj["other"] == obj["null"] == "z"


def test_lists_may_be_deeper_than_the_stack() -> None:
    value: Any = {"a": 1}
    for _ in range(5000):
        value = [value]
    obj = {"spec": {"color": value}}
    assert len(prune(obj, from_openapi(SCHEMA))) == 1
