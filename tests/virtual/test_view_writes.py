"""Writes through views meet the admission that guards what they write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tenantry.apiserver.authorization import Attributes
from tenantry.kube.definition import STANDARD_VERBS, ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.virtual.apiexport.api_export_view import ApiExportView
from tenantry.virtual.view import Place, View
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard, claim
from tests.virtual.apiexport.ranch import NEAR, SHERIFF, base, ranch
from tests.virtual.lifecycle.test_writes import FIELDS

MERGE = "application/merge-patch+json"
OBJECT = "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"
SPEC: Object = {
    "createdBy": {"username": "other"},
    "directlyDeletable": True,
    "initializers": ["a:b"],
    "owner": {"apiVersion": "tenancy.kcp.io/v1alpha1", "cluster": "x", "name": "y", "resource": "workspaces"},
    "terminators": ["a:b"],
}


class Everything(View):
    """A careless view: everybody may do everything with LogicalClusters."""

    name = "everything"
    verbs = STANDARD_VERBS

    def allows(self, place: Place, question: Attributes) -> bool:
        return True

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        return (self.definition("core.kcp.io", "logicalclusters"),)


def guarded(*views: type[View]) -> ServedShard:
    return ServedShard(*views, whole_admission=True)


async def refusals(shard: ServedShard, path: str, who: Any) -> None:
    before = shard.get(NEAR, LOGICAL_CLUSTERS, "cluster")
    for field, value in [*FIELDS.items(), ("phase", "Scheduling"), ("phase", "Deleting")]:
        if (before or {})["status"].get(field) == value:
            continue
        status, answer = await shard.call("PATCH", f"{path}/status", who, {"status": {field: value}}, content_type=MERGE)
        assert status == 422, (field, answer)
    if who is not MASTER:
        for field, value in SPEC.items():
            status, answer = await shard.call("PATCH", path, who, {"spec": {field: value}}, content_type=MERGE)
            assert status in (403, 422), (field, answer)
    assert shard.get(NEAR, LOGICAL_CLUSTERS, "cluster") == before


async def test_a_claim_on_logical_clusters() -> None:
    async with guarded(ApiExportView) as shard:
        await ranch(shard, claims=[claim("core.kcp.io", "logicalclusters")])
        path = base(NEAR) + OBJECT
        assert (await shard.call("GET", path, SHERIFF))[0] == 200
        await refusals(shard, path, SHERIFF)
        await refusals(shard, path, MASTER)
        assert (await shard.call("DELETE", path, SHERIFF))[0] == 403


async def test_a_careless_view() -> None:
    async with guarded(Everything) as shard:
        await shard.cluster(NEAR, "root:near")
        for who in (person("somebody"), MASTER):
            await refusals(shard, f"/services/everything/clusters/{NEAR}{OBJECT}", who)


class Changes(View):
    """Everybody may change ConfigMaps, and no client may create them."""

    name = "changes"
    verbs = ("get", "list", "watch", "update", "patch")

    def allows(self, place: Place, question: Attributes) -> bool:
        return True

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        return (self.definition("", "configmaps"),)


async def test_an_apply_creates_nothing_where_create_is_no_verb() -> None:
    async with ServedShard(Changes) as shard:
        await shard.cluster(NEAR, "root:near")
        path = f"/services/changes/clusters/{NEAR}/api/v1/namespaces/default/configmaps"
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "1"}}
        assert (await shard.call("POST", path, person("ann"), body))[0] == 405
        apply = {"content_type": "application/apply-patch+yaml", "query": "fieldManager=me&force=true"}
        assert (await shard.call("PATCH", f"{path}/a", person("ann"), body, **apply))[0] == 404
        assert (await shard.call("PUT", f"{path}/a", person("ann"), body))[0] == 404
        _, found = await shard.call("GET", path, MASTER)
        assert found["items"] == []
