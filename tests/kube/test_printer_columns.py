"""Cells of printer columns, as kube-apiserver 1.37 shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.jsonpath import STEPS_MAX
from tenantry.kube.printer_columns import COLUMNS_MAX, columns_of

NOW = datetime(2026, 12, 1, 10, 0, tzinfo=UTC)


def cells(path: str, obj: Any, *kinds: str) -> list[Any]:
    declared = [{"name": kind, "type": kind, "jsonPath": path} for kind in kinds]
    return [column.cell(obj, NOW) for column in columns_of(declared)[1:]]


@pytest.mark.parametrize(
    ("value", "text", "whole", "number", "flag"),
    [
        (1.9, "1.9", 1, 1.9, None),
        (5, "5", 5, 5, None),
        (0.000001, "1e-06", 0, 0.000001, None),
        (12345678.9, "1.23456789e+07", 12345678, 12345678.9, None),
        (100000000, "100000000", 100000000, 100000000, None),
        (9223372036854775807, "9223372036854775807", 9223372036854775807, 9223372036854776000, None),
        # Integers past int64 are floats for Go, and its conversion of these gives the lowest integer.
        (9223372036854776000, "9.223372036854776e+18", -9223372036854775808, 9223372036854776000, None),
        (1e30, "1e+30", -9223372036854775808, 1e30, None),
        (-1e30, "-1e+30", -9223372036854775808, -1e30, None),
        (True, "true", None, None, True),
        ("12", "12", None, None, None),
        ([], "[]", None, None, None),
        ({"x": "<&>", "a": [1e21, None, "\u2028"]}, '{"a":[1e+21,null,"\\u2028"],"x":"\\u003c\\u0026\\u003e"}', None, None, None),
        (None, "<no value>", None, None, None),
    ],
)
def test_values(value: Any, text: str, whole: Any, number: Any, flag: Any) -> None:
    shown = cells(".spec.v", {"spec": {"v": value}}, "string", "integer", "number", "boolean")
    assert shown == [text, whole, number, flag]
    # Whatever is shown can be sent.
    assert orjson.loads(orjson.dumps(shown)) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", "<unknown>"),
        ("null", "<unknown>"),
        ("0001-01-01T00:00:00Z", "<unknown>"),
        ("2026-01-01 00:00:00Z", "<invalid>"),
        ("20260101T000000Z", "<invalid>"),
        ("2026-01-01", "<invalid>"),
        ("2026-12-01T10:10:00Z", "<invalid>"),
        ("2026-01-04T00:00:00.5+01:00", "331d"),
        ("2026-12-01T09:59:55,5Z", "4s"),
        (5, None),
        (None, None),
    ],
)
def test_dates(value: Any, shown: Any) -> None:
    assert cells(".spec.v", {"spec": {"v": value}}, "date") == [shown]


def test_a_missing_field_has_no_age() -> None:
    """As in a bookmark of a watch, whose object has no time."""
    assert [column.cell({"metadata": {}}, NOW) for column in columns_of(())] == ["", None]


@pytest.mark.parametrize(
    ("path", "items", "cell"),
    [
        (".spec.l[?(@.v>2)].n", [{"n": "a", "v": 1}, {"n": "b", "v": 3}], "b"),
        (".spec.l[?(@.v>2)].n", [{"n": "a", "v": 3}, {"n": "b", "v": 4}], "a"),
        # A value that does not compare voids the cell, and so does a fraction against a whole number.
        (".spec.l[?(@.v>2)].n", [{"n": "a", "v": "x"}, {"n": "b", "v": 3}], None),
        (".spec.l[?(@.v>2)].n", [{"n": "a", "v": 2.5}], None),
        (".spec.l[?(@.v>2)].n", [{"n": "a"}, {"n": "b", "v": 3}], "b"),
        (".spec.l[?(@.v[0])].n", [{"n": "a", "v": "x"}], "a"),
        (".spec.l[?(@.v=2)].n", [{"n": "a", "v": 2}], None),
        (".spec['l','x']", ["1"], '["1"]'),
        (".spec.l[0,1]", ["x", "y"], "x"),
        (".spec.l[2]", ["x", "y"], None),
        (".spec.l[-1:]", ["x", "y"], "y"),
        (".spec.l[0].v", "x", None),
        (".spec.l[]", ["x"], "x"),
        (".spec.l.", ["x"], None),
        ('.spec.l[?(@.n=="a)")].v', [{"n": "a)", "v": "y"}], "y"),
    ],
)
def test_paths(path: str, items: Any, cell: Any) -> None:
    assert cells(path, {"spec": {"l": items}}, "string") == [cell]


def test_a_path_that_cannot_be_parsed_ends_the_columns() -> None:
    paths = (".spec.a", '.spec.l[?(@.a=="b" && @.c=="d")].n', ".spec.b")
    made = columns_of([{"name": path, "type": "string", "jsonPath": path} for path in paths])
    assert [column.name for column in made] == ["Name", ".spec.a"]
    # One that is only too long for us is a column that stays empty.
    long = ".a[0]" * STEPS_MAX
    assert [column.name for column in columns_of([{"name": "long", "type": "string", "jsonPath": long}])] == ["Name", "long"]
    assert cells(long, {}, "string") == [None]


_STEPS = st.sampled_from(
    [
        ".a",
        ".l",
        "..a",
        "..",
        "[0]",
        "[-1]",
        "[1:]",
        "[*]",
        ".*",
        "['a','b']",
        "[?(@.a>1)]",
        "[?(@.l)]",
        '[?(@.a=="x")].b',
        "'q'",
        "7",
        "[",
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "l"]), inner, max_size=3),
    max_leaves=15,
)


@given(st.lists(_STEPS, max_size=5).map(lambda steps: ".l" + "".join(steps)), _VALUES)
def test_every_value_has_a_cell_that_can_be_sent(path: str, value: Any) -> None:
    kinds = ("string", "integer", "number", "boolean", "date")
    shown = [
        column.cell({"l": value}, NOW)
        for kind in kinds
        for column in columns_of([{"name": "c", "type": kind, "jsonPath": path}])[1:]
    ]
    orjson.dumps(shown)


def test_a_table_has_no_more_columns_than_a_row_can_bear() -> None:
    declared = [{"name": f"c{number}", "type": "string", "jsonPath": ".spec"} for number in range(2 * COLUMNS_MAX)]
    assert [column.name for column in columns_of(declared)] == ["Name", *(f"c{number}" for number in range(COLUMNS_MAX - 1))]
