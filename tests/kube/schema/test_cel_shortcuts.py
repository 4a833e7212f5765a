"""Paths and quantifiers that are evaluated in one step, against the steps that they stand for: equal results and costs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.schema import cel_interpreter
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_interpreter import Compiled
from tenantry.kube.schema.cel_parser import parse
from tenantry.kube.schema.cel_values import Cost, CostExceeded

PATHS = ("object", "object.a", "object.a.b", "object.a.b.c.d", "object.l", "object.missing.a", "object.namespace", "i")
SIMPLE = st.sampled_from((*PATHS, "has(object.a.b)", "has(object.l.x)", "true", "false", "1", "'a'", "1 / 0 == 1"))


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(("&&", "||", "==", "<=", "+", "in"))
    macros = st.sampled_from(("all(i, {})", "exists(i, {})", "all(i, j, {})", "exists(i, j, {})", "exists_one(i, {})"))
    return st.one_of(
        st.builds("({} {} {})".format, inner, operators, inner),
        st.builds("!({})".format, inner),
        st.builds(lambda of, macro, predicate: f"{of}.{macro.format(predicate)}", inner, macros, inner),
        st.builds("size({})".format, inner),
        st.builds("{}[{}]".format, inner, inner),
    )


EXPRESSIONS = st.recursive(SIMPLE, _larger, max_leaves=8)
OBJECTS: tuple[Any, ...] = (
    {"a": {"b": {"c": {"d": 1}}}, "l": [1, True, "a"], "__namespace__": "n"},
    {"a": 1, "l": {"x": True, "y": 1 << 40}},
    {"l": [True, False], "a": {"b": [False, None]}},
    None,
)


def outcome(compiled: Compiled, value: Any, limit: int) -> tuple[str, int, int]:
    cost = Cost(limit)
    try:
        result = repr(compiled.run([value, 1], cost))
    except CelError as error:
        result = f"{type(error).__name__}: {error}"
    except CostExceeded:
        result = "too much"
    return result, cost.left, cost.spare


@given(text=EXPRESSIONS, limit=st.integers(0, 30) | st.just(10_000))
def test_they_have_the_results_and_costs_of_single_steps(text: str, limit: int) -> None:
    root = parse(text).root
    try:
        short = Compiled(root, ("object", "i"))
    except CelError:
        return
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cel_interpreter, "path_of", lambda node, scope: None)
        patched.setattr(cel_interpreter, "quantifier", lambda node: None)
        long = Compiled(root, ("object", "i"))
    for value in OBJECTS:
        assert outcome(short, value, limit) == outcome(long, value, limit)
