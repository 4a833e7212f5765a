"""Protobuf bodies of built-in types."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.codec.protobuf import MAGIC, decode
from tenantry.kube.decode import check_types
from tenantry.kube.status import StatusError
from tenantry.kube.types import config_map

UNRECOGNIZED = "the object provided is unrecognized (must be of type ConfigMap): "


def varint(number: int) -> bytes:
    out = bytearray()
    number &= (1 << 64) - 1
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def message(*fields: tuple[int, Any]) -> bytes:
    """Wire form of (number, value): ints are varints, dicts string maps, everything else is delimited by its length."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        elif isinstance(value, dict):
            for key, item in value.items():
                out += message((number, message((1, key), (2, item))))
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(raw)) + raw
    return out


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return MAGIC + message((1, message((1, api_version), (2, kind))), (2, raw), (3, ""), (4, ""))


def test_a_config_map_as_a_go_client_sends_it() -> None:
    metadata = message((1, "b"), (2, ""), (3, "default"), (5, ""), (7, 0), (8, b""), (11, {"x": "z"}), (14, "example.com/f"))
    body = envelope("v1", "ConfigMap", message((1, metadata), (2, {"p": "b", "empty": ""}), (3, {"raw": b"\x00\xff"}), (4, 1)))
    obj = decode(body)
    check_types(obj, config_map.DEFINITION, "v1")
    assert obj == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "b", "namespace": "default", "labels": {"x": "z"}, "finalizers": ["example.com/f"]},
        "data": {"p": "b", "empty": ""},
        "binaryData": {"raw": "AP8="},
        "immutable": True,
    }


def test_times_numbers_and_nested_messages() -> None:
    spec = message((1, "me"), (2, 15), (4, message((1, 1577836800), (2, 123456000))), (5, -1))
    obj = decode(envelope("coordination.k8s.io/v1", "Lease", message((2, spec))))
    assert obj["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "renewTime": "2020-01-01T00:00:00.123456Z",
        "leaseTransitions": -1,
    }


def test_quantities_extra_values_and_options() -> None:
    quota = message((2, message((1, {"configmaps": message((1, "3"))}))))
    assert decode(envelope("v1", "ResourceQuota", quota))["spec"] == {"hard": {"configmaps": "3"}}
    review = message((2, message((3, "x"), (5, {"scopes": message((1, "a"), (1, "b"))}))))
    assert decode(envelope("authorization.k8s.io/v1", "SubjectAccessReview", review))["spec"] == {
        "user": "x",
        "extra": {"scopes": ["a", "b"]},
    }
    options = decode(envelope("v1", "DeleteOptions", message((1, 0), (2, message((1, "u"))), (4, "Background"))))
    assert options["preconditions"] == {"uid": "u"}
    assert options["propagationPolicy"] == "Background"


def test_unknown_numbers_are_skipped() -> None:
    assert decode(envelope("v1", "ConfigMap", message((2, {"a": "b"}), (99, "later"))))["data"] == {"a": "b"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "empty data (<empty>)"),
        (
            b"nonsense",
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] (6e6f6e73656e7365)",
        ),
        (MAGIC + b"\x0a\xff", "proto: unexpected EOF (6b3873000aff)"),
    ],
)
def test_refusals(body: bytes, text: str) -> None:
    with pytest.raises(StatusError) as refused:
        decode(body, kind="ConfigMap")
    assert refused.value.code == 400
    assert refused.value.message == UNRECOGNIZED + text


def test_a_message_cut_anywhere_is_refused_or_shorter() -> None:
    whole = envelope("v1", "ConfigMap", message((1, message((1, "n"))), (2, {"k": "v"})))
    for end in range(len(whole)):
        try:
            decode(whole[:end])
        except StatusError as error:
            assert error.code == 400
