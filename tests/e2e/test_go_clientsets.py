"""Unmodified clientsets of client-go, which speak protobuf: apiextensions and metadata by default, the typed one where it is told
to, as all programs of Kubernetes itself are."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.kubeconfig import kubeconfig
from tests.support.forms import Platform

PROTOBUF = "application/vnd.kubernetes.protobuf"
OPENAPI = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
SECONDS = 240


@pytest.mark.parametrize("watch_list", ["true", "false"])
def test_they_do_what_they_do_with_kubernetes(
    server: Platform, unique: Callable[[str], str], clientsets_binary: Path, tmp_path: Path, watch_list: str
) -> None:
    place = server.root.workspace(unique("go"))
    path = tmp_path / "workspace.kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig(server, place)))
    done = subprocess.run(
        [str(clientsets_binary), "-kubeconfig", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=os.environ | {"KUBE_FEATURE_WatchListClient": watch_list},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "panic" not in done.stderr, done.stderr
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        step = json.loads(line)
        found[step["step"]] = step["found"]
    _is_definition(found)
    _is_built_in(found)
    assert found["informer begins"] == ["0", "0"]
    assert found["informer follows"] == ["3", ""]
    assert found["metadata"] == ["first", "default", True]
    assert found["metadata of definitions"] == [1, "things.go.example.com"]
    assert found["thing"] == {"color": "red", "size": 4.5}
    assert found["metadata followed"] == 1
    stream = f"{PROTOBUF};stream=watch"
    assert _media_types(found["definition media types"]) == {PROTOBUF, stream}
    assert _media_types(found["built-in media types"]) == {PROTOBUF, OPENAPI}
    assert _media_types(found["informer media types"]) == {PROTOBUF, stream}
    assert {PROTOBUF, stream} <= _media_types(found["metadata media types"])
    _are_workloads(found)
    assert _media_types(found["workload media types"]) == {PROTOBUF, stream}


def _are_workloads(found: dict[str, Any]) -> None:
    assert found["deployment"] == [1, "25%", "http", 10, 0o644]
    assert found["deployment applied"] == ["web", "logs"]
    assert found["scale"] == [3, "app=web"]
    assert found["deployment status"] == [2, 3]
    assert found["pod followed"] == ["Pending", "BestEffort", "Always"]


def _is_definition(found: dict[str, Any]) -> None:
    version = found["definition"]["versions"][0]
    properties = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert properties == {
        "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
        "size": {"type": "number", "minimum": 2.5},
        "names": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "more": {"type": "object", "additionalProperties": {"type": "integer"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    }
    assert version["additionalPrinterColumns"] == [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}]
    assert version["subresources"] == {"status": {}}
    assert found["definition updated"]["categories"] == ["all"]
    assert found["definition updated"]["listKind"] == "ThingList"
    assert found["definition patched"] == {"a": "b"}
    count, name, schema = found["definitions"]
    assert (count, name) == (1, "things.go.example.com")
    assert schema["properties"]["spec"]["x-kubernetes-validations"][0]["message"] == "too small"
    assert found["definition again"] is True
    assert found["definition followed"] == "go.example.com"


def _is_built_in(found: dict[str, Any]) -> None:
    data, binary, has_time, has_uid, fields = found["created"]
    assert data == {"a": "ä", "empty": ""} and binary == {"raw": "AP8="} and has_time and has_uid
    assert json.loads(fields)["f:data"] == {".": {}, "f:a": {}, "f:empty": {}}
    assert found["updated"]["b"] == "c"
    assert found["listed"] == [1, True, found["updated"]]
    assert found["missing"] == [True, 'configmaps "none" not found']
    assert found["invalid"] == [True, "metadata.name"]
    assert found["deleting"] is True
    assert found["role"] == [{"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}]
    assert found["secret"] == ["Opaque", {"k": "dg=="}, True]
    assert found["review"] is True
    assert found["discovery"] == [True, True]
    assert found["openapi"] == ["2.0", True, True]


def _media_types(seen: list[str]) -> set[str]:
    """Without the document of discovery, which client-go asks for in JSON."""
    return {kind.partition(" ")[2] for kind in seen if "APIGroupDiscoveryList" not in kind}
