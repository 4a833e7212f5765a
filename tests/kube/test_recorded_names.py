"""Which names and generateNames kube-apiserver 1.37.2 took for objects of each built-in type, and where it found errors in bad
metadata: `recorded_names.json`. Types of which it says the same are one entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.metadata_validation import with_metadata_errors
from tenantry.kube.objects import Object
from tenantry.kube.types import BUILTINS
from tenantry.tenancy.types.workload_type import WORKLOAD_TYPES

RECORDED = json.loads((Path(__file__).parent / "recorded_names.json").read_text())
_ALL = (*BUILTINS, *(each.define(identity="x", uid="x") for each in WORKLOAD_TYPES))
DEFINITIONS = {f"{each.group}/{each.kind}": each for each in _ALL}
CASES = [(DEFINITIONS[name], entry) for entry in RECORDED["types"] for name in entry["types"]]
BAD: Object = {
    "name": "st-x",
    "generateName": "A_",
    "labels": {"A B": "x"},
    "annotations": {"A B": "x"},
    "finalizers": ["", "a", "kubernetes", "a.io/b"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "", "name": "x", "uid": "u"}],
}
_LONGEST = {"CronJob": 52}
"""Kinds with a rule of their own for longer names."""


def _id(value: Any) -> str:
    return f"{value.group}/{value.kind}" if isinstance(value, ResourceDefinition) else ""


def refused(definition: ResourceDefinition, field: str, value: str) -> bool:
    metadata = {"name": "fine", "namespace": "default", field: value}
    errors = with_metadata_errors({"metadata": metadata}, None, definition, list)
    return any(error.field == f"metadata.{field}" for error in errors)


@pytest.mark.parametrize(("definition", "entry"), CASES, ids=_id)
def test_names(definition: ResourceDefinition, entry: Any) -> None:
    tried = [name for name in RECORDED["tried"] if len(name) <= _LONGEST.get(definition.kind, len(name))]
    expected = [name for name in entry["refused_names"] if name in tried]
    assert sorted(name for name in tried if refused(definition, "name", name)) == expected
    assert sorted(name for name in RECORDED["tried"] if refused(definition, "generateName", name)) == entry["refused_prefixes"]


@pytest.mark.parametrize(("definition", "entry"), CASES, ids=_id)
def test_where_bad_metadata_has_errors(definition: ResourceDefinition, entry: Any) -> None:
    old = {"metadata": {"name": "st-x", "uid": "u"}}
    created = with_metadata_errors({"metadata": BAD}, None, definition, list)
    updated = with_metadata_errors({"metadata": {**BAD, "uid": "u"}}, old, definition, list)
    assert [error.field for error in created] == entry["create"]
    if "update" in entry:
        assert [error.field for error in updated] == entry["update"]


@given(st.sampled_from([definition for definition, _ in CASES]), st.text("aA0.-_/%:é ", min_size=1, max_size=20))
def test_types_with_the_same_record_take_the_same_names(definition: ResourceDefinition, name: str) -> None:
    entry = next(entry for each, entry in CASES if each is definition)
    others = (DEFINITIONS[each] for each in entry["types"])
    assert {refused(each, "name", name) for each in others} == {refused(definition, "name", name)}
