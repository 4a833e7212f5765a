"""What mutating policies make of objects, with Kubernetes' texts and budgets."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.apiserver.decoding import normalise
from tenantry.kube.admission.evaluation import Allowance, Inputs, KnownAnswers
from tenantry.kube.admission.forms import SCALE_FORM, form_of
from tenantry.kube.admission.mutating import Mutated, mutate, policy_of
from tenantry.kube.admission.mutation_values import BYTES_MAX, Growth
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.kube.status import StatusError
from tenantry.kube.types import BUILTINS, mutating_admission_policy

CASES = Path(__file__).parents[2] / "cases" / "admission" / "mutations.jsonl"


@cache
def recorded() -> tuple[ResourceDefinition, list[Any]]:
    """A custom type, and what a kube-apiserver 1.37.2 made of objects of it and of built-in types."""
    # A case has a separator of lines of Unicode in it.
    first, *rest = CASES.read_text().strip("\n").split("\n")
    crd = json.loads(first)["definition"]
    crd["metadata"]["uid"] = "u"
    return definition_from_crd(crd), [json.loads(line) for line in rest]


def type_of(obj: Object) -> tuple[ResourceDefinition, Version]:
    thing = recorded()[0]
    for definition in (thing, *BUILTINS):
        for version in definition.versions.values():
            if (definition.kind, definition.api_version(version.name)) == (obj["kind"], obj["apiVersion"]):
                return definition, version
    raise AssertionError(obj)


def spec_of(mutations: list[str], **spec: Any) -> dict[str, Any]:
    """A text that begins with a bracket is a JSON patch."""
    return {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [
            {"patchType": "JSONPatch", "jsonPatch": {"expression": text}}
            if text.startswith("[")
            else {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}
            for text in mutations
        ],
    } | spec


def sent(obj: Object) -> Object:
    """An object as it is when admission begins."""
    obj = json.loads(json.dumps(obj))
    definition, version = type_of(obj)
    obj.setdefault("metadata", {}).setdefault("name", "x")
    if definition.namespaced:
        obj["metadata"]["namespace"] = "default"
    normalise(definition, version, obj)
    return obj


def mutated(obj: Object, *mutations: str, growth: Growth | None = None, at_once: bool = False, **spec: Any) -> Mutated:
    form = form_of(*type_of(obj))
    namespace = {"metadata": {"name": "default"}}
    request = {"operation": "CREATE", "requestResource": {"group": "", "version": "v1", "resource": "x"}}
    inputs = Inputs(
        object=obj, old_object=None, request=request, params=spec.pop("params", None), namespace=namespace, answers=KnownAnswers()
    )
    policy = policy_of(spec_of([*mutations], **spec))
    result = mutate(policy, obj, form, inputs, Allowance(at_once=at_once), growth or Growth())
    if not failures(result):
        form.finish(result.object)
    return result


def failures(result: Mutated) -> list[str]:
    return [each.error for each in result.attempts if each.error]


def whole_numbers(value: Any) -> Any:
    """1.0 as 1: that is how both are stored."""
    if isinstance(value, dict):
        return {key: whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value


def lines(text: str) -> list[str]:
    """Errors about several fields come in any order."""
    return sorted(text.split("\n"))


def test_as_a_kube_apiserver() -> None:
    definition, cases = recorded()
    assert len(cases) >= 500 and definition.kind == "Thing"
    wrong = []
    for case in cases:
        try:
            assert_as_recorded(case)
        except AssertionError as error:
            wrong.append((case["mutations"], case["object"], str(error)))
    assert not wrong, wrong[:3]


def assert_as_recorded(case: Any) -> None:
    spec = {"variables": case["variables"]} if "variables" in case else {}
    given = {"resourceRules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]}
    defaults = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
    policy = spec_of(case["mutations"], matchConstraints=given | defaults, **spec)
    errors = mutating_admission_policy.POLICIES.strategy.validate({"metadata": {"name": "p"}, "spec": policy}, None, "")
    if "refused" in case:
        assert [case["refused"] in error.text for error in errors] == [True]
        return
    assert not errors
    obj = sent(case["object"])
    obj["metadata"] |= {"managedFields": [{}], "labels": {"case": "recorded"} | obj["metadata"].get("labels", {})}
    try:
        result = mutated(obj, *case["mutations"], **spec)
    except StatusError as error:
        assert error.message == case.get("internal")
        return
    if "failed" in case:
        assert lines(failures(result)[0]) == lines(case["failed"])
        return
    assert not failures(result)
    made = {name: part for name, part in result.object.items() if name in case["answer"]}
    made["metadata"] = {name: part for name, part in made["metadata"].items() if name not in SET_LATER}
    made["metadata"]["labels"].pop("case")
    assert whole_numbers(made) == whole_numbers(case["answer"])


SET_LATER = ("managedFields", "generation", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"}}


def test_the_given_object_stays_as_it_is() -> None:
    obj = sent(MAP)
    before = json.dumps(obj)
    mutated(obj, "Object{data: {'k': 'w'}}", "[JSONPatch{op: 'remove', path: '/data/k'}]")
    assert json.dumps(obj) == before


def test_a_mutation_sees_what_the_one_before_it_made() -> None:
    result = mutated(sent(MAP), "Object{data: {'a': '1'}}", "Object{data: {'b': object.data.a + '2'}}")
    assert result.object["data"] == {"k": "v", "a": "1", "b": "12"}


def test_one_that_fails_does_not_end_the_policy() -> None:
    result = mutated(sent(MAP), "Object{data: {'a': object.data.none}}", "Object{data: {'b': '2'}}")
    assert result.object["data"] == {"k": "v", "b": "2"}
    assert [each.error_type for each in result.attempts] == ["invalid_error", "no_error"]
    assert failures(result) == ["expression 'Object{data: {'a': object.data.none}}' resulted in error: no such key: none"]


def test_conditions_decide_first() -> None:
    never = [{"name": "c", "expression": "object.data.k == 'w'"}]
    broken = [{"name": "c", "expression": "object.data.none == 'w'"}]
    assert mutated(sent(MAP), "Object{data: {'a': '1'}}", matchConditions=never).object["data"] == {"k": "v"}
    result = mutated(sent(MAP), "Object{data: {'a': '1'}}", matchConditions=broken)
    assert result.error == "expression 'object.data.none == 'w'' resulted in error: no such key: none"
    assert result.object["data"] == {"k": "v"}


def test_params_and_variables() -> None:
    variables = [{"name": "v", "expression": "params.data.x + object.data.k"}]
    result = mutated(sent(MAP), "Object{data: {'a': variables.v}}", variables=variables, params={"data": {"x": "p"}})
    assert result.object["data"] == {"k": "v", "a": "pv"}


def test_scales_have_a_form_of_their_own() -> None:
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "x"}, "spec": {"replicas": 1}}
    policy = policy_of(spec_of(["Object{spec: Object.spec{replicas: 5}}"]))
    request: dict[str, Any] = {"requestResource": {"group": "", "version": "v1", "resource": "x"}}
    inputs = Inputs(object=scale, old_object=None, request=request, params=None, namespace=None, answers=KnownAnswers())
    made = mutate(policy, scale, SCALE_FORM, inputs, Allowance(at_once=False), Growth()).object
    assert made["spec"] == {"replicas": 5}


# What they may cost ----------------------------------------------------------------------------------------------------


def test_what_is_expensive_is_refused_by_its_budget() -> None:
    loops = "[1,2,3,4,5,6,7,8,9,10].map(x, x)"
    dear = "object.data.k == " + " + ".join(["'0'"] * 2)
    for _ in range(7):
        dear = f"{loops}.all(y, {dear} || true)"
    result = mutated(sent(MAP), f"Object{{data: {{'a': string({dear})}}}}")
    assert failures(result)[0].endswith("resulted in error: operation cancelled: actual cost limit exceeded")
    with pytest.raises(LoopBudgetExceeded):
        mutated(sent(MAP), f"Object{{data: {{'a': string({dear})}}}}", at_once=True)


def test_what_they_add_is_bounded() -> None:
    big = sent(MAP | {"data": {"k": "v" * 1_000_000}})
    copies = ", ".join(f"JSONPatch{{op: 'add', path: '/data/c{n}', value: object.data.k}}" for n in range(4))
    result = mutated(big, f"[{copies}]")
    assert failures(result) == ["the mutations of a request may add 3145728 bytes and 200000 values"]
    assert result.attempts[0].error_type == "out_of_budget"


def test_copies_inside_of_a_document_count_as_well() -> None:
    growth = Growth()
    big = sent(MAP | {"data": {"k": "v" * 1_000_000}})
    result = mutated(big, "[JSONPatch{op: 'copy', from: '/data/k', path: '/data/c'}]", growth=growth)
    assert not failures(result) and growth.bytes_left < BYTES_MAX - 1_000_000


# Properties ------------------------------------------------------------------------------------------------------------

_TEXT = st.text("abc", min_size=1, max_size=3)
_FIELDS = st.dictionaries(_TEXT, _TEXT, max_size=4)


def written(entries: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items()) + "}"


@given(_FIELDS, _FIELDS)
def test_what_is_not_named_stays(data: dict[str, str], change: dict[str, str]) -> None:
    obj = sent(MAP | {"data": data})
    result = mutated(obj, f"Object{{data: {written(change)}}}")
    assert not failures(result)
    assert result.object.get("data", {}) == {**data, **change}
    assert {**result.object, "data": None} == {**obj, "data": None}


@given(_FIELDS, _FIELDS)
def test_a_second_time_changes_nothing(data: dict[str, str], change: dict[str, str]) -> None:
    once = mutated(sent(MAP | {"data": data}), f"Object{{data: {written(change)}}}").object
    assert mutated(once, f"Object{{data: {written(change)}}}").object == once


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3)), max_size=4, unique_by=lambda item: item[0]))
def test_items_of_a_list_are_merged_by_their_keys(items: list[tuple[str, int]]) -> None:
    thing = {"apiVersion": "m.example/v1", "kind": "Thing", "spec": {"parts": [{"name": "a", "n": 9}, {"name": "z", "n": 8}]}}
    config = ", ".join(f"Object.spec.parts{{name: '{name}', n: {number}}}" for name, number in items)
    result = mutated(sent(thing), f"Object{{spec: Object.spec{{parts: [{config}]}}}}")
    assert not failures(result)
    assert {each["name"]: each["n"] for each in result.object["spec"]["parts"]} == {"a": 9, "z": 8} | dict(items)
