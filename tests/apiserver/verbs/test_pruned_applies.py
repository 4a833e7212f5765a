"""Applies of custom resources with fields that are pruned: each is another generation, as in kube-apiserver."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clusters import CLUSTER, ServedCluster, definition
from tests.support.people import MASTER

THINGS = f"/clusters/{CLUSTER}/apis/x.example/v1/namespaces/default/things"
SCHEMA = {
    "type": "object",
    "properties": {
        "bare": {"type": "object"},
        "closed": {"type": "object", "additionalProperties": False},
        "kept": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"bare": {"type": "object"}}},
        "status": {"type": "object"},
        "defaulted": {"type": "integer", "default": 5},
    },
}


async def apply(shard: ServedCluster, **fields: Any) -> tuple[int, Any]:
    config = {"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "x"}, **fields}
    query = "fieldManager=m&force=true"
    return await shard.call("PATCH", f"{THINGS}/x", MASTER, config, query, content_type="application/apply-patch+yaml")


async def served(shard: ServedCluster) -> None:
    made = definition("things", "Thing")
    made["spec"]["versions"][0] |= {"schema": {"openAPIV3Schema": SCHEMA}, "subresources": {"status": {}}}
    await shard.post("customresourcedefinitions", made, "")
    while (await shard.call("GET", THINGS, MASTER))[0] != 200:
        await shard.idle()


@pytest.mark.parametrize(
    ("fields", "stored", "counts"),
    [
        ({"bare": {"x": 1}}, {"bare": {}}, True),
        ({"kept": {"bare": {"x": 1}}}, {"kept": {"bare": {}}}, True),
        ({"kept": {"other": {"x": 1}}}, {"kept": {"other": {"x": 1}}}, False),
        ({"bare": {}}, {"bare": {}}, False),
        ({"defaulted": 5}, {}, False),
        ({"status": {"x": 1}}, {}, False),
    ],
)
async def test_each_counts(fields: dict[str, Any], stored: dict[str, Any], *, counts: bool) -> None:
    async with ServedCluster() as shard:
        await served(shard)
        status, first = await apply(shard, **fields)
        assert status == 201, first
        for expected in (2, 3):
            status, answer = await apply(shard, **fields)
            assert status == 200
            assert answer["metadata"]["generation"] == (expected if counts else 1)
            assert {name: value for name, value in answer.items() if name in ("bare", "kept", "status")} == stored


async def test_a_closed_object_has_no_fields() -> None:
    async with ServedCluster() as shard:
        await served(shard)
        assert (await apply(shard, closed={}))[0] == 201
        status, answer = await apply(shard, closed={"x": 1})
        what = "failed to create typed patch object (/x; x.example/v1, Kind=Thing)"
        assert (status, answer["message"]) == (500, f"{what}: .closed.x: field not declared in schema")
