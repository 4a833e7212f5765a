"""Expressions that tenants write (CEL, patterns, JSONPath), as their text grows and nests: to be read, checked, and run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tenantry.kube import jsonpath
from tenantry.kube.schema import cel, regex
from tenantry.kube.schema.cel_check import check
from tenantry.kube.schema.cel_cost import estimate
from tenantry.kube.schema.cel_declared import Declarations
from tenantry.kube.schema.cel_definition import rule_errors
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.parse import from_openapi
from tests.growth.meter import assert_linear, assert_time_is_linear

SELF = from_openapi(
    {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "t": {"type": "string", "maxLength": 64},
            "l": {"type": "array", "maxItems": 8, "items": {"type": "integer"}},
            "m": {"type": "object", "maxProperties": 8, "additionalProperties": {"type": "string", "maxLength": 8}},
        },
    }
)
DECLARATIONS = Declarations()
DECLARED = DECLARATIONS.of(SELF, is_root=False)
VALUE = {"a": 1, "t": "a" * 64, "l": [1, 2, 3], "m": {"k": "v"}}
SOURCES: dict[str, Callable[[int], str]] = {
    "a sum": lambda n: "self.a" + " + 1" * n + " > 0",
    "texts that are joined": lambda n: "self.t" + " + 'x'" * n + " != ''",
    "a long text": lambda n: f"self.t == '{'x' * n}'",
    "escapes": lambda n: f"self.t == '{chr(92) + 'n'}{(chr(92) + 'n') * n}'",
    "a long name": lambda n: f"self.{'x' * n} == 1",
    "all of it true": lambda n: "self.a == 1" + " && self.a == 1" * n,
    "any of it true": lambda n: "self.a == 2" + " || self.a == 2" * n,
    "choices": lambda n: "self.a == 2 ? false : " * n + "true",
    "negations": lambda n: "!" * (2 * n) + "true",
    "parentheses": lambda n: "(" * n + "true" + ")" * n,
    "parentheses that are not closed": lambda n: "(" * n,
    "fields of fields": lambda n: "self" + ".x" * n,
    "items of items": lambda n: "self.l" + "[0]" * n,
    "a list": lambda n: "self.a in [" + ", ".join(str(i) for i in range(2, n + 3)) + "]",
    "lists in lists": lambda n: "[" * n + "]" * n + ".size() == 0",
    "a map": lambda n: "{" + ", ".join(f"'k{i}': {i}" for i in range(n)) + "}.size() > 0",
    "calls in a row": lambda n: "self.t" + ".trim()" * n + " != ''",
    "calls in calls": lambda n: "size(" * n + "self.t" + ")" * n + " > 0",
    "arguments": lambda n: "size(" + ", ".join(["1"] * n) + ")",
    "loops in a row": lambda n: "self.l.all(x, x > 0)" + " && self.l.all(x, x > 0)" * n,
    "loops over loops": lambda n: "self.l" + ".map(x, x)" * n + ".size() > 0",
    "loops in loops": lambda n: "self.l.all(x, " * n + "true" + ")" * n,
    "optionals": lambda n: "self.?a" + ".optMap(x, x)" * n + ".hasValue()",
    "comments": lambda n: "// x\n" * n + "true",
    "blanks": lambda n: "true" + " " * n,
    "lines": lambda n: "self.a == 1" + "\n" * n + "&& true",
    "no expression": lambda n: "$" * n,
    "letters beyond ASCII": lambda n: "é" * n,
}
PATTERNS: dict[str, Callable[[int], str]] = {
    "letters": lambda n: "a" * n,
    "choices": lambda n: "|".join(f"a{i}" for i in range(n)),
    "groups": lambda n: "(a)" * n,
    "groups in groups": lambda n: "(" * n + "a" + ")" * n,
    "repeats": lambda n: "a*" * n,
    "counts": lambda n: f"a{{{n}}}",
    "counts of counts": lambda n: f"(a{{{n}}}){{{n}}}",
    "a class": lambda n: "[" + "".join(chr(0x100 + 2 * i) for i in range(n)) + "]",
    "classes": lambda n: r"\pL" * n,
    "backslashes": lambda n: "\\" * n,
    "parentheses that are not closed": lambda n: "(" * n,
    "flags": lambda n: "(?i)" * n + "a",
}
STEP: dict[str, Callable[[int], str]] = {
    "names": lambda n: ".a" * n,
    "a long name": lambda n: ".x" + "a" * n,
    "escapes": lambda n: "." + "a\\." * n,
    "places": lambda n: ".l" + "[0]" * n,
    "everything": lambda n: "[*]" * n,
    "descents": lambda n: "..a" * n,
    "filters": lambda n: ".l" + "[?(@.a==1)]" * n,
    "blanks in a filter": lambda n: ".l[?(@.a" + " " * n + "== 1)]",
    "quotes": lambda n: ".l['" + "a" * n + "']",
    "brackets": lambda n: "[" * n,
    "parts": lambda n: ".l" + "[0:9]" * n,
}


def read(source: str) -> Callable[[], object]:
    """And run, where it is one."""

    def run() -> None:
        with suppress(CelError, cel.BudgetExceeded):
            assert DECLARED is not None
            variables = {"self": DECLARED.type, "oldSelf": DECLARED.type}
            estimate(check(source, variables, DECLARATIONS.structs), DECLARED)
            cel.Program(source).run(VALUE)

    return run


def matched(source: str) -> Callable[[], object]:
    def run() -> None:
        with suppress(regex.RegexError):
            regex.Pattern(source).matches("ab" * 200)

    return run


LONG = "q" * 1100
NESTED: Any = {"a": 1, "l": [{"a": i} for i in range(9)]}
for _ in range(20):
    NESTED = {"a": NESTED, "l": [NESTED["l"]]}


def found(path: str) -> Callable[[], object]:
    """In a value whose name is so long that no path to it is remembered."""
    value, long = {LONG: NESTED}, f".{LONG}{path}"

    def run() -> None:
        with suppress(ValueError):
            jsonpath.compile_path(long)(value)
            jsonpath.first(long)(value)

    return run


def rule(text: str = "true", **more: Any) -> dict[str, Any]:
    return {"rule": text, **more}


def leaf(properties: int = 0) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{i}": {"type": "string", "maxLength": 9} for i in range(properties)}}


def nested(depth: int, inside: dict[str, Any]) -> dict[str, Any]:
    for _ in range(depth):
        inside = {"type": "object", "properties": {"x": inside}, "x-kubernetes-validations": [rule()]}
    return inside


DEFINITIONS: dict[str, Callable[[int], dict[str, Any]]] = {
    "rules of one object": lambda n: {**leaf(3), "x-kubernetes-validations": [rule() for _ in range(n)]},
    "rules that fail to compile": lambda n: {**leaf(3), "x-kubernetes-validations": [rule(f"self.q{i}") for i in range(n)]},
    "messages of rules": lambda n: {
        **leaf(3),
        "x-kubernetes-validations": [rule(messageExpression=f"'{i}' + self.p0") for i in range(n)],
    },
    "maps of a rule": lambda n: {
        "type": "object",
        "properties": {f"m{i}": {"type": "object", "additionalProperties": {"type": "string"}} for i in range(n)},
        "x-kubernetes-validations": [rule()],
    },
    "fields of a rule": lambda n: {**leaf(n), "x-kubernetes-validations": [rule()]},
    "objects with a rule": lambda n: {
        "type": "object",
        "properties": {f"o{i}": {**leaf(2), "x-kubernetes-validations": [rule()]} for i in range(n)},
    },
    "rules of every level": lambda n: nested(n // 4, leaf(2)),
    "rules of ten levels, above many fields": lambda n: nested(10, leaf(n)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_an_expression_costs_what_it_is(kind: str) -> None:
    assert_linear(lambda n: read(SOURCES[kind](n)), small=32)
    assert_time_is_linear(lambda n: read(SOURCES[kind](n)), small=32)


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_pattern_costs_what_it_is(kind: str) -> None:
    assert_linear(lambda n: matched(PATTERNS[kind](n)), small=32)
    assert_time_is_linear(lambda n: matched(PATTERNS[kind](n)), small=32)


@pytest.mark.parametrize("kind", STEP)
def test_a_path_costs_what_it_is(kind: str) -> None:
    assert_linear(lambda n: found(STEP[kind](n)), small=24)
    assert_time_is_linear(lambda n: found(STEP[kind](n)), small=32)


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_the_rules_of_a_definition_cost_what_they_are(kind: str) -> None:
    def make(n: int) -> Callable[[], object]:
        schema = from_openapi(DEFINITIONS[kind](n))
        return lambda: rule_errors(schema, "spec")

    assert_linear(make, small=32)
    assert_time_is_linear(make, small=8)
