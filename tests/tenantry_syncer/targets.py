"""Workspaces with a SyncTarget and with objects that are assigned to it, on one process in memory."""

from __future__ import annotations

from typing import Any

from tenantry.apiserver.user import User
from tenantry.kube.objects import Object
from tenantry_syncer.names import STATE_LABEL_PREFIX, Target
from tests.support.one_process import Stack
from tests.support.people import person

API = "apis/workload.kcp.io/v1alpha1/synctargets"
RBAC = "apis/rbac.authorization.k8s.io/v1"
SYNCER = person("edge-syncer")
MERGE = "application/merge-patch+json"


async def made(stack: Stack, path: str, body: Object) -> Object:
    code, answer = await stack.call("POST", path, body=body)
    assert code == 201, answer
    created: Object = answer
    return created


async def sync_target(stack: Stack, cluster: str, name: str = "edge", user: User = SYNCER) -> Target:
    """A new SyncTarget, whose syncer is `user`."""
    body = {"apiVersion": "workload.kcp.io/v1alpha1", "kind": "SyncTarget", "metadata": {"name": name}, "spec": {}}
    found = await made(stack, f"/clusters/{cluster}/{API}", body)
    rules = [
        {"apiGroups": ["workload.kcp.io"], "resources": ["synctargets"], "verbs": ["sync", "get"], "resourceNames": [name]},
        {"apiGroups": ["workload.kcp.io"], "resources": ["synctargets/status"], "verbs": ["patch"], "resourceNames": [name]},
        {"nonResourceURLs": ["/"], "verbs": ["access"]},
    ]
    meta = {"name": f"syncer-{name}"}
    role: Object = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules}
    await made(stack, f"/clusters/{cluster}/{RBAC}/clusterroles", role)
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": meta["name"]},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user.name}],
    }
    await made(stack, f"/clusters/{cluster}/{RBAC}/clusterrolebindings", binding)
    return Target(cluster, name, found["metadata"]["uid"])


async def config_map(stack: Stack, cluster: str, name: str, labels: dict[str, str], **annotations: str) -> Object:
    metadata: Object = {"name": name, "labels": labels, "annotations": annotations}
    body: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}
    return await made(stack, f"/clusters/{cluster}/api/v1/namespaces/default/configmaps", body)


def assigned(target: Target, value: str = "Sync") -> dict[str, str]:
    return {STATE_LABEL_PREFIX + target.key: value}


def view(target: Target, cluster: str = "*", name: str = "syncer", range_name: str = "root") -> str:
    return f"/ranges/{range_name}/services/{name}/{target.cluster}/{target.name}/clusters/{cluster}"


async def names(stack: Stack, path: str, who: User = SYNCER) -> list[str]:
    code, found = await stack.call("GET", path, who)
    assert code == 200, found
    return sorted(item["metadata"]["name"] for item in found["items"])


async def merge(stack: Stack, path: str, body: Any, who: User = SYNCER) -> tuple[int, Object]:
    code, answer = await stack.call("PATCH", path, who, body, content_type=MERGE)
    return code, answer
