"""FlowSchemas and PriorityLevelConfigurations. The expected texts are those of kube-apiserver 1.37.2."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.types import flow_schema, priority_level_configuration
from tests.kube.types import test_builtin_types
from tests.kube.types.test_builtin_types import cells, created

RULE = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
USER = {"kind": "User", "user": {"name": "x"}}


def schema(**spec: Any) -> Object:
    rules = [{"subjects": [USER], "resourceRules": [RULE]}]
    return {"spec": {"priorityLevelConfiguration": {"name": "global-default"}, "rules": rules} | spec}


def refusals(definition: ResourceDefinition, obj: Object, old: Object | None = None, subresource: str = "") -> list[str]:
    """The texts without the paths of the fields."""
    return [text.partition(": ")[2] for text in test_builtin_types.refusals(definition, obj, old, subresource)]


def of_schema(**spec: Any) -> list[str]:
    return refusals(flow_schema.DEFINITION, schema(**spec))


def of_level(spec: Object, **more: Any) -> list[str]:
    return refusals(priority_level_configuration.DEFINITION, {"spec": spec} | more)


def test_schema_defaults() -> None:
    made = created(flow_schema.DEFINITION, schema(matchingPrecedence=0) | {"status": {"conditions": [{"type": "X"}]}})
    assert made["spec"]["matchingPrecedence"] == 1000
    assert made["status"] == {}
    assert not of_schema(distinguisherMethod={"type": "ByUser"}, matchingPrecedence=2)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"matchingPrecedence": -1}, ["Invalid value: -1: must be a positive value"]),
        ({"matchingPrecedence": 10001}, ["Invalid value: 10001: must not be greater than 10000"]),
        ({"matchingPrecedence": 1}, ["Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"]),
        (
            {"distinguisherMethod": {"type": "ByX"}},
            ['Unsupported value: {"Type":"ByX"}: supported values: "ByNamespace", "ByUser"'],
        ),
        ({"priorityLevelConfiguration": {"name": ""}}, ["Required value: must reference a priority level"]),
        (
            {"rules": [{}]},
            [
                "Required value: subjects must contain at least one value",
                "Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
            ],
        ),
    ],
)
def test_schema_refusals(spec: Object, expected: list[str]) -> None:
    assert of_schema(**spec) == expected


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ({"kind": "X"}, ['Unsupported value: "X": supported values: "Group", "ServiceAccount", "User"']),
        ({"kind": "User"}, ["Required value: user is required when subject kind is 'User'"]),
        ({"kind": "Group", "group": {"name": ""}}, ["Required value"]),
        (
            {"kind": "ServiceAccount", "serviceAccount": {"name": "a"}},
            ["Required value: must specify namespace for service account"],
        ),
        (
            {"kind": "User", "user": {"name": "u"}, "group": {"name": "y"}, "serviceAccount": {"name": "a", "namespace": "b"}},
            [
                "Forbidden: serviceAccount is forbidden when subject kind is not 'ServiceAccount'",
                "Forbidden: group is forbidden when subject kind is not 'Group'",
            ],
        ),
    ],
)
def test_subjects(subject: Object, expected: list[str]) -> None:
    assert of_schema(rules=[{"subjects": [subject], "resourceRules": [RULE]}]) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/", []),
        ("/a/*", []),
        ("*", []),
        ("", ["must not be empty"]),
        ("x", ["must start with slash"]),
        ("/a b", ["must not contain white-space"]),
        ("/a//b", ["must not contain double slash"]),
        ("/a*", ["wildcard can only do suffix matching"]),
        ("/*/a", ["wildcard can only do suffix matching"]),
    ],
)
def test_urls(url: str, expected: list[str]) -> None:
    rules = [{"subjects": [USER], "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": [url]}]}]
    assert [text.rpartition(": ")[2] for text in of_schema(rules=rules)] == expected


def test_resource_rules() -> None:
    rule = {"verbs": ["*", "get"], "apiGroups": ["*", "a"], "resources": [], "namespaces": ["A_"]}
    found = of_schema(rules=[{"subjects": [USER], "resourceRules": [rule]}])
    assert found[:3] == [
        'Invalid value: ["*","get"]: if \'*\' is present, must not specify other verbs',
        'Invalid value: ["*","a"]: if \'*\' is present, must not specify other api groups',
        "Required value: resource rules must supply at least one resource",
    ]
    assert found[3].startswith("Invalid value: \"A_\": each member of this list must be '*' or a DNS-1123 label; a lowercase")


def test_mandatory_schemas_are_fixed() -> None:
    changed = schema(matchingPrecedence=5) | {"metadata": {"name": "catch-all"}}
    (text,) = refusals(flow_schema.DEFINITION, changed)
    assert text.startswith(
        'Invalid value: {"PriorityLevelConfiguration":{"Name":"global-default"},"MatchingPrecedence":5,'
        '"DistinguisherMethod":null,'
        '"Rules":[{"Subjects":[{"Kind":"User","User":{"Name":"x"},"Group":null,"ServiceAccount":null}],"ResourceRules":'
    )
    assert text.endswith(": spec of 'catch-all' must equal the fixed value")


def test_level_defaults() -> None:
    spec = {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}
    made = created(priority_level_configuration.DEFINITION, {"spec": spec})
    assert made["spec"]["limited"] == {
        "nominalConcurrencyShares": 30,
        "limitResponse": {"type": "Queue", "queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50}},
        "lendablePercent": 0,
    }


def queue(**queuing: int) -> Object:
    return {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": queuing}}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ["Required value"]),
        ({"type": "X"}, ['Unsupported value: "X": supported values: "Exempt", "Limited"']),
        ({"type": "Limited"}, ["Required value"]),
        (
            {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}, "exempt": {}},
            ["Forbidden"],
        ),
        ({"type": "Limited", "limited": {"limitResponse": {"type": "Reject", "queuing": {}}}}, ["Forbidden"]),
        ({"type": "Limited", "limited": {"limitResponse": {"type": "Queue"}}}, ["Required value"]),
        (
            {
                "type": "Limited",
                "limited": {"limitResponse": {"type": "Reject"}, "nominalConcurrencyShares": -1, "borrowingLimitPercent": -1},
            },
            [
                "Invalid value: -1: must be a non-negative integer",
                "Invalid value: -1: if specified, must be a non-negative integer",
            ],
        ),
        (queue(queues=3, handSize=4), ["Invalid value: 4: should not be greater than queues (3)"]),
        (
            queue(queues=1000000, handSize=10),
            ["Invalid value: 10: required entropy bits of deckSize 1000000 and handSize 10 should not be greater than 60"],
        ),
        (queue(queues=10000001, handSize=1), ["Invalid value: 10000001: must not be greater than 10000000"]),
        (queue(queueLengthLimit=-1), ["Invalid value: -1: must be positive"]),
    ],
)
def test_level_refusals(spec: Object, expected: list[str]) -> None:
    assert of_level(spec) == expected


def test_mandatory_levels() -> None:
    """An operator may change what `exempt` lends, and nothing else."""
    lends = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 5}}
    assert of_level(lends, metadata={"name": "exempt"}) == []
    found = of_level(lends | {"type": "Limited", "exempt": None}, metadata={"name": "exempt"})
    assert found[0] == "Invalid value: \"Limited\": must be 'Exempt' if and only if `name` is 'exempt'"
    assert found[1].endswith("spec of 'exempt' except the 'spec.exempt' field must equal the fixed value")
    assert of_level(lends) == ["Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'"]


def test_cells() -> None:
    made = created(flow_schema.DEFINITION, schema(distinguisherMethod={"type": "ByUser"}))
    assert cells(flow_schema.DEFINITION, made)[1:4] == ["global-default", 1000, "ByUser"]
    assert cells(flow_schema.DEFINITION, made)[5] == "?"
    made["status"] = {"conditions": [{"type": "Dangling", "status": "False"}]}
    assert cells(flow_schema.DEFINITION, made)[5] == "False"
    level = created(priority_level_configuration.DEFINITION, {"spec": queue(queues=7, handSize=2)})
    assert cells(priority_level_configuration.DEFINITION, level)[1:6] == ["Limited", 30, 7, 2, 50]
    exempt = created(priority_level_configuration.DEFINITION, {"spec": {"type": "Exempt"}})
    assert cells(priority_level_configuration.DEFINITION, exempt)[1:6] == ["Exempt", *["<none>"] * 4]


def test_conditions() -> None:
    status = {"conditions": [{"type": "a"}, {"type": "a"}, {"type": ""}]}
    for definition in (flow_schema.DEFINITION, priority_level_configuration.DEFINITION):
        found = refusals(definition, {"metadata": {"name": "x"}, "status": status}, {}, "status")
        assert found == ['Duplicate value: "a"', "Required value"]
