"""Objects written as protobuf: the bytes that Go writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenantry.kube.codec import protobuf
from tenantry.kube.codec.protobuf_encoding import encode, encode_message, first_field, item, varint
from tenantry.kube.codec.protobuf_messages import message_of
from tenantry.kube.go_decode import normaliser
from tenantry.kube.types import BUILTINS, config_map

WRITTEN_BY_GO = json.loads((Path(__file__).parent / "go_messages.json").read_text())
"""Objects as k8s.io/apimachinery 0.37.2 writes them in JSON and in protobuf."""


def name_of(case: Any) -> str:
    return f"{case['json']['kind']} {case['json']['metadata'].get('name', '')}"


@pytest.mark.parametrize("case", WRITTEN_BY_GO, ids=name_of)
def test_the_bytes_are_those_of_go(case: Any) -> None:
    assert encode(case["json"]).hex() == case["protobuf"]


@pytest.mark.parametrize("case", WRITTEN_BY_GO, ids=name_of)
def test_what_go_writes_is_read_as_its_json(case: Any) -> None:
    wanted = case["json"]
    read = protobuf.decode(bytes.fromhex(case["protobuf"]))
    message = message_of(wanted["apiVersion"], wanted["kind"])
    assert message is not None
    for each in (read, wanted):
        normaliser(message)(each)
    assert read == wanted


@pytest.mark.parametrize("definition", [each for each in BUILTINS if each.stored], ids=lambda each: f"{each.group} {each.kind}")
def test_every_type_that_is_stored_has_a_message(definition: Any) -> None:
    for version in definition.versions:
        empty = {"apiVersion": definition.api_version(version), "kind": definition.kind, "metadata": {"name": "x"}}
        assert protobuf.decode(encode(empty))["metadata"]["name"] == "x"


def test_members_without_a_number_are_left_out() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    assert encode(obj | {"unknown": {"a": 1}}) == encode(obj)


def test_a_list_in_a_map_may_be_null() -> None:
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}}
    values: list[Any] = [None, []]
    extra: list[Any] = [protobuf.decode(encode(review | {"spec": {"extra": {"a": each}}}))["spec"]["extra"] for each in values]
    assert extra[0] == extra[1] and list(extra[0]) == ["a"]


def test_a_kind_without_a_message() -> None:
    with pytest.raises(KeyError):
        encode({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {}})


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 16383, 16384, 70000])
def test_lengths(size: int) -> None:
    obj = {"metadata": {"name": "x" * size}, "data": {"k" * size: "v" * size}, "immutable": True}
    raw = encode_message(config_map.MESSAGE, obj)
    read = protobuf.decode(encode({"apiVersion": "v1", "kind": "ConfigMap", **obj}))
    assert read["data"] == obj["data"]
    assert first_field(item(raw)) == item(encode_message(config_map.MESSAGE, {"metadata": obj["metadata"]}))


def test_numbers() -> None:
    assert varint(0) == b"\x00"
    assert varint(300) == b"\xac\x02"
    assert varint(-1) == b"\xff" * 9 + b"\x01"
