"""A workspace may have had a custom type before a type of that name was built in: its objects, which can be anything, are no
danger to the workspace. They are shown as far as they can be, have no effect, and can be deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from tenantry.apiserver.negotiation import JSON
from tenantry.kube.objects import Object
from tenantry.kube.types import BUILTINS
from tenantry.storage.keys import Key
from tenantry.storage.record import Change, Head
from tests.support.one_process import Stack, running
from tests.support.people import MASTER

GROUPS = (
    "admissionregistration.k8s.io",
    "certificates.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "storagemigration.k8s.io",
)
TYPES = [definition for definition in BUILTINS if definition.group in GROUPS]
JUNK: tuple[Object, ...] = (
    {"spec": "text", "status": 7, "webhooks": "w"},
    {"spec": [1], "webhooks": [3, {"rules": 4}], "status": {"conditions": {"a": 1}}},
    {
        "spec": {"matchingPrecedence": "x", "rules": [1], "limited": 3, "request": 5, "matchConstraints": 4, "paramRef": []},
        "webhooks": [{"rules": [{"operations": "CREATE"}], "clientConfig": {"url": 7}, "matchConditions": {}}],
        "status": {"conditions": ["x", {"type": 4}], "observedGeneration": "a"},
    },
    {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {"queues": -1}}}}},
)
"""The last one has the right types, and values that no PriorityLevelConfiguration may have."""


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path) as made:
        yield made


async def test_objects_of_former_custom_types(stack: Stack) -> None:
    cluster = await stack.workspace("root", "w")
    cell = stack.tenancy_of(cluster).cell
    for definition in TYPES:
        namespace = "default" if definition.namespaced else ""
        for number, junk in enumerate(JUNK):
            name = f"junk-{number}"
            metadata = {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1}
            if namespace:
                metadata["namespace"] = namespace
            value = orjson.dumps({"metadata": metadata, **junk})
            await cell.commit([Change(Key(cluster, definition.storage_key, namespace, name), value, Head(uid=name), None)])

    base = f"/clusters/{cluster}"
    configmap = {"metadata": {"name": "a"}}
    status, made = await stack.call("POST", f"{base}/api/v1/namespaces/default/configmaps", MASTER, configmap)
    assert (status, made["metadata"]["name"]) == (201, "a")

    for definition in TYPES:
        inside = "namespaces/default/" if definition.namespaced else ""
        path = f"{base}/apis/{definition.group}/{definition.storage_version}/{inside}{definition.plural}"
        for accept in (JSON, "application/json;as=Table;v=v1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf"):
            for one in ("", "/junk-0", "/junk-2"):
                answer = await stack.answer("GET", path + one, MASTER, accept=accept)
                assert answer.status == 200, (path + one, accept)
        for number in range(len(JUNK)):
            status, _ = await stack.call("DELETE", f"{path}/junk-{number}", MASTER)
            assert status == 200, path
