"""A provider of cowboys, its view and its consumers."""

from __future__ import annotations

from typing import Any

from tenantry.apiserver.user import User
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard, accepted

PROVIDER = "rprovider0000000"
NEAR = "rconsumer0000000"
FAR = "000consumer00000"
STRANGER = "rstranger0000000"
SHERIFF = person("sheriff")
KINDS = {
    "cowboys": ("wild.west/v1", "Cowboy"),
    "horses": ("wild.west/v1", "Horse"),
    "configmaps": ("v1", "ConfigMap"),
    "serviceaccounts": ("v1", "ServiceAccount"),
}


def base(cluster: str = "*", name: str = "root", export: str = "cowboys") -> str:
    return f"/ranges/{name}/services/apiexport/{PROVIDER}/{export}/clusters/{cluster}"


def cowboys(cluster: str = "*", name: str = "root", obj: str = "") -> str:
    namespace = "" if cluster == "*" else "/namespaces/default"
    return f"{base(cluster, name)}/apis/wild.west/v1{namespace}/cowboys" + (f"/{obj}" if obj else "")


def configmaps(cluster: str = NEAR, obj: str = "") -> str:
    return f"{base(cluster)}/api/v1/namespaces/default/configmaps" + (f"/{obj}" if obj else "")


async def ranch(shard: ServedShard, *, claims: Any = (), verbs: tuple[str, ...] = ("*",), accept: Any = None) -> None:
    """A provider whose sheriff may use the view, and two consumers with one cowboy each."""
    await shard.cluster(PROVIDER, "root:provider")
    await shard.role(PROVIDER, "sheriff", *sheriff_rules(verbs))
    await shard.bind_role(PROVIDER, "sheriff", "sheriff", SHERIFF.name)
    await shard.export(PROVIDER, claims=claims)
    await shard.cluster(STRANGER, "root:stranger")
    for cluster, path in ((NEAR, "root:near"), (FAR, "root:far")):
        await shard.cluster(cluster, path)
        await shard.namespace(cluster, "default")
        taken = [accepted(each) for each in claims] if accept is None else accept
        await shard.bind(cluster, "root:provider", "cowboys", claims=taken)
        status, answer = await create(
            shard, f"/clusters/{cluster}/apis/wild.west/v1/namespaces/default/cowboys", f"of-{cluster}", MASTER
        )
        assert status == 201, answer


def sheriff_rules(verbs: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {"nonResourceURLs": ["/"], "verbs": ["access"]},
        {"apiGroups": ["apis.kcp.io"], "resources": ["apiexports/content"], "resourceNames": ["cowboys"], "verbs": list(verbs)},
    ]


async def create(shard: ServedShard, path: str, name: str, who: User, **metadata: Any) -> tuple[int, Any]:
    version, kind = KINDS[path.rpartition("/")[2]]
    return await shard.call("POST", path, who, {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}})


async def listed(shard: ServedShard, path: str, who: User = SHERIFF) -> list[str]:
    status, answer = await shard.call("GET", path, who)
    assert status == 200, answer
    return [obj["metadata"]["name"] for obj in answer["items"]]
