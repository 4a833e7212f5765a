"""An organisation and the workspaces in it, which personal workspaces show."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson

from tenantry.apiserver.user import User
from tenantry.kube.objects import Object
from tenantry_personal_workspaces import PersonalWorkspaces
from tests.support.people import person
from tests.support.tenancies import ServedShard

ORG = "rorg000000000000"
PATH = "/services/workspaces/root:org/apis/tenancy.kcp.io/v1alpha1/workspaces"
ANN, BOB = person("ann"), person("bob")


async def organisation(shard: ServedShard) -> None:
    await shard.cluster(ORG, "root:org")
    await shard.cluster("rann000000000000", "root:org:anns", owner="ann")
    await shard.cluster("000bob0000000000", "root:org:bobs", owner="bob")
    await shard.cluster("rshared000000000", "root:org:shared", owner="ann")


async def names(shard: ServedShard, who: User, path: str = PATH) -> list[str]:
    status, answer = await shard.call("GET", path, who)
    assert status == 200, answer
    return [obj["metadata"]["name"] for obj in answer["items"]]


AWAY = "900child00000000"
RBAC = f"/clusters/{AWAY}/apis/rbac.authorization.k8s.io/v1"
OWNER_BINDING = f"{RBAC}/clusterrolebindings/workspace-admin"


@asynccontextmanager
async def away(**logical_cluster: Any) -> AsyncIterator[tuple[ServedShard, ServedShard]]:
    """The organisation here, and a workspace of ann's in it whose logical cluster another shard holds."""
    async with ServedShard(PersonalWorkspaces) as here:
        there = ServedShard(PersonalWorkspaces, store=here.store, name="there")
        async with there:
            await here.cluster(ORG, "root:org")
            created_by = {"createdBy": {"username": "ann", "groups": ["system:authenticated"]}}
            await there.cluster(AWAY, owner="ann", **{"spec": created_by, **logical_cluster})
            owner = orjson.dumps({"username": "ann"}).decode()
            workspace: Object = {
                "metadata": {"name": "away", "annotations": {"experimental.tenancy.kcp.io/owner": owner}},
                "spec": {"cluster": AWAY},
                "status": {"phase": "Ready"},
            }
            await here.put(ORG, "tenancy.kcp.io", "workspaces", workspace)
            yield here, there


def copied(shard: ServedShard, resource: str, name: str) -> Callable[[], bool]:
    return lambda: shard.tenancy.catalog.entry(f"rbac.authorization.k8s.io/{resource}", AWAY, name) is not None
