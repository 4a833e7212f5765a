import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.apply import field_set
from tenantry.kube.apply.field_set import FieldSet, Path

ELEMENTS = st.sampled_from(["f:a", "f:b", 'k:{"n":"x"}', 'k:{"n":"y","p":1}', 'v:"s"', "v:3", "i:0"])
PATHS = st.lists(st.lists(ELEMENTS, min_size=1, max_size=3).map(tuple), max_size=6)


def members(fields: FieldSet) -> set[Path]:
    return set(field_set.paths(fields))


def of(paths: list[Path]) -> FieldSet:
    return field_set.of_paths(paths)


@settings(max_examples=150, deadline=None)
@given(PATHS, PATHS)
def test_the_algebra_is_that_of_sets_of_paths(left: list[Path], right: list[Path]) -> None:
    ours, theirs = of(left), of(right)
    assert members(ours) == set(left)
    assert members(field_set.union(ours, theirs)) == {*left, *right}
    assert members(field_set.intersection(ours, theirs)) == {*left} & {*right}
    assert members(field_set.difference(ours, theirs)) == {*left} - {*right}
    gone = {path for path in left if any(path[: len(other)] == other for other in right)}
    assert members(field_set.recursive_difference(ours, theirs)) == {*left} - gone
    assert all(field_set.has(ours, path) == (path in left) for path in [*left, *right])


@settings(max_examples=150, deadline=None)
@given(PATHS, PATHS)
def test_results_are_canonical(left: list[Path], right: list[Path]) -> None:
    ours, theirs = of(left), of(right)
    for result in (
        field_set.union(ours, theirs),
        field_set.intersection(ours, theirs),
        field_set.difference(ours, theirs),
        field_set.recursive_difference(ours, theirs),
    ):
        assert result == of(sorted(members(result)))
        assert field_set.decode(orjson.loads(orjson.dumps(result))) == result
        assert field_set.ordered(result) == result


def test_operations_leave_their_inputs_alone() -> None:
    left, right = of([("f:a",), ("f:a", "f:b")]), of([("f:a", "f:b")])
    before = orjson.dumps([left, right])
    field_set.union(left, right)
    field_set.difference(left, right)
    field_set.intersection(left, right)
    assert orjson.dumps([left, right]) == before


@pytest.mark.parametrize(
    ("written", "decoded"),
    [
        ({}, {}),
        (None, {}),
        ({"f:a": {".": {}}}, {"f:a": {}}),
        ({"f:a": None}, {"f:a": {}}),
        ({"f:a": {"x:unknown": {}, "f:b": {}}}, {"f:a": {"f:b": {}}}),
        ({'k:{"b":1, "a":"x"}': {}}, {'k:{"a":"x","b":1}': {}}),
        ({"i:01": {}}, {"i:1": {}}),
        ({'k:{"a":1}': {"f:x": {}}, 'k:{"a": 1}': {"f:y": {}}}, {'k:{"a":1}': {"f:x": {}, "f:y": {}}}),
    ],
)
def test_decode_makes_what_anybody_wrote_canonical(written: object, decoded: FieldSet) -> None:
    assert field_set.decode(written) == decoded


@pytest.mark.parametrize("written", [[], "x", {"a": {}}, {"fa": {}}, {"v:{": {}}, {"k:[]": {}}, {"i:x": {}}, {"f:a": []}])
def test_decode_refuses_what_is_no_set(written: object) -> None:
    with pytest.raises(ValueError):
        field_set.decode(written)


def test_order_is_dot_first() -> None:
    ordered = field_set.ordered({"f:b": {}, "f:a": {"f:z": {}, ".": {}}})
    assert orjson.dumps(ordered) == b'{"f:a":{".":{},"f:z":{}},"f:b":{}}'


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("f:spec", 'k:{"port":80,"protocol":"TCP"}', "f:name"), '.spec[port=80,protocol="TCP"].name'),
        (("f:set", 'v:"a\\nb"'), '.set[="a\\nb"]'),
        (("f:list", "i:3"), ".list[3]"),
        (("f:a.b/c",), ".a.b/c"),
    ],
)
def test_display(path: Path, text: str) -> None:
    assert field_set.display(path) == text


def test_elements_escape_as_go_does() -> None:
    assert field_set.value_element("<&>") == 'v:"\\u003c\\u0026\\u003e"'
    assert field_set.key_element({"b": True, "a": "x"}) == 'k:{"a":"x","b":true}'
