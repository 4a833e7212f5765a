"""Numbers in objects without a type: the form in which Go holds and writes them."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.apply.field_set import value_element
from tenantry.kube.numbers import canonical, canonicalise, in_go_form, is_canonical, json_text
from tenantry.kube.schema.default import default, holds_floats
from tenantry.kube.schema.parse import from_openapi

WRITTEN = [
    ("1.0", "1"),
    ("-0.0", "0"),
    ("1e3", "1000"),
    ("1e20", "100000000000000000000"),
    ("1e21", "1e+21"),
    ("123456789012345678901", "123456789012345680000"),
    ("9007199254740993", "9007199254740993"),
    ("9223372036854775807", "9223372036854775807"),
    ("6.067273209995851e16", "60672732099958510"),
    ("9223372036854775808", "9223372036854776000"),
    ("-9223372036854775808", "-9223372036854775808"),
    ("-9223372036854775809", "-9223372036854776000"),
    ("18446744073709551615", "18446744073709552000"),
    ("1e-6", "0.000001"),
    ("1e-7", "1e-7"),
    ("1.5e-10", "1.5e-10"),
    ("12345678.9", "12345678.9"),
    ("1e308", "1e+308"),
]
"""What is sent, and what kube-apiserver 1.37 answers and stores."""


@pytest.mark.parametrize(("sent", "written"), WRITTEN)
def test_numbers_are_written_as_go_does(sent: str, written: str) -> None:
    encoded = f'{{"a":{{"b":[{sent},"x:{sent},"]}}}}'.encode()
    value = orjson.loads(encoded)
    canonicalise(value)
    stored = in_go_form(orjson.dumps(value))
    assert stored.decode() == f'{{"a":{{"b":[{written},"x:{sent},"]}}}}'
    # What is read back is the same value, in the same form.
    again = orjson.loads(stored)
    assert not canonicalise(again)
    assert again == value
    assert in_go_form(orjson.dumps(again)) == stored


numbers = st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)


@given(numbers)
def test_the_canonical_form_is_one_form(number: float) -> None:
    form = canonical(number)
    assert canonical(form) == form
    assert float(form) == float(number) or abs(number) >= 2**53
    text = json_text(form) if isinstance(form, float) else str(form)
    assert float(text) == float(number)
    assert is_canonical(number) == (canonical(number) is number) or form == number
    assert canonical(json.loads(text)) == form or abs(float(text)) >= 2**63


@given(st.recursive(numbers | st.text() | st.none() | st.booleans(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_any_text_stays_as_it_is(value: Any) -> None:
    values = [value]
    try:
        canonicalise(values)
        encoded = orjson.dumps(values)
    except TypeError:
        return
    assert orjson.loads(in_go_form(encoded)) == orjson.loads(encoded)


def test_declared_fields_and_others_are_alike() -> None:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = from_openapi(
        {
            "type": "object",
            "properties": {
                "n": {"type": "number"},
                "list": {"type": "array", "items": {"type": "number"}},
                "map": {"type": "object", "additionalProperties": {"type": "integer"}},
                "any": anything,
                "mixed": anything | {"properties": {"n": {"type": "integer"}}},
                "free": {"type": "object", "additionalProperties": True},
                "either": {"x-kubernetes-int-or-string": True},
                "typeless": {"x-kubernetes-preserve-unknown-fields": True},
                "lists": {"type": "array", "items": anything},
            },
        }
    )
    sent: dict[str, Any] = {
        "n": 1.0,
        "list": [2.0, 0.5],
        "map": {"a": -0.0},
        "any": {"a": [{"b": 3.0}]},
        "mixed": {"n": 1.0, "x": [4.0], "y": 5.0},
        "free": {"x": 6.0, "y": {"z": 7.0}},
        "either": 8.0,
        "typeless": [9.0],
        "lists": [{"a": 1.0}],
    }
    assert default(sent, schema)
    assert orjson.dumps(sent) == (
        b'{"n":1,"list":[2,0.5],"map":{"a":0},"any":{"a":[{"b":3}]},"mixed":{"n":1,"x":[4],"y":5},'
        b'"free":{"x":6,"y":{"z":7}},"either":8,"typeless":[9],"lists":[{"a":1}]}'
    )
    assert not default(sent, schema)


def test_which_schemas_hold_floats() -> None:
    def holds(**properties: Any) -> bool:
        return holds_floats(from_openapi({"type": "object", "properties": properties}))

    text, whole = {"type": "string"}, {"type": "integer"}
    assert not holds(a=text, b={"type": "array", "items": whole}, c={"type": "object", "additionalProperties": text})
    assert holds(a={"type": "array", "items": {"type": "number"}})
    assert holds(a={"type": "object", "additionalProperties": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}})


def test_items_of_sets_are_named_as_go_names_them() -> None:
    assert [value_element(each) for each in (1.5, 2, 2.0, 1e21, -0.0, "a<b")] == [
        "v:1.5",
        "v:2",
        "v:2",
        "v:1e+21",
        "v:0",
        'v:"a\\u003cb"',
    ]
