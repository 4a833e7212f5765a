"""The facts in `kubernetes.txt`: what the script makes of the modules, and what the tables make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenantry.kube.codec.protobuf import decode
from tenantry.kube.codec.protobuf_encoding import encode
from tenantry.kube.decode import normalise
from tenantry.kube.schema.structural import Schema
from tenantry.kube.workloads import facts
from tests.kube.workloads.test_recorded import DEFINITIONS, RECORDED, created
from tests.support.tools import missing, program
from tools import workload_types


def test_the_script_makes_the_same_file() -> None:
    program("go", "it reads the Go modules of Kubernetes")
    try:
        source = workload_types.Source()
    except workload_types.NotDownloaded as error:
        missing(f"the Go modules cannot be had: {error}")
    assert workload_types.OUT.read_text() == "\n".join(workload_types.lines(source)) + "\n"


def test_there_are_no_sentences() -> None:
    text = workload_types.OUT.read_text()
    assert len(text) < 64 << 10
    assert not [line for line in text.splitlines()[1:] if line.endswith(".") or ". " in line]


@pytest.mark.parametrize(
    "case", RECORDED["created"], ids=lambda case: f"{case['sent']['kind']}-{case['sent']['metadata']['name']}"
)
def test_protobuf_keeps_every_object(case: Any) -> None:
    facts.messages()
    made = created(case["sent"])
    read = decode(encode(made))
    definition = DEFINITIONS[made["kind"]]
    normalise(read, definition.versions[definition.storage_version])
    # Protobuf has no apiVersion and kind in what is inside.
    definition.strategy.default(read)
    assert json.loads(json.dumps(read)) == json.loads(json.dumps(made))


def test_numbers_of_a_message_are_used_once() -> None:
    for name, message in facts.messages().items():
        numbers = [field.number for field in message.wire]
        assert len(set(numbers)) == len(numbers), name
        names = [field.name for field in message.fields]
        assert len(set(names)) == len(names), name


def test_keys_of_lists_are_fields_of_their_items() -> None:
    for message in facts.messages().values():
        for field in message.fields:
            if field.list_map_keys:
                below = field.type.message
                assert below is not None and set(field.list_map_keys) <= {each.name for each in below.fields}, field


def test_the_messages_agree_with_openapi() -> None:
    """Each field that Kubernetes' OpenAPI document has, and its type."""
    try:
        source = workload_types.Source()
    except (OSError, workload_types.NotDownloaded) as error:
        missing(f"the Go modules cannot be had: {error}")
    compared = 0
    for message in facts.messages().values():
        known = source.definitions.get(message.ref)
        if known is None:
            continue
        properties = known.get("properties", {})
        assert set(message.schema.properties) == set(properties), message.ref
        assert set(message.schema.required) == set(known.get("required", ())), message.ref
        for name, below in properties.items():
            assert _agrees(message.schema.properties[name], below), f"{message.ref}.{name}"
            compared += 1
    assert compared > 1300


def _agrees(schema: Schema, known: dict[str, Any]) -> bool:
    if "$ref" in known:
        return schema.ref == known["$ref"].removeprefix("#/definitions/")
    if known["type"] == "array":
        keys = tuple(known.get("x-kubernetes-list-map-keys", ()))
        return schema.type == "array" and schema.list_type == known.get("x-kubernetes-list-type") and schema.list_map_keys == keys
    return schema.type == known["type"] and schema.format == known.get("format", "")


def test_the_file_is_where_the_script_writes_it() -> None:
    assert Path(facts.__file__).with_name("kubernetes.txt") == workload_types.OUT
