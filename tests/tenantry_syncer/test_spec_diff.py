"""JSON patches of annotations: as RFC 6902 says, and within bounds."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.patch.json_patch import apply
from tenantry.kube.status import StatusError
from tenantry_syncer.spec_diff import OPERATIONS_MAX, TEXT_MAX, BadPatch, patched

VALUES = st.recursive(
    st.integers(0, 3) | st.booleans() | st.just("x"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)
POINTERS = st.lists(st.sampled_from(["a", "b", "0", "1", "-"]), min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
OPERATIONS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "test", "move", "copy"]),
        "path": POINTERS,
        "from": POINTERS,
        "value": VALUES,
    }
)


@given(st.dictionaries(st.sampled_from("ab"), VALUES), st.lists(OPERATIONS, max_size=4))
@settings(max_examples=300, deadline=None)
def test_it_does_what_a_patch_of_a_request_does(document: Any, operations: list[Any]) -> None:
    before = copy.deepcopy(document)
    try:
        made = patched(document, json.dumps(operations))
    except BadPatch:
        return
    finally:
        assert document == before
    try:
        expected = apply(copy.deepcopy(document), copy.deepcopy(operations))
    except StatusError:
        return
    assert made == expected


def test_operations() -> None:
    document = {"replicas": 1, "list": ["a", "b"], "a/b": {"~": 1}}
    operations = [
        {"op": "test", "path": "/replicas", "value": 1},
        {"op": "replace", "path": "/replicas", "value": 3},
        {"op": "add", "path": "/list/-", "value": "c"},
        {"op": "remove", "path": "/list/0"},
        {"op": "replace", "path": "/a~1b/~0", "value": 2},
        {"op": "move", "from": "/list", "path": "/moved"},
        {"op": "copy", "from": "/moved", "path": "/copied"},
    ]
    made = patched(document, json.dumps(operations))
    assert made == {"replicas": 3, "a/b": {"~": 2}, "moved": ["b", "c"], "copied": ["b", "c"]}


DOUBLING = [{"op": "add", "path": "/a", "value": {}}, *[{"op": "copy", "from": "/a", "path": f"/a/{n}"} for n in range(99)]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "null",
        "[1]",
        "[{}]",
        '[{"op":"add"}]',
        '[{"op":"add","path":"/a"}]',
        '[{"op":"add","path":"a","value":1}]',
        '[{"op":"jump","path":"/a","value":1}]',
        '[{"op":"replace","path":"/none","value":1}]',
        '[{"op":"remove","path":""}]',
        '[{"op":"test","path":"/a","value":true}]',
        '[{"op":"add","path":"/a/b","value":1}]',
        '[{"op":"move","from":"/a","path":"/a/b"}]',
        "[" * 30_000,
        json.dumps([{"op": "add", "path": "/a", "value": 1}] * (OPERATIONS_MAX + 1)),
        json.dumps([{"op": "add", "path": "/a", "value": "x" * TEXT_MAX}]),
        json.dumps(DOUBLING),
    ],
)
def test_patches_that_cannot_be_applied(text: str) -> None:
    with pytest.raises(BadPatch):
        patched({"a": 1}, text)
