"""CEL beside Kubernetes' own: what is written in `tests/cases/cel` was answered by it (the files name the versions)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tenantry.kube.schema import cel
from tenantry.kube.schema.cel_check import check
from tenantry.kube.schema.cel_cost import estimate
from tenantry.kube.schema.cel_declared import Declarations, Declared
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_rules import compile_rules
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.problem import Problem
from tenantry.kube.schema.structure import schema_errors
from tenantry.kube.schema.validate import ABSENT, validate

CASES = Path(__file__).parents[2] / "cases" / "cel"


def answered(name: str) -> Any:
    return json.loads((CASES / name).read_text())


def estimated(rule: str, declarations: Declarations, declared: Declared) -> int | str:
    try:
        checked = check(rule, {"self": declared.type, "oldSelf": declared.type}, declarations.structs)
    except CelError as error:
        return re.sub(r"selfType\d+", "selfType", f"compilation failed: {error}")
    return estimate(checked, declared) if checked.type.kind == "bool" else "cel expression must evaluate to a bool"


def test_estimates_and_refusals_are_those_of_kubernetes() -> None:
    cases = answered("estimates.json")
    schemas = []
    for each in cases["schemas"]:
        declarations = Declarations()
        declared = declarations.of(from_openapi(each["schema"]), is_root=each["root"])
        assert declared is not None
        schemas.append((declarations, declared))
    differing = [
        (rule, answer, found) for number, rule, answer in cases["rows"] if (found := estimated(rule, *schemas[number])) != answer
    ]
    assert not differing
    assert len(cases["rows"]) > 1000


def evaluated(schema: dict[str, Any], row: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """What a rule says about a value, and what it costs."""
    budgets: list[cel.Budget] = []

    class Counted(cel.Budget):
        def __init__(self, limit: int = cel.OBJECT_LIMIT) -> None:
            super().__init__(limit)
            budgets.append(self)

    monkeypatch.setattr(cel, "Budget", Counted)
    rule = {"rule": row["rule"]} | ({"optionalOldSelf": True} if row.get("optionalOldSelf") else {})
    run = compile_rules(from_openapi(schema | {"x-kubernetes-validations": [rule]}))
    assert run is not None
    failures: list[Problem] = []
    forgiven = run(row["self"], row.get("old", ABSENT), failures, False)
    said = [problem.text for problem in (*failures, *forgiven)]
    return (said[0] if said else "", cel.OBJECT_LIMIT - budgets[0].left)


def test_results_and_costs_are_those_of_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = answered("evaluations.json")
    differing = []
    for row in cases["rows"]:
        said, cost = evaluated(cases["schemas"][row["schema"]], row, monkeypatch)
        if said != row.get("error", "") or cost != row.get("cost", cost):
            differing.append((row, said, cost))
    assert not differing
    assert len(cases["rows"]) > 600


@pytest.mark.parametrize(("expression", "text"), answered("formats.json")["texts"])
def test_formats_are_those_of_kubernetes(expression: str, text: str) -> None:
    rule = {"rule": "false", "messageExpression": expression}
    [error] = validate({"s": "x"}, from_openapi({"type": "object", "x-kubernetes-validations": [rule]}))
    assert error.text == f"Invalid value: {text}"


@pytest.mark.parametrize(("expression", "why"), answered("formats.json")["failures"])
def test_formats_fail_as_those_of_kubernetes(expression: str, why: str) -> None:
    rule = {"rule": f"{expression} == ''", "message": "m"}
    [error] = validate({"s": "x"}, from_openapi({"type": "object", "x-kubernetes-validations": [rule]}))
    assert why in error.text


@pytest.mark.parametrize("definition", answered("definitions.json"), ids=lambda each: each["name"])
def test_rules_of_projects_are_accepted_as_kubernetes_accepts_them(definition: dict[str, Any]) -> None:
    """The rules and bounds of their definitions; names and texts that no rule needs are left out."""
    assert "rule" in json.dumps(definition["schema"])
    assert schema_errors(definition["schema"], "s") == []


EITHER = {"x-kubernetes-list-type": "set", "type": "array", "items": {"type": "string"}}
KEYED = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["k"],
    "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}},
}


@pytest.mark.parametrize(
    ("rule", "value", "old", "holds"),
    [
        ("self.s == ['b', 'a']", {"s": ["a", "b"]}, ABSENT, True),
        ("['b', 'a'] == self.s", {"s": ["a", "b"]}, ABSENT, False),
        ("self.s == ['a', 'b', 'b']", {"s": ["a", "b"]}, ABSENT, False),
        ("self.s == oldSelf.s", {"s": ["a", "b"]}, {"s": ["b", "a"]}, True),
        ("self == oldSelf", {"s": ["a", "b"]}, {"s": ["b", "a"]}, True),
        ("self.l == oldSelf.l", {"l": ["a", "b"]}, {"l": ["b", "a"]}, False),
        ("self.m == oldSelf.m", {"m": [{"k": "a", "v": 1}, {"k": "b"}]}, {"m": [{"k": "b"}, {"k": "a", "v": 1}]}, True),
        ("self.m == oldSelf.m", {"m": [{"k": "a", "v": 1}]}, {"m": [{"k": "a", "v": 2}]}, False),
        ("(self.s + ['b', 'c']).size() == 3", {"s": ["a", "b"]}, ABSENT, True),
        ("self.s + ['b', 'c'] == ['c', 'b', 'a']", {"s": ["a", "b"]}, ABSENT, True),
        ("(self.l + ['b', 'c']).size() == 4", {"l": ["a", "b"]}, ABSENT, True),
        ("(self.m + oldSelf.m)[0].v == 2", {"m": [{"k": "a", "v": 1}]}, {"m": [{"k": "a", "v": 2}, {"k": "b"}]}, True),
        ("(self.m + oldSelf.m).size() == 2", {"m": [{"k": "a", "v": 1}]}, {"m": [{"k": "a", "v": 2}, {"k": "b"}]}, True),
    ],
)
def test_sets_and_map_lists(rule: str, value: Any, old: Any, holds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {"type": "object", "properties": {"s": EITHER, "m": KEYED, "l": EITHER | {"x-kubernetes-list-type": "atomic"}}}
    row = {"rule": rule, "self": value} | ({} if old is ABSENT else {"old": old})
    assert evaluated(schema, row, monkeypatch)[0] == ("" if holds else f"Invalid value: failed rule: {rule}")


def test_fields_whose_names_differ_in_underscores_and_words_of_the_language() -> None:
    maps = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 9}, "maxProperties": 4}
    rules = ["self.jwksUri == self.jwks_uri", "self.namespace == 'a'", "self.__namespace__ == 'a'", "self.while == 'b'"]
    schema = {
        "type": "object",
        "properties": {"jwksUri": maps, "jwks_uri": maps, "namespace": {"type": "string"}, "while": {"type": "string"}},
        "x-kubernetes-validations": [{"rule": rule} for rule in rules],
    }
    assert schema_errors(schema, "s") == []
    value = {"jwksUri": {"a": "b"}, "jwks_uri": {"a": "b"}, "namespace": "a", "while": "b"}
    assert validate(value, from_openapi(schema)) == []


def test_values_of_maps_are_in_brackets_in_the_path() -> None:
    field = {"type": "string", "x-kubernetes-validations": [{"rule": "self == 'a'", "message": "no"}]}
    named = {"type": "object", "properties": {"f": field}}
    schema = {"type": "object", "properties": {"m": {"type": "object", "additionalProperties": named}}}
    [error] = validate({"m": {"a.b": {"f": "x"}}}, from_openapi(schema))
    assert error.message == 'm[a.b].f: Invalid value: "x": no'


@pytest.mark.parametrize("made", ["'a\\nb'", "''", "'  '", "string(1 / self.size() - 1 / 0)", "self + self"])
def test_a_message_that_cannot_be_shown_gives_way_to_the_plain_one(made: str) -> None:
    schema = {
        "type": "string",
        "x-kubernetes-validations": [{"rule": "false", "message": "plain", "messageExpression": made}],
    }
    [error] = validate({"s": "x" * 3000}, from_openapi({"type": "object", "properties": {"s": schema}}))
    assert error.message.endswith(": plain")


def test_the_message_names_a_rule_that_fails_to_run() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.a > 0", "message": "m"}],
    }
    [error] = validate({"spec": {"b": 1}}, from_openapi({"type": "object", "properties": {"spec": schema}}))
    assert error.message == 'spec: Invalid value: "object": no such key: a evaluating rule: m'
