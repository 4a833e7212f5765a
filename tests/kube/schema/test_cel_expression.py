"""CEL expressions over objects whose types are not known."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.schema.cel import Program
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_expression import RUN_LIMIT, Expression, problem_of, to_json
from tenantry.kube.schema.cel_functions import FUNCTIONS
from tenantry.kube.schema.cel_values import Cost, CostExceeded

VARIABLES = ("object", "cluster")


def run(text: str, obj: Any, limit: int = RUN_LIMIT) -> Any:
    cost = Cost(limit)
    return to_json(cost, Expression(text, VARIABLES).run((obj, {"name": "c"}), cost))


@pytest.mark.parametrize(
    ("text", "results", "problem"),
    [
        ("object.a == 1", ("BOOL",), ""),
        ("object.a", ("BOOL",), ""),
        ("{'a': object.b.map(x, x.c)}", ("MAP",), ""),
        ("{}", ("MAP",), ""),
        ("{'a': [1]}", ("MAP",), ""),
        ("object.?a.orValue({})", ("MAP",), ""),
        ("'a'", ("BOOL",), "cel expression must evaluate to a bool"),
        ("[1]", ("MAP",), "cel expression must evaluate to a map"),
        ("object.a ==", ("BOOL",), "compilation failed: ERROR: <input>:1:12: Syntax error"),
        ("self.a == 1", ("BOOL",), "compilation failed: ERROR: <input>:1:1: undeclared reference to 'self' (in"),
        ("object.a.nosuch()", ("BOOL",), "compilation failed: ERROR: <input>:1:16: undeclared reference to 'nosuch'"),
        ("'a' + 1 == 'a1'", ("BOOL",), "compilation failed: ERROR: <input>:1:5: found no matching overload for '_+_'"),
        ("object.l.all(a, object.l.all(b, a.x == b.x))", ("BOOL",), ""),
        # Whatever a function makes has a size that is known, or the ordinary one.
        ("{'a': object.data.map(key, key).join(' ')}", ("MAP",), ""),
        ("{'a': (object.l + object.m).map(x, x.y + x.z).join().split(',').map(t, t.upperAscii())}", ("MAP",), ""),
        ("object.l.map(a, object.m[a].n).all(x, x.startsWith(object.p.lowerAscii()))", ("BOOL",), ""),
        ("object.l.all(a, object.l.all(b, object.l.all(c, a == b || b == c)))", ("BOOL",), "estimated cost exceeds budget"),
        ("'" + "a" * 100_001 + "' == object.a", ("BOOL",), "compilation failed: ERROR: <input>:-1:0: expression code point size"),
        ("object" + ".optMap(a, a)" * 40, ("BOOL",), "compilation failed: ERROR"),
    ],
)
def test_what_can_be_used(text: str, results: tuple[str, ...], problem: str) -> None:
    found = problem_of(text, VARIABLES, results)
    assert found.startswith(problem) and bool(found) == bool(problem), found


def test_results() -> None:
    assert run("{'a': object.b, 'c': cluster.name, 'd': 1u, 'e': 1.5, 'f': null}", {"b": [{"x": True}]}) == {
        "a": [{"x": True}],
        "c": "c",
        "d": 1,
        "e": 1.5,
        "f": None,
    }
    moments = run("{'t': timestamp('2026-01-02T03:04:05Z'), 'd': duration('90s'), 'b': b'ab'}", {})
    assert moments == {"t": "2026-01-02T03:04:05Z", "d": "90s", "b": "YWI="}


@pytest.mark.parametrize(
    "text", ["{1: 2}", "{'a': 1.0 / 0.0}", "{'a': type(1)}", "{'a': optional.of(1)}", "{'a': quantity('1')}"]
)
def test_results_that_json_does_not_have(text: str) -> None:
    with pytest.raises(CelError):
        run(text, {})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_a_value_is_shown_as_it_is(value: Any) -> None:
    assert run("{'a': object}", value, 1_000_000) == {"a": value}


def test_an_evaluation_stops_at_its_limit() -> None:
    many = {"l": [{"x": n} for n in range(1000)]}
    with pytest.raises(CostExceeded):
        run("{'a': object.l.map(a, object.l.map(b, b.x))}", many)
    # What is only handed on is not free either: it is copied.
    with pytest.raises(CostExceeded):
        run("{'a': object}", {"l": [{"x": n} for n in range(20_000)]})
    with pytest.raises(CostExceeded):
        run("{'a': 'x'.replace('', object.t).replace('', object.t).replace('', object.t)}", {"t": "y" * 1000})


def test_an_object_that_is_nested_deeply() -> None:
    deep: Any = "x"
    for _ in range(80):
        deep = [deep]
    with pytest.raises(CelError, match="too deeply"):
        run("{'a': object}", deep)


@pytest.mark.parametrize(("name", "member"), sorted(FUNCTIONS))
def test_no_number_of_arguments_is_an_error_of_ours(name: str, member: bool) -> None:
    for count in range(5):
        given = ", ".join(("self.s", "1", "self.l", "{}")[:count])
        text = f"self.s.{name}({given})" if member else f"{name}({given})"
        with suppress(CelError, CostExceeded):
            Program(text).run({"s": "text", "l": ["a"]}, Cost(RUN_LIMIT))
