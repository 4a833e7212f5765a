"""Writes of custom resources of which random requests found that they differed from kube-apiserver 1.37.2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.clusters import CLUSTER, ServedCluster, definition
from tests.support.people import MASTER

THINGS = f"/clusters/{CLUSTER}/apis/x.example/v1/namespaces/default/things"
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"b": {"type": "boolean"}}},
        "status": {"type": "object", "properties": {"n": {"type": "integer"}, "b": {"type": "boolean"}}},
    },
}
MERGE, JSON, APPLY = "application/merge-patch+json", "application/json-patch+json", "application/apply-patch+yaml"


@pytest.fixture
async def shard() -> AsyncIterator[ServedCluster]:
    async with ServedCluster() as made:
        things = definition("things", "Thing")
        things["spec"]["versions"][0] |= {"schema": {"openAPIV3Schema": SCHEMA}, "subresources": {"status": {}}}
        await made.post("customresourcedefinitions", things, "")
        while (await made.call("GET", THINGS, MASTER))[0] != 200:
            await made.idle()
        yield made


def thing(**fields: Any) -> Any:
    return {"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "x"}, **fields}


def owned(obj: Any, manager: str) -> list[Any]:
    return [entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", ()) if entry["manager"] == manager]


@pytest.mark.parametrize(("old", "new"), [(True, 1), (0, False), ([1, 0], [1, False]), ({"a": 1}, {"a": True})])
@pytest.mark.parametrize("kind", [MERGE, JSON, APPLY])
async def test_true_is_another_value_than_1(shard: ServedCluster, old: Any, new: Any, kind: str) -> None:
    assert (await shard.call("POST", THINGS, MASTER, thing(spec={"x": old}), "fieldManager=first"))[0] == 201
    bodies = {
        MERGE: {"spec": {"x": new}},
        JSON: [{"op": "replace", "path": "/spec/x", "value": new}],
        APPLY: thing(spec={"x": new}),
    }
    query = "fieldManager=second" + ("&force=true" if kind == APPLY else "")
    status, answer = await shard.call("PATCH", f"{THINGS}/x", MASTER, bodies[kind], query, content_type=kind)
    assert status == 200 and answer["metadata"]["generation"] == 2
    assert repr(answer["spec"]["x"]) == repr(new)
    [fields] = owned(answer, "second")
    assert "f:x" in fields["f:spec"]


async def test_0_is_no_unchanged_false(shard: ServedCluster) -> None:
    await shard.call("POST", THINGS, MASTER, thing(spec={"b": False}))
    status, answer = await shard.call("PATCH", f"{THINGS}/x", MASTER, {"spec": {"b": 0}}, content_type=MERGE)
    assert (status, answer["details"]["causes"][0]["field"]) == (422, "spec.b")


async def test_an_apply_to_a_part_of_nothing_is_not_found(shard: ServedCluster) -> None:
    config = thing(status={"unknown": 1})
    status, answer = await shard.call("PATCH", f"{THINGS}/x/status", MASTER, config, "fieldManager=m", content_type=APPLY)
    assert (status, answer["reason"]) == (404, "NotFound")


async def test_a_status_is_the_root_of_its_messages(shard: ServedCluster) -> None:
    await shard.call("POST", THINGS, MASTER, thing(spec={}))
    status, answer = await shard.call("PATCH", f"{THINGS}/x/status", MASTER, {"status": {"n": "a"}}, content_type=MERGE)
    [cause] = answer["details"]["causes"]
    wrong = 'Invalid value: "string": n in body must be of type integer: "string"'
    assert (status, cause["field"], cause["message"]) == (422, "status.n", wrong)


async def test_owners_stay_where_an_ignored_field_does_not_match_its_schema(shard: ServedCluster) -> None:
    await shard.call("POST", THINGS, MASTER, thing(spec={"x": 1}), "fieldManager=first")
    body = {"spec": {"x": 2}, "status": {"b": []}}
    status, answer = await shard.call("PATCH", f"{THINGS}/x", MASTER, body, "fieldManager=second", content_type=MERGE)
    assert status == 200 and answer["spec"] == {"x": 2} and "status" not in answer
    assert owned(answer, "first") == [{"f:spec": {".": {}, "f:x": {}}}] and not owned(answer, "second")
    good = {"spec": {"x": 3}, "status": {"b": True}}
    answer = (await shard.call("PATCH", f"{THINGS}/x", MASTER, good, "fieldManager=second", content_type=MERGE))[1]
    assert owned(answer, "second") == [{"f:spec": {"f:x": {}}}]


async def test_a_broken_continue_token_is_told_of_before_the_version(shard: ServedCluster) -> None:
    for version in ("5", "x"):
        status, answer = await shard.call("GET", THINGS, MASTER, None, f"continue=%3D%3D&resourceVersion={version}")
        wrong = "invalid continue token: continue key is not valid: illegal base64 data at input byte 0"
        assert (status, answer["message"]) == (400, wrong)
