"""Objects of all built-in types, as random changes broke them, and the causes for which kube-apiserver 1.37.2 refused them:
`recorded_refusals.jsonl`. `old` is the object that an update would have replaced."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tenantry.apiserver.decoding import normalise
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.metadata_validation import with_metadata_errors
from tenantry.kube.objects import Object
from tenantry.kube.types import BUILTINS
from tenantry.tenancy.types.workload_type import WORKLOAD_TYPES

CASES = [json.loads(line) for line in (Path(__file__).parent / "recorded_refusals.jsonl").read_text().splitlines()]
_ALL = (*BUILTINS, *(each.define(identity="x", uid="x") for each in WORKLOAD_TYPES))
DEFINITIONS = {(each.group, each.kind): each for each in _ALL}
_WHEN = "2024-01-01T00:00:00Z"


def read(definition: ResourceDefinition, sent: Object) -> Object:
    obj = deepcopy(sent)
    if definition.namespaced:
        obj["metadata"]["namespace"] = "default"
    normalise(definition, definition.versions[sent["apiVersion"].rpartition("/")[2]], obj)
    obj["metadata"] |= {"uid": "0b8a7d0c-63f7-4f0e-9d3a-1d1a5ce6a6a0", "creationTimestamp": _WHEN}
    return obj


def name(case: Any) -> str:
    fields = sorted({cause[1] for cause in case["causes"]})
    return f"{case['sent']['kind']} {'update' if 'old' in case else 'create'} {fields[0]}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_the_causes_are_those_of_kubernetes(case: Any) -> None:
    sent = case["sent"]
    definition = DEFINITIONS[sent["apiVersion"].rpartition("/")[0], sent["kind"]]
    obj, old = read(definition, sent), None
    if "old" in case:
        old = read(definition, case["old"])
        definition.strategy.prepare_for_create(old)
        definition.strategy.prepare_for_update(obj, old, "")
    else:
        definition.strategy.prepare_for_create(obj)
    errors = with_metadata_errors(obj, old, definition, lambda: definition.strategy.validate(obj, old, ""))
    causes = [[cause.reason, cause.field, cause.message] for cause in (error.to_cause() for error in errors)]
    assert causes == case["causes"]


def test_all_types_are_there() -> None:
    assert {case["sent"]["kind"] for case in CASES} >= {each.kind for each in _ALL if each.stored} - {"CustomResourceDefinition"}
