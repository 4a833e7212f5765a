"""Objects that kube-apiserver 1.37.2 was sent, without admission, and what it made of them: `recorded.json`.

Uids, times and addresses that it allocates are left out, and so are columns with these.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tenantry.apiserver.decoding import normalise
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, annotations_of
from tenantry.tenancy.types.workload_type import WORKLOAD_TYPES

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())
DEFINITIONS: dict[str, ResourceDefinition] = {each.resource.kind: each.define(identity="x", uid="x") for each in WORKLOAD_TYPES}
UID = "00000000-0000-0000-0000-000000000000"
_UNCOMPARED = ("creationTimestamp", "generation", "uid")
_ALLOCATED = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "nodePort", "healthCheckNodePort")


def created(sent: Object) -> Object:
    """What a create makes of an object, before it is validated."""
    definition = DEFINITIONS[sent["kind"]]
    obj = deepcopy(sent)
    normalise(definition, definition.versions[definition.storage_version], obj)
    obj["metadata"]["uid"] = UID
    definition.strategy.prepare_for_create(obj)
    return obj


def comparable(obj: Object) -> Any:
    """An object without what differs from run to run."""
    text = json.dumps(obj).replace(UID, "UID")
    text = re.sub(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"', '"TIME"', text)
    out = json.loads(text, object_hook=lambda found: {k: v for k, v in found.items() if k not in (*_UNCOMPARED, *_ALLOCATED)})
    if not annotations_of(out):
        out["metadata"].pop("annotations", None)
    return out


@pytest.mark.parametrize(
    "case", RECORDED["created"], ids=lambda case: f"{case['sent']['kind']}-{case['sent']['metadata']['name']}"
)
def test_an_object_becomes_what_kubernetes_makes_of_it(case: Any) -> None:
    made = created(case["sent"])
    assert comparable(made) == comparable(case["answer"])
    assert DEFINITIONS[made["kind"]].strategy.validate(made, None, "") == []


@pytest.mark.parametrize(
    "case", RECORDED["created"], ids=lambda case: f"{case['sent']['kind']}-{case['sent']['metadata']['name']}"
)
def test_its_row_is_what_kubectl_prints(case: Any) -> None:
    made = created(case["sent"])
    version = DEFINITIONS[made["kind"]].versions[case["sent"]["apiVersion"].rpartition("/")[2]]
    row = {column.name: column.cell(made, datetime.now(UTC)) for column in version.columns}
    shown = {name: value.replace(UID, "UID") if isinstance(value, str) else value for name, value in row.items()}
    assert {name: shown[name] for name in case["cells"]} == case["cells"]


@pytest.mark.parametrize("case", RECORDED["refused"], ids=lambda case: case["what"])
def test_an_invalid_object_is_refused_with_the_same_causes(case: Any) -> None:
    definition = DEFINITIONS[case["sent"]["kind"]]
    made = created(case["sent"])
    name = made["metadata"]["name"]
    errors = definition.strategy.validate(made, None, "")
    causes = [[cause.reason, cause.field, cause.message] for cause in (error.to_cause() for error in errors)]
    named = [
        ["FieldValueInvalid", "metadata.name", f'Invalid value: "{name}": {e}']
        for e in definition.strategy.name_errors(name, prefix=False)
    ]
    wrong_labels = [each for each in case["causes"] if each[1] == "metadata.labels"]
    assert named + wrong_labels + causes == case["causes"]


@pytest.mark.parametrize(
    "case", RECORDED["created"], ids=lambda case: f"{case['sent']['kind']}-{case['sent']['metadata']['name']}"
)
def test_defaults_do_without_what_a_view_hides(case: Any) -> None:
    definition = DEFINITIONS[case["sent"]["kind"]]
    made = created(case["sent"])
    for name in ("spec", "status", "template"):
        hidden = {key: value for key, value in deepcopy(made).items() if key != name}
        definition.strategy.default(hidden)
        assert name not in hidden
        for inner in made.get(name) or ():
            partly = deepcopy(made)
            del partly[name][inner]
            definition.strategy.default(partly)
