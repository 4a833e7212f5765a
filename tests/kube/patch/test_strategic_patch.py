import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.patch import strategic_patch
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import StatusError

TEXT = Schema(type="string")


def by_key(key: str, **properties: Schema) -> Schema:
    items = Schema(type="object", properties={key: TEXT, "value": TEXT, **properties})
    return Schema(type="array", items=items, patch_strategy=("merge",), patch_merge_key=key)


SCHEMA = Schema(
    type="object",
    ref="io.k8s.api.core.v1.Sample",
    properties={
        "metadata": Schema(
            type="object",
            properties={
                "finalizers": Schema(type="array", items=TEXT, patch_strategy=("merge",)),
                "labels": Schema(type="object", additional=TEXT),
            },
        ),
        "data": Schema(type="object", additional=TEXT),
        "items": by_key("name", inner=by_key("name")),
        "atomic": Schema(type="array", items=Schema(type="object", properties={"name": TEXT})),
        "whole": Schema(type="object", properties={"a": TEXT, "b": TEXT}, patch_strategy=("replace",)),
        "union": Schema(type="object", properties={"a": TEXT, "b": TEXT}, patch_strategy=("retainKeys",)),
    },
)
DOCUMENT: dict[str, Any] = {
    "metadata": {"finalizers": ["x", "y"], "labels": {"l": "1"}},
    "data": {"a": "1", "b": "2"},
    "items": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}],
    "atomic": [{"name": "i"}, {"name": "j"}],
    "whole": {"a": "1"},
    "union": {"a": "1"},
}


def patched(patch: Any) -> Any:
    inputs = copy.deepcopy((DOCUMENT, patch))
    out = strategic_patch.apply(DOCUMENT, patch, SCHEMA)
    assert (DOCUMENT, patch) == inputs
    return out


