"""Writes through a declared view: by its own users, within what consumers accepted and within what the view shows."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.objects import Object
from tests.support.tenancies import ServedShard
from tests.virtual.declared.observatory import CONFIG_MAPS, NEAR, READER, base, config_map, config_maps, observatory

ALL = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
PUBLISHED: Object = {**CONFIG_MAPS, "verbs": ALL, "labelSelector": {"matchLabels": {"published": "yes"}}}
BY_FILTER: Object = {**CONFIG_MAPS, "verbs": ALL, "filter": "object.metadata.?labels.?published.orValue('') == 'yes'"}
MERGE = "application/merge-patch+json"


def body(name: str, **labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"a": "b"}}


@pytest.mark.parametrize("entry", [PUBLISHED, BY_FILTER])
async def test_what_is_written_is_what_is_shown(entry: Any) -> None:
    async with ServedShard() as shard:
        await observatory(shard, resources=[entry])
        await config_map(shard, "shut")
        path = config_maps(NEAR, obj="x").rpartition("/")[0]
        status, answer = await shard.call("POST", path, READER, body("open", published="yes"))
        assert status == 201, answer
        status, answer = await shard.call("POST", path, READER, body("other"))
        assert status == 403 and "object does not match the" in answer["message"], answer
        status, answer = await shard.call("PATCH", f"{path}/open", READER, {"data": {"c": "d"}}, content_type=MERGE)
        assert (status, answer["data"]) == (200, {"a": "b", "c": "d"})
        unpublish = {"metadata": {"labels": {"published": None}}}
        assert (await shard.call("PATCH", f"{path}/open", READER, unpublish, content_type=MERGE))[0] == 403
        publish = {"metadata": {"labels": {"published": "yes"}}}
        assert (await shard.call("PATCH", f"{path}/shut", READER, publish, content_type=MERGE))[0] == 404
        status, answer = await shard.call("POST", path, READER, body("shut", published="yes"))
        assert (status, answer["reason"]) == (409, "AlreadyExists"), "a conflict would say that another attempt may succeed"
        assert (await shard.call("DELETE", f"{path}/shut", READER))[0] == 404
        assert (await shard.call("DELETE", path, READER))[0] == 200
        status, found = await shard.call("GET", config_maps(NEAR), READER)
        assert (status, found["items"]) == (200, [])
        inside = f"/clusters/{NEAR}/api/v1/namespaces/default/configmaps/shut"
        assert shard.get(NEAR, "core/configmaps", "shut", "default") is not None, inside


async def test_only_verbs_that_the_consumer_accepted() -> None:
    async with ServedShard() as shard:
        await observatory(shard, verbs=("get", "list", "watch", "create"), resources=[{**CONFIG_MAPS, "verbs": ALL}])
        path = config_maps(NEAR, obj="x").rpartition("/")[0]
        assert (await shard.call("POST", path, READER, body("one")))[0] == 201
        assert (await shard.call("DELETE", f"{path}/one", READER))[0] == 403


async def test_only_verbs_that_are_declared() -> None:
    async with ServedShard() as shard:
        cowboys = {"group": "wild.west", "resource": "cowboys", "verbs": ["get", "list", "patch"]}
        await observatory(shard, resources=[cowboys])
        path = f"{base(NEAR)}/apis/wild.west/v1/namespaces/default/cowboys"
        one = f"{path}/of-{NEAR}"
        status, answer = await shard.call("PATCH", one, READER, {"spec": {"size": 3}}, content_type=MERGE)
        assert (status, answer["spec"]) == (200, {"size": 3})
        status, answer = await shard.call("PATCH", f"{one}/status", READER, {"status": {"phase": "A"}}, content_type=MERGE)
        assert (status, answer["status"]) == (200, {"phase": "A"})
        assert (await shard.call("DELETE", one, READER))[0] == 405
        assert (await shard.call("PUT", one, READER, answer))[0] == 405
        assert (await shard.call("GET", path, READER, query="watch=true"))[0] == 405
