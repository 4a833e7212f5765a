"""RBAC objects in a few words, and somebody who may write them."""

from __future__ import annotations

from typing import Any

from tenantry.kube.objects import Object
from tests.support.clusters import CLUSTER, RBAC, ServedCluster
from tests.support.people import person

BOB = person("bob", "devs")


def rule(verbs: str, resources: str, group: str = "", *names: str) -> Object:
    found: Object = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
    return found | ({"resourceNames": list(names)} if names else {})


def role(name: str, *rules: Object, kind: str = "Role", **more: Any) -> Object:
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name}, "rules": list(rules), **more}


def binding(name: str, to: str, *users: str, kind: str = "RoleBinding", role_kind: str = "Role") -> Object:
    subjects = [{"kind": "User", "apiGroup": RBAC, "name": each} for each in users]
    reference = {"apiGroup": RBAC, "kind": role_kind, "name": to}
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name}, "roleRef": reference, "subjects": subjects}


async def writers(shard: ServedCluster, *more: Object) -> None:
    """Lets bob enter, and write RBAC with no right to escalate."""
    enter = {"nonResourceURLs": ["/"], "verbs": ["access"]}
    writing = rule("get create update patch delete", "roles rolebindings clusterroles clusterrolebindings", RBAC)
    await shard.role(CLUSTER, "writer", enter, writing, rule("get", "configmaps"), *more)
    await shard.bind_role(CLUSTER, "writer", "writer", "bob")
