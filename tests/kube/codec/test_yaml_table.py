"""Every body of the table is read as Go's sigs.k8s.io/yaml read it when `tools/yaml_table.py` recorded it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tenantry.kube.codec import json_codec
from tenantry.kube.codec.yaml_codec import decode
from tenantry.kube.status import StatusError
from tools.yaml_table import body_of, cases

CASES = {body_of(case): case for case in cases()}
UNRECOGNIZED = "the object provided is unrecognized (must be of type Thing): "
REPEATED = "yaml: unmarshal errors:\n  "
_DIFFERENCES: dict[str, Any] = {
    # Go's port is older than libyaml 0.2: what plain scalars in brackets and tags may have, and where a byte order mark may be.
    "a: {a:}": "yaml: found unexpected ':'",
    "a: [a:]": "yaml: found unexpected ':'",
    "a: [a?]": {"a": ["a?"]},
    "a: [a?b]": {"a": ["a?b"]},
    "a: 1\n\ufeffb: 2": "yaml: line 1: did not find expected key",
    "---\n\ufeffa: 1": {"a": 1},
    "a: !!int[ 5": "yaml: did not find expected whitespace or line break",
    # Go drops what is behind such a key; neither is an object of Kubernetes.
    "[]: x": "yaml: invalid map key: []interface {}{}",
    "{}: x": "yaml: invalid map key: map[interface {}]interface {}{}",
    # Texts show keys and numbers of a value as they are in JSON, and Go's as they were read.
    "{[a, 5, 1.5, ~, true, {b: 1e6}, []]: [1, {b: 1}]}": (
        'yaml: invalid map key: []interface {}{"a", 5, 1.5, interface {}(nil), true, '
        'map[interface {}]interface {}{"b":1000000}, []interface {}{}}'
    ),
    "{~: 1, a: 2}: x": 'yaml: invalid map key: map[interface {}]interface {}{"%!s(<nil>), key: <nil>":1, "a":2}',
    "~: [{~: 1, a: 2}]": (
        "unsupported map key of type: %!s(<nil>), key: <nil>, value: "
        '[]interface {}{map[interface {}]interface {}{"%!s(<nil>), key: <nil>":1, "a":2}}'
    ),
    "~: {a: {~: 1}}": (
        "unsupported map key of type: %!s(<nil>), key: <nil>, value: "
        'map[interface {}]interface {}{"a":map[interface {}]interface {}{"%!s(<nil>), key: <nil>":1}}'
    ),
}
"""Bodies that are taken otherwise here than by Go, and what they are: a value, or the text of the refusal."""

DIFFERENCES = {body.encode(): ours for body, ours in _DIFFERENCES.items()}


def read(body: bytes) -> tuple[Any, list[str], str]:
    """The value, what is said of repeated keys, and why it is refused."""
    try:
        value, repeated = decode(body, duplicates=True, kind="Thing")
    except StatusError as error:
        assert error.code == 400
        return None, [], error.message.removeprefix(UNRECOGNIZED).rpartition(" (")[0]
    return value, repeated, ""


def exact(value: Any) -> str:
    """Text in which 1, 1.0 and True differ, and the order of keys does not matter."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize("body", [body for body in CASES if body not in DIFFERENCES])
def test_a_body_is_read_as_go_reads_it(body: bytes) -> None:
    case = CASES[body]
    value, repeated, refusal = read(body)
    if refusal:
        assert refusal in case.get("refusal", [])
        return
    assert exact(value) in [exact(json_codec.decode(text.encode())[0]) for text in case.get("json", [])]
    strict = [REPEATED + "\n  ".join(repeated)] if repeated else []
    assert strict == case.get("strict", [])[:1]


@pytest.mark.parametrize("body", DIFFERENCES)
def test_a_body_that_is_read_otherwise(body: bytes) -> None:
    value, _, refusal = read(body)
    assert (refusal or value) == DIFFERENCES[body]
    case = CASES[body]
    assert refusal not in case.get("refusal", [])
    assert exact(value) not in [exact(json_codec.decode(text.encode())[0]) for text in case.get("json", [])]
