"""Validation of values: upstream's texts, ratcheting, unique lists, and an oracle for the plain JSON Schema part."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.validate import validate
from tests.kube.definitions import B, I, N, S, obj_schema

CASES: list[tuple[dict[str, Any], Any, list[tuple[str, str, str]]]] = [
    (I, "5", [("TypeInvalid", "spec.f", 'Invalid value: "string": spec.f in body must be of type integer: "string"')]),
    (I, True, [("TypeInvalid", "spec.f", 'Invalid value: "boolean": spec.f in body must be of type integer: "boolean"')]),
    (
        I,
        1.5,
        [
            ("TypeInvalid", "spec.f", 'Invalid value: "number": spec.f in body must be of type integer: "number"'),
            ("Invalid", "<nil>", 'Invalid value: "": Checked value must be of type integer (default format) in spec.f'),
        ],
    ),
    (
        I | {"format": "int32"},
        3_000_000_000,
        [("Invalid", "<nil>", 'Invalid value: "": Checked value must be of type integer with format int32 in spec.f')],
    ),
    # What Go decodes as a float64 has the float's problem, whatever it looks like.
    *(
        (
            I,
            value,
            [
                ("TypeInvalid", "spec.f", 'Invalid value: "number": spec.f in body must be of type integer: "number"'),
                ("Invalid", "<nil>", 'Invalid value: "": Checked value must be of type integer (default format) in spec.f'),
            ],
        )
        for value in (1 << 63, float(1 << 63), -float(1 << 63), 1e30)
    ),
    (
        {"type": "number", "format": "float"},
        3.5e38,
        [("Invalid", "<nil>", 'Invalid value: "": Checked value must be of type number with format float in spec.f')],
    ),
    ({"type": "number", "format": "float"}, 3.4e38, []),
    ({"type": "number", "multipleOf": 0.1}, 0.3, []),
    (
        {"type": "number", "multipleOf": 0.1},
        0.35,
        [("Invalid", "spec.f", "Invalid value: 0.35: spec.f in body should be a multiple of 0.1")],
    ),
    (
        {"type": "number", "multipleOf": 0.1},
        1,
        [("Invalid", "spec.f", "Invalid value: 0: factor MultipleOf declared for spec.f must be positive: 0")],
    ),
    (
        I | {"maximum": 1.5},
        2,
        [
            ("Invalid", "<nil>", 'Invalid value: "": Maximum boundary value must be of type integer (default format) in spec.f'),
            ("Invalid", "spec.f", "Invalid value: 2: spec.f in body should be less than or equal to 1.5"),
        ],
    ),
    # Upstream compares integers with the integer part of a bound.
    ({"type": "number", "minimum": 1.5}, 1, []),
    ({"type": "number", "enum": [1.5, 2]}, 2.5, []),
    (
        {"type": "number", "enum": [1.5, 2]},
        3.5,
        [("NotSupported", "spec.f", 'Unsupported value: 3.5: supported values: "1.5", "2"')],
    ),
    (S | {"minLength": 2}, "a", [("Invalid", "spec.f", 'Invalid value: "a": spec.f in body should be at least 2 chars long')]),
    (S | {"maxLength": 4}, "abcde", [("TooLong", "spec.f", "Too long: may not be more than 4 bytes")]),
    (S | {"maxLength": 4}, "äöüß", []),
    (
        S | {"pattern": "^[a-z]+$"},
        "ABC",
        [("Invalid", "spec.f", "Invalid value: \"ABC\": spec.f in body should match '^[a-z]+$'")],
    ),
    (
        S | {"enum": ["red", "blue"]},
        "green",
        [("NotSupported", "spec.f", 'Unsupported value: "green": supported values: "red", "blue"')],
    ),
    (I | {"minimum": 1}, 0, [("Invalid", "spec.f", "Invalid value: 0: spec.f in body should be greater than or equal to 1")]),
    (
        I | {"maximum": 9, "exclusiveMaximum": True},
        9,
        [("Invalid", "spec.f", "Invalid value: 9: spec.f in body should be less than 9")],
    ),
    (I | {"multipleOf": 3}, 4, [("Invalid", "spec.f", "Invalid value: 4: spec.f in body should be a multiple of 3")]),
    (
        N | {"minimum": 0.5},
        0.25,
        [("Invalid", "spec.f", "Invalid value: 0.25: spec.f in body should be greater than or equal to 0.5")],
    ),
    (N, 3, []),
    ({"x-kubernetes-int-or-string": True}, "5%", []),
    (
        {"x-kubernetes-int-or-string": True},
        1.5,
        [("TypeInvalid", "spec.f", 'Invalid value: "number": spec.f in body must be of type integer,string: "number"')],
    ),
    (
        {"type": "array", "items": I, "minItems": 1},
        [],
        [("Invalid", "spec.f", "Invalid value: 0: spec.f in body should have at least 1 items")],
    ),
    ({"type": "array", "items": I, "maxItems": 1}, [1, 2], [("TooMany", "spec.f", "Too many: 2: must have at most 1 item")]),
    (
        {"type": "array", "items": I},
        [1, "x"],
        [("TypeInvalid", "spec.f[1]", 'Invalid value: "string": spec.f[1] in body must be of type integer: "string"')],
    ),
    (obj_schema("inner", inner=I), {}, [("Required", "spec.f.inner", "Required value")]),
    (
        {"type": "object", "additionalProperties": I, "maxProperties": 1},
        {"a": 1, "b": 2},
        [("TooMany", "spec.f", "Too many: 2: must have at most 1 item")],
    ),
    (S | {"nullable": True}, None, []),
    (S, None, [("TypeInvalid", "spec.f", 'Invalid value: "null": spec.f in body must be of type string: "null"')]),
    (
        S | {"format": "date"},
        "2020-13-01",
        [("TypeInvalid", "spec.f", 'Invalid value: "2020-13-01": spec.f in body must be of type date: "2020-13-01"')],
    ),
    (
        S | {"not": {"enum": ["bad"]}},
        "bad",
        [("Invalid", "<nil>", 'Invalid value: "": "spec.f" must not validate the schema (not)')],
    ),
    (
        {"type": "object", "properties": {"a": S, "b": S}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"a": "1", "b": "2"},
        [
            (
                "Invalid",
                "<nil>",
                'Invalid value: "": "spec.f" must validate one and only one schema (oneOf). Found 2 valid alternatives',
            )
        ],
    ),
    (
        {"type": "object", "properties": {"a": S, "b": S}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {},
        [
            ("Invalid", "<nil>", 'Invalid value: "": "spec.f" must validate at least one schema (anyOf)'),
            ("Required", "spec.f.a", "Required value"),
        ],
    ),
    (
        {"type": "array", "items": S, "x-kubernetes-list-type": "set"},
        ["a", "b", "a"],
        [("Duplicate", "spec.f[2]", 'Duplicate value: "a"')],
    ),
    (
        {
            "type": "array",
            "items": obj_schema("k", k=S, p=S),
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k", "p"],
        },
        [{"k": "a", "p": "x"}, {"p": "x", "k": "a"}],
        [("Duplicate", "spec.f[1]", 'Duplicate value: {"k":"a","p":"x"}')],
    ),
    (
        {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
        {"apiVersion": "v1", "metadata": {"name": "x"}},
        [("Required", "spec.f.kind", "Required value")],
    ),
]


@pytest.mark.parametrize(("schema", "value", "expected"), CASES)
def test_texts(schema: dict[str, Any], value: Any, expected: list[tuple[str, str, str]]) -> None:
    root = from_openapi(obj_schema(spec=obj_schema(f=schema)))
    found = [(e.kind, e.field, e.text) for e in validate({"spec": {"f": value}}, root)]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", ["at least 2 chars"]),
        ("1", ["at least 2 chars"]),
        ("11111", ["may not be more than 4 bytes"]),
        ("111", ["should match"]),
        ("aaa", []),
    ],
)
def test_of_a_string_the_first_thing_is_told_that_is_wrong_with_lengths_and_pattern(value: str, told: list[str]) -> None:
    found = validate(value, from_openapi({"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^a+$"}))
    assert len(found) == len(told) and all(text in error.text for text, error in zip(told, found, strict=True))


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("enum", [["x"], ["x", None]])
def test_an_enum_never_has_null(nullable: bool, enum: list[Any]) -> None:
    schema = from_openapi({"type": "string", "nullable": nullable, "enum": enum})
    kinds = [error.kind for error in validate(None, schema)]
    assert kinds == ["NotSupported"] if nullable else ["TypeInvalid", "NotSupported"]


def test_a_prefix_is_in_fields_and_not_in_messages() -> None:
    [error] = validate("z", from_openapi(S | {"pattern": "^a$"}), path="x.default")
    assert (error.field, error.text) == ("x.default", "Invalid value: \"z\":  in body should match '^a$'")


def test_what_did_not_change_may_stay_invalid() -> None:
    items = obj_schema("k", k=S, v=S | {"pattern": "^[a-z]+$"})
    keyed = {"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    root = from_openapi(obj_schema(a=S | {"pattern": "^[a-z]+$"}, b=S, l=keyed, req=obj_schema("x", x=S, y=S)))
    old = {"a": "LOUD", "b": "x", "l": [{"k": "1", "v": "LOUD"}, {"k": "2", "v": "ok"}], "req": {}}

    def fields(**change: Any) -> list[str]:
        return [e.field for e in validate(old | change, root, old=old)]

    assert fields(b="y") == []
    assert fields(a="LOUDER") == ["a"]
    assert fields(l=[{"k": "2", "v": "ok"}, {"k": "1", "v": "LOUD"}]) == []
    assert fields(l=[{"k": "1", "v": "LOUD"}, {"k": "3", "v": "LOUD"}]) == ["l[1].v"]
    assert fields(req={"y": "1"}) == ["req.x"]
    assert {e.field for e in validate(old, root)} == {"a", "l[0].v", "req.x"}


def test_a_list_that_was_not_unique_need_not_become_so() -> None:
    root = from_openapi(obj_schema(s={"type": "array", "items": S, "x-kubernetes-list-type": "set"}, b=S))
    old = {"s": ["a", "a"]}
    assert validate({"s": ["a", "a", "b"]}, root, old=old) == []
    assert [e.field for e in validate({"s": ["b", "b"]}, root, old={"s": ["b"]})] == ["s[1]"]


scalars = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("integer")},
        optional={"minimum": st.integers(-5, 5), "maximum": st.integers(-5, 5), "multipleOf": st.integers(1, 4)},
    ),
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 3),
            "maxLength": st.integers(0, 4),
            "enum": st.lists(st.sampled_from(["", "a", "bb"]), min_size=1),
        },
    ),
    st.just(B),
    # Upstream compares whole numbers with bounds without their fractions.
    st.fixed_dictionaries({"type": st.just("number")}, optional={"minimum": st.integers(-2, 2).map(float)}),
)


KEYED = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["k"],
    "items": obj_schema(k=S, v={"type": "array", "items": S}),
}
RULED = obj_schema(keyed=KEYED, plain={"type": "array", "items": S}, n=I)
RULED["x-kubernetes-validations"] = [{"rule": "self.n < 3"}]
ITEMS = st.lists(st.tuples(st.text("abc", min_size=1, max_size=2), st.lists(st.sampled_from("xy"), max_size=2)), max_size=4)


@given(ITEMS.map(lambda items: [{"k": key, "v": value} for key, value in dict(items).items()]), st.randoms(use_true_random=False))
def test_items_of_a_map_list_that_changed_places_are_no_change(items: list[Any], random: Any) -> None:
    schema = from_openapi(RULED)
    moved = random.sample(items, len(items))
    assert validate({"n": 9, "keyed": moved}, schema, old={"n": 9, "keyed": items}) == []
    assert validate({"n": 9, "keyed": moved}, schema) != []
    other = [*moved, {"k": "new"}]
    assert validate({"n": 9, "keyed": other}, schema, old={"n": 9, "keyed": items}) != []
    if items:
        changed = [{**moved[0], "v": ["other"]}, *moved[1:]]
        assert validate({"n": 9, "keyed": changed}, schema, old={"n": 9, "keyed": items}) != []


def test_items_of_another_list_that_changed_places_are_a_change() -> None:
    schema = from_openapi(RULED)
    assert validate({"n": 9, "plain": ["b", "a"]}, schema, old={"n": 9, "plain": ["a", "b"]}) != []
    inner = {"k": "a", "v": ["y", "x"]}
    assert validate({"n": 9, "keyed": [inner]}, schema, old={"n": 9, "keyed": [{"k": "a", "v": ["x", "y"]}]}) != []


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["a", "b", "c"])
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner}, optional={"minItems": st.integers(0, 2), "maxItems": st.integers(0, 3)}
        ),
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(names, inner, max_size=3)},
            optional={"required": st.lists(names, unique=True, max_size=2), "minProperties": st.integers(0, 2)},
        ),
        st.fixed_dictionaries({"type": st.just("object"), "additionalProperties": inner}),
        st.builds(lambda branch, word: {word: [branch, {"type": "string"}]}, inner, st.sampled_from(["anyOf", "allOf", "oneOf"])),
    )


values = st.recursive(
    st.one_of(st.integers(-6, 6), st.sampled_from(["", "a", "bb", "ccccc"]), st.booleans(), st.floats(-3, 3, allow_nan=False)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.recursive(scalars, nested, max_leaves=6), values)
def test_it_agrees_with_a_json_schema_validator(schema: dict[str, Any], value: Any) -> None:
    assert (not validate(value, from_openapi(schema))) == jsonschema_rs.is_valid(schema, value)
