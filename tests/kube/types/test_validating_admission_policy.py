"""Validating admission policies and their bindings, as kube-apiserver 1.37.2 takes or refuses them.

`tests/cases/admission/validating_policies.jsonl` has its answers to creates of objects with the name `x`: (kind, spec, refused),
the text of the refusal or nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tenantry.kube.decode import check_types
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError, invalid
from tenantry.kube.types.validating_admission_policy import BINDINGS, POLICIES

CASES = Path(__file__).parents[2] / "cases" / "admission" / "validating_policies.jsonl"
DEFINITIONS = {each.kind: each for each in (POLICIES, BINDINGS)}


def refusal(kind: str, spec: Any) -> str:
    definition = DEFINITIONS[kind]
    obj: Object = {"apiVersion": definition.api_version("v1"), "kind": kind, "metadata": {"name": "x"}}
    if spec is not None:
        obj["spec"] = spec
    check_types(obj, definition, "v1")
    definition.strategy.default(obj)
    errors: list[FieldError] = definition.strategy.validate(obj, None, "")
    return invalid(definition.group, kind, "x", errors).message if errors else ""


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_what_is_refused(kind: str) -> None:
    cases = [orjson.loads(line) for line in CASES.read_bytes().splitlines()]
    mine = [case for case in cases if case["kind"] == kind]
    assert len(mine) > 50
    for case in mine:
        assert refusal(kind, case["spec"]) == case["refused"], case


def test_conditions_that_did_not_change_are_not_looked_at() -> None:
    """Among them those that an older version allowed."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"], "scope": "*"}
    constraints = {"resourceRules": [rule], "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
    before: Object = {
        "metadata": {"name": "x"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": constraints,
            "matchConditions": [{"name": "a", "expression": "zzz"}],
            "validations": [{"expression": "true"}],
        },
    }
    changed = {**before, "spec": {**before["spec"], "validations": [{"expression": "false"}]}}
    assert POLICIES.strategy.validate(changed, before, "") == []
    assert POLICIES.strategy.validate(changed, None, "") != []
    with_params = {**before, "spec": {**before["spec"], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}}
    assert POLICIES.strategy.validate(with_params, before, "") != []


def test_a_status_by_hand() -> None:
    def errors(status: Object) -> list[tuple[str, str]]:
        obj = {"metadata": {"name": "x"}, "status": status}
        return [(error.field, error.text) for error in POLICIES.strategy.validate(obj, obj, "status")]

    path = "status.typeChecking.expressionWarnings[0]"
    good = {"fieldRef": "spec.validations[0].expression", "warning": "w"}
    assert errors({"typeChecking": {"expressionWarnings": [good]}}) == []
    assert errors({"typeChecking": {"expressionWarnings": [{"fieldRef": " ", "warning": ""}]}}) == [
        (f"{path}.warning", "Required value"),
        (f"{path}.fieldRef", "Required value"),
    ]
    [(field, detail)] = errors({"typeChecking": {"expressionWarnings": [{**good, "fieldRef": "spec[("}]}})
    assert field == f"{path}.fieldRef" and detail.startswith('Invalid value: "spec[(": invalid JSONPath: ')
