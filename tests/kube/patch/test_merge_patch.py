import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.patch import merge_patch
from tenantry.kube.status import StatusError


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": {"x": 1}}, {"a": "s"}, {"a": "s"}),
        ({"a": None}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": [1]}, {"a": [{"b": None}, None]}, {"a": [{}, None]}),
    ],
)
def test_merges(document: Any, patch: Any, result: Any) -> None:
    inputs = copy.deepcopy((document, patch))
    assert merge_patch.apply(document, patch) == result
    assert (document, patch) == inputs


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (None, "Invalid JSON Patch"),
        ([1], "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ("x", "error decoding patch: json: cannot unmarshal string into Go value of type map[string]interface {}"),
    ],
)
def test_what_is_no_object_is_a_bad_request(patch: Any, message: str) -> None:
    with pytest.raises(StatusError) as refused:
        merge_patch.apply({}, patch)
    assert (refused.value.code, refused.value.message) == (400, message)


KEYS = st.sampled_from("abc")
VALUES = st.recursive(
    st.integers(0, 3) | st.text("xy", max_size=1),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=6,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)
PATCHES = st.dictionaries(
    KEYS, st.recursive(VALUES | st.none(), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=6), max_size=3
)


@settings(max_examples=100, deadline=None)
@given(OBJECTS, PATCHES)
def test_applying_twice_is_applying_once(document: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge_patch.apply(document, patch)
    assert merge_patch.apply(once, patch) == once


@settings(max_examples=100, deadline=None)
@given(OBJECTS, OBJECTS)
def test_the_difference_as_a_patch_leads_from_one_to_the_other(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert merge_patch.apply(left, _difference(left, right)) == right


def _difference(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {name: None for name in left if name not in right}
    for name, value in right.items():
        ours = left.get(name)
        if isinstance(value, dict) and isinstance(ours, dict):
            out[name] = _difference(ours, value)
        elif name not in left or ours != value:
            out[name] = value
    return out
