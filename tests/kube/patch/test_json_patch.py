import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.patch import json_patch
from tenantry.kube.patch.json_patch import OperationFailed, apply_operations
from tenantry.kube.status import StatusError

DOCUMENT = {"data": {"a": "1", "b/c": "2", "t~x": "3"}, "list": ["x", "y", "z"], "deep": {"list": [{"a": 1}]}, "null": None}


def patched(*operations: Any) -> Any:
    before = copy.deepcopy(DOCUMENT)
    out = json_patch.apply(DOCUMENT, list(operations))
    assert before == DOCUMENT
    return out


@pytest.mark.parametrize(
    ("operation", "path", "value"),
    [
        ({"op": "add", "path": "/data/new", "value": "v"}, ("data", "new"), "v"),
        ({"op": "add", "path": "/data/a", "value": "w"}, ("data", "a"), "w"),
        ({"op": "add", "path": "/data/n"}, ("data", "n"), None),
        ({"op": "replace", "path": "/data/none", "value": "x"}, ("data", "none"), "x"),
        ({"op": "replace", "path": "/data/b~1c", "value": "s"}, ("data", "b/c"), "s"),
        ({"op": "replace", "path": "/data/t~0x", "value": "s"}, ("data", "t~x"), "s"),
        ({"op": "copy", "from": "/data/a", "path": "/data/copied"}, ("data", "copied"), "1"),
        ({"op": "copy", "from": "/data/none", "path": "/data/copied"}, ("data", "copied"), None),
        ({"op": "move", "from": "/data/a", "path": "/moved"}, ("moved",), "1"),
        ({"op": "replace", "path": "/list/0", "value": "q"}, ("list",), ["q", "y", "z"]),
        ({"op": "add", "path": "/list/-", "value": "q"}, ("list",), ["x", "y", "z", "q"]),
        ({"op": "add", "path": "/list/0", "value": "q"}, ("list",), ["q", "x", "y", "z"]),
        ({"op": "add", "path": "/list/3", "value": "q"}, ("list",), ["x", "y", "z", "q"]),
        ({"op": "add", "path": "/list/-1", "value": "q"}, ("list",), ["x", "y", "z", "q"]),
        ({"op": "remove", "path": "/list/-1"}, ("list",), ["x", "y"]),
        ({"op": "remove", "path": "/list/0"}, ("list",), ["y", "z"]),
        ({"op": "move", "from": "/list/0", "path": "/list/-"}, ("list",), ["y", "z", "x"]),
        ({"op": "replace", "path": "/deep/list/0/a", "value": 2}, ("deep", "list"), [{"a": 2}]),
        ({"op": "test", "path": "/data/none", "value": None}, ("data", "a"), "1"),
        ({"op": "test", "path": "/deep", "value": {"list": [{"a": 1}]}}, ("data", "a"), "1"),
        ({"op": "replace", "path": "", "value": {"only": 1}}, ("only",), 1),
    ],
)
def test_operations(operation: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    out = patched(operation)
    for name in path:
        out = out[name]
    assert out == value


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/data/none"},
        {"op": "test", "path": "/data/a", "value": "no"},
        {"op": "test", "path": "/data/none", "value": "x"},
        {"op": "test", "path": "/deep/list/0/a", "value": True},
        {"op": "add", "value": "x"},
        {"path": "/data/x", "value": "x"},
        {"op": "frob", "path": "/data/x"},
        {"op": "add", "path": "data", "value": {}},
        {"op": "add", "path": "/none/x", "value": "1"},
        {"op": "add", "path": "/data/a/x", "value": "1"},
        {"op": "add", "path": "/null/x", "value": "1"},
        {"op": "add", "path": "/list/9", "value": "1"},
        {"op": "replace", "path": "/list/-", "value": "1"},
        {"op": "remove", "path": "/list/x"},
        {"op": "remove", "path": "/list/1_0"},
        {"op": "move", "from": "/none", "path": "/data/x"},
        {"op": "copy", "path": "/data/x"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": ""},
        None,
    ],
)
def test_an_operation_that_fails_is_refused_with_one_text(operation: Any) -> None:
    with pytest.raises(StatusError) as refused:
        patched({"op": "add", "path": "/data/rolled", "value": "1"}, operation)
    assert (refused.value.code, refused.value.reason, refused.value.details) == (422, "Invalid", {})
    assert refused.value.message == "the server rejected our request due to an error in our request"


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ({"op": "add"}, "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        ("x", "error decoding patch: json: cannot unmarshal string into Go value of type []handlers.jsonPatchOp"),
        ([1], "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"),
        (
            [{"op": 1}],
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
        ),
    ],
)
def test_what_is_no_patch_is_a_bad_request(operations: Any, message: str) -> None:
    with pytest.raises(StatusError) as refused:
        json_patch.apply(DOCUMENT, operations)
    assert (refused.value.code, refused.value.message) == (400, message)


def test_null_and_no_operations_change_nothing() -> None:
    assert json_patch.apply(DOCUMENT, None) == DOCUMENT == json_patch.apply(DOCUMENT, [])


