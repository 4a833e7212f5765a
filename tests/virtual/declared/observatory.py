"""The provider of cowboys with a declared view over its consumers, who share ConfigMaps with it."""

from __future__ import annotations

from typing import Any

from tenantry.kube.objects import Object
from tenantry.tenancy.resources import VIRTUAL_WORKSPACES
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard, accepted, claim
from tests.virtual.apiexport.ranch import FAR, NEAR, PROVIDER, create, ranch

READER = person("reader")
NAME = "shown"
PATH = f"/clusters/{PROVIDER}/apis/views.tenantry.dev/v1alpha1/virtualworkspaces"
CONFIG_MAPS: Object = {"resource": "configmaps"}
COWBOYS: Object = {"group": "wild.west", "resource": "cowboys"}


def base(cluster: str = "*", name: str = "root", view: str = NAME) -> str:
    return f"/ranges/{name}/services/virtualworkspaces/{PROVIDER}/{view}/clusters/{cluster}"


def config_maps(cluster: str = "*", name: str = "root", obj: str = "") -> str:
    namespace = "" if cluster == "*" else "/namespaces/default"
    return f"{base(cluster, name)}/api/v1{namespace}/configmaps" + (f"/{obj}" if obj else "")


def cowboys(cluster: str = "*", name: str = "root") -> str:
    return f"{base(cluster, name)}/apis/wild.west/v1/cowboys"


async def observatory(
    shard: ServedShard, *, claimed: str = "configmaps", verbs: tuple[str, ...] = ("*",), accept: Any = None, **spec: Any
) -> None:
    """Consumers who accepted the claim on what is `claimed` with these verbs, and a view that a reader may use."""
    wanted = claim("", claimed, *verbs)
    await ranch(shard, claims=[wanted], accept=[accepted(wanted)] if accept is None else accept)
    await shard.role(
        PROVIDER,
        "reader",
        {"nonResourceURLs": ["/"], "verbs": ["access"]},
        {
            "apiGroups": ["views.tenantry.dev"],
            "resources": ["virtualworkspaces/content"],
            "resourceNames": [NAME],
            "verbs": ["*"],
        },
    )
    await shard.bind_role(PROVIDER, "reader", "reader", READER.name)
    if spec:
        await declare(shard, **spec)


async def declare(shard: ServedShard, name: str = NAME, who: Any = MASTER, **spec: Any) -> Object:
    """Declares a view, and returns it when its status is known."""
    status, answer = await post(shard, name, who, **spec)
    assert status == 201, answer
    return await shard.until(lambda: (found := shard.get(PROVIDER, VIRTUAL_WORKSPACES, name)) and found.get("status") and found)


async def post(shard: ServedShard, name: str = NAME, who: Any = MASTER, **spec: Any) -> tuple[int, Any]:
    body = {
        "apiVersion": "views.tenantry.dev/v1alpha1",
        "kind": "VirtualWorkspace",
        "metadata": {"name": name},
        "spec": {"export": {"name": "cowboys"}, **spec},
    }
    return await shard.call("POST", PATH, who, body)


async def config_map(shard: ServedShard, name: str, cluster: str = NEAR, data: Any = None, **labels: str) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels, "annotations": {"example.com/all": "secret"}},
        "data": data if data is not None else {"key": "secret"},
    }
    path = f"/clusters/{cluster}/api/v1/namespaces/default/configmaps"
    status, answer = await shard.call("POST", path, MASTER, body)
    assert status == 201, answer


async def relabel(shard: ServedShard, name: str, cluster: str = NEAR, **labels: str | None) -> None:
    path = f"/clusters/{cluster}/api/v1/namespaces/default/configmaps/{name}"
    status, answer = await shard.call(
        "PATCH", path, MASTER, {"metadata": {"labels": labels}}, content_type="application/merge-patch+json"
    )
    assert status == 200, answer


__all__ = ["FAR", "NEAR", "PROVIDER", "create"]