def items(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


@pytest.mark.parametrize(
    ("patch", "field", "result"),
    [
        ({"data": {"a": "9", "c": "3"}}, "data", {"a": "9", "b": "2", "c": "3"}),
        ({"data": {"a": None}}, "data", {"b": "2"}),
        ({"data": None}, "data", None),
        ({"data": {"$patch": "replace", "only": "1"}}, "data", {"only": "1"}),
        ({"data": {"$patch": "delete"}}, "data", {}),
        ({"data": {"$retainKeys": ["a", "p"], "p": "1"}}, "data", {"a": "1", "p": "1"}),
        ({"whole": {"b": "2"}}, "whole", {"b": "2"}),
        ({"union": {"b": "2"}}, "union", {"a": "1", "b": "2"}),
        ({"union": {"$retainKeys": ["b"], "b": "2"}}, "union", {"b": "2"}),
        ({"atomic": [{"name": "k"}]}, "atomic", [{"name": "k"}]),
        ({"items": [{"name": "c"}]}, "items", [{"name": "c"}, *DOCUMENT["items"]]),
        ({"items": [{"name": "b", "value": "9"}]}, "items", [{"name": "a", "value": "1"}, {"name": "b", "value": "9"}]),
        ({"items": [{"$patch": "delete", "name": "a"}]}, "items", [{"name": "b", "value": "2"}]),
        ({"items": [{"$patch": "replace"}, {"name": "z"}]}, "items", [{"name": "z"}]),
        ({"items": None}, "items", None),
        ({"$setElementOrder/items": items("b", "a")}, "items", [{"name": "b", "value": "2"}, {"name": "a", "value": "1"}]),
        (
            {"$setElementOrder/items": items("b", "c", "a"), "items": [{"name": "c"}]},
            "items",
            [{"name": "b", "value": "2"}, {"name": "c"}, {"name": "a", "value": "1"}],
        ),
        ({"$setElementOrder/items": items("b"), "items": []}, "items", DOCUMENT["items"]),
        (
            {"items": [{"name": "a", "inner": [{"name": "i", "value": None}, {"$patch": "delete", "name": "j"}]}]},
            "items",
            [{"name": "a", "value": "1", "inner": [{"name": "i"}]}, {"name": "b", "value": "2"}],
        ),
        ({"unknown": {"a": None, "b": 1}}, "unknown", {"b": 1}),
        ({"data": "x"}, "data", "x"),
        (None, "data", DOCUMENT["data"]),
    ],
)
def test_merges(patch: Any, field: str, result: Any) -> None:
    assert patched(patch).get(field) == result


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"finalizers": ["z"]}, ["z", "x", "y"]),
        ({"finalizers": ["x"]}, ["x", "y"]),
        ({"$deleteFromPrimitiveList/finalizers": ["y"]}, ["x"]),
        ({"$deleteFromPrimitiveList/finalizers": ["y"], "finalizers": ["z"]}, ["z", "x"]),
        ({"$setElementOrder/finalizers": ["z", "y"], "finalizers": ["z"]}, ["z", "x", "y"]),
        ({"$setElementOrder/finalizers": ["y", "x"]}, ["y", "x"]),
        ({"finalizers": None}, None),
        ({"$deleteFromPrimitiveList/missing": ["y"]}, ["x", "y"]),
        ({"$setElementOrder/labels2": ["y"]}, ["x", "y"]),
    ],
)
def test_lists_of_scalars(patch: dict[str, Any], result: Any) -> None:
    schema = Schema(
        type="object", properties={**SCHEMA.properties["metadata"].properties, "labels2": Schema(type="array", items=TEXT)}
    )
    assert strategic_patch.apply(DOCUMENT["metadata"], patch, schema).get("finalizers") == result


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ([], 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ({"data": {"$patch": "merge", "more": "2"}}, 500, "unknown patch type: merge in map: map[$patch:merge more:2]"),
        ({"items": [{"value": "x"}]}, 500, "map: map[value:x] does not contain declared merge key: name"),
        ({"items": [{"$patch": "frob", "name": "a"}]}, 500, "unknown patch type: frob in map: map[$patch:frob name:a]"),
        ({"items": [{"$patch": "merge", "name": "a"}]}, 500, "merging lists cannot yet be specified in the patch"),
        (
            {"metadata": {"finalizers": [{"$patch": "replace"}]}},
            500,
            "list element types are not identical: [[x y] [map[$patch:replace]]]",
        ),
        (
            {"metadata": {"$setElementOrder/finalizers": ["q"], "finalizers": ["r"]}},
            500,
            "The order in patch list:\n[r]\n doesn't match $setElementOrder list:\n[q]\n",
        ),
        ({"data": {"$retainKeys": ["p"], "q": "1"}}, 400, "invalid patch format of retainKeys"),
        ({"data": {"$retainKeys": "p"}}, 400, "invalid patch format of retainKeys"),
        ({"metadata": {"$deleteFromPrimitiveList": ["a"]}}, 400, "invalid patch format of primitive list"),
        ({"metadata": {"$setElementOrderX/finalizers": []}}, 400, "invalid patch format of setElementOrder list"),
        ({"metadata": {"$setElementOrder/finalizers": "x"}}, 500, "expected a []interface {}, but received a string"),
    ],
)
def test_refusals(patch: Any, code: int, message: str) -> None:
    with pytest.raises(StatusError) as refused:
        patched(patch)
    assert (refused.value.code, refused.value.message) == (code, message)


NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5)


@settings(max_examples=100, deadline=None)
@given(NAMES, NAMES)
def test_merging_lists_by_key_is_a_union_in_both_orders(live: list[str], wanted: list[str]) -> None:
    out = strategic_patch.apply({"items": items(*live)}, {"items": items(*wanted)}, SCHEMA)["items"]
    names = [item["name"] for item in out]
    assert sorted(names) == sorted({*live, *wanted})
    assert [name for name in names if name in wanted] == wanted
    assert [name for name in names if name not in wanted] == [name for name in live if name not in wanted]


@settings(max_examples=100, deadline=None)
@given(NAMES, NAMES)
def test_setting_the_order_of_everything_sets_it(live: list[str], order: list[str]) -> None:
    patch = {"$setElementOrder/items": items(*order), "items": items(*order)}
    out = strategic_patch.apply({"items": items(*live)}, patch, SCHEMA)["items"] if live or order else []
    assert [item["name"] for item in out if item["name"] in order] == order