def test_too_many_operations() -> None:
    with pytest.raises(StatusError) as refused:
        json_patch.apply(DOCUMENT, [{"op": "test", "path": "/data/a", "value": "1"}] * 10_001)
    assert refused.value.code == 413
    assert refused.value.message == (
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    )


def test_a_patch_cannot_grow_a_document_without_bound() -> None:
    with pytest.raises(StatusError) as refused:
        json_patch.apply({"a": ["x" * 1000]}, [{"op": "copy", "from": "/a", "path": "/a/-"}] * 40)
    assert refused.value.code == 422


def test_a_patch_cannot_nest_a_document_deeper_than_can_be_stored() -> None:
    inner: Any = "leaf"
    for _ in range(150):
        inner = {"a": inner}
    operations = [{"op": "add", "path": "/x", "value": inner}, {"op": "add", "path": "/x" + "/a" * 150, "value": inner}]
    with pytest.raises(StatusError) as refused:
        json_patch.apply({}, operations)
    assert (refused.value.code, refused.value.message) == (400, "exceeded max depth")


def test_the_result_shares_nothing_with_the_patch() -> None:
    operations: list[dict[str, Any]] = [{"op": "add", "path": "/new", "value": {}}, {"op": "add", "path": "/new/x", "value": "1"}]
    assert json_patch.apply({}, operations) == {"new": {"x": "1"}}
    assert operations[0]["value"] == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab/~", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("ab/~", max_size=2), JSON, max_size=4), st.text("ab/~", max_size=2), JSON)
def test_add_then_test_then_remove(document: dict[str, Any], key: str, value: Any) -> None:
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    added = json_patch.apply(
        document, [{"op": "add", "path": path, "value": value}, {"op": "test", "path": path, "value": value}]
    )
    assert added == {**document, key: value}
    removed = json_patch.apply(added, [{"op": "remove", "path": path}])
    assert removed == {name: below for name, below in document.items() if name != key}


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (
            {"op": "remove", "path": "/a/none"},
            "error in remove for path: '/a/none': Unable to remove nonexistent key: none: missing value",
        ),
        ({"op": "remove", "path": "/none/a"}, 'remove operation does not apply: doc is missing path: "/none/a": missing value'),
        (
            {"op": "remove", "path": "/l/7"},
            "error in remove for path: '/l/7': Unable to access invalid index: 7: invalid index referenced",
        ),
        ({"op": "remove", "path": "/l/x"}, "error in remove for path: '/l/x': strconv.Atoi: parsing \"x\": invalid syntax"),
        ({"op": "add", "path": "/none/a"}, 'add operation does not apply: doc is missing path: "/none/a": missing value'),
        ({"op": "add", "path": "a"}, 'add operation does not apply: doc is missing path: "a": missing value'),
        (
            {"op": "add", "path": "/l/x"},
            "error in add for path: '/l/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            {"op": "add", "path": "/l/-9"},
            "error in add for path: '/l/-9': Unable to access invalid index: -9: invalid index referenced",
        ),
        ({"op": "replace", "path": "/none/a"}, "replace operation does not apply: doc is missing path: /none/a: missing value"),
        ({"op": "replace", "path": "/l/7"}, "replace operation does not apply: doc is missing key: /l/7: missing value"),
        ({"op": "replace", "path": "", "value": 1}, "replace operation value must be object or array: %!w(<nil>)"),
        ({"op": "move", "path": "/a"}, "move operation failed to decode from: operation, missing from field: missing value"),
        (
            {"op": "move", "path": "/a", "from": "/no/a"},
            "move operation does not apply: doc is missing from path: /no/a: missing value",
        ),
        (
            {"op": "move", "path": "/a", "from": "/none"},
            "error in move for path: 'none': Unable to remove nonexistent key: none: missing value",
        ),
        (
            {"op": "move", "path": "/no/a", "from": "/a"},
            "move operation does not apply: doc is missing destination path: /no/a: missing value",
        ),
        (
            {"op": "copy", "path": "/a", "from": "/no/a"},
            "copy operation does not apply: doc is missing from path: /no/a: missing value",
        ),
        (
            {"op": "copy", "path": "/l/x", "from": "/a"},
            "error while adding value during copy: value was not a proper array index: 'x': "
            'strconv.Atoi: parsing "x": invalid syntax',
        ),
        ({"op": "test", "path": "/no/a", "value": 1}, "test operation does not apply: is missing path: /no/a: missing value"),
        ({"op": "test", "path": "/l/0", "value": 9}, "testing value /l/0 failed: test failed"),
        ({"op": "frob", "path": "/a"}, "Unexpected kind: frob"),
        ({"path": "/a"}, "Unexpected kind: unknown"),
        ({"op": "add"}, "add operation failed to decode path: missing value"),
        ({"op": "test"}, "test operation failed to decode path: operation missing path field: missing value"),
    ],
)
def test_failures_are_named_for_admission(operation: dict[str, Any], error: str) -> None:
    with pytest.raises(OperationFailed) as raised:
        apply_operations({"a": {"b": 1}, "l": [1, 2]}, [operation])
    assert str(raised.value) == error
    assert raised.value.is_test == error.endswith("test failed")
