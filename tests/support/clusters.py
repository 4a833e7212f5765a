"""A logical cluster on a shard in memory with all of admission and the controllers of plain Kubernetes, and objects for it."""

from __future__ import annotations

from typing import Any, Self

from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority
from tenantry.apiserver.authentication.service_account_tokens import BoundObject
from tenantry.apiserver.user import User
from tenantry.kube.objects import Object
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard

CLUSTER = "rtenant000000000"
RBAC = "rbac.authorization.k8s.io"
_GROUPS = {
    "clusterroles": RBAC,
    "clusterrolebindings": RBAC,
    "roles": RBAC,
    "rolebindings": RBAC,
    "customresourcedefinitions": "apiextensions.k8s.io",
    "certificatesigningrequests": "certificates.k8s.io",
    "clustertrustbundles": "certificates.k8s.io",
    "podcertificaterequests": "certificates.k8s.io",
    "storageversionmigrations": "storagemigration.k8s.io",
}


def issue(*, cluster: str, namespace: str, name: str, uid: str, secret: BoundObject) -> str:
    """A token that tells what it is for."""
    return f"{cluster}/{namespace}/{name}/{uid}/{secret.uid}"


class ServedCluster(ServedShard):
    """A shard that has one cluster, CLUSTER, whose owner is `ada`, with the namespace `default`."""

    def __init__(self, *, ca_certificate: str = "PEM", signer: ClusterAuthority | None = None, **more: Any) -> None:
        super().__init__(ca_certificate=ca_certificate, whole_admission=True, **more)
        self.tenancy.runner.add(*self.tenancy.plain_controllers(issue, signer))

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self.get(CLUSTER, LOGICAL_CLUSTERS, "cluster") is None:
            await self.cluster(CLUSTER, owner="ada")
            await self.namespace(CLUSTER, "default")
            await self.until(lambda: self.find("configmaps", "kube-root-ca.crt") and self.find("serviceaccounts", "default"))
        return self

    def url(self, plural: str, name: str = "", namespace: str = "default", *, cluster: str = CLUSTER) -> str:
        """Of a built-in type; `namespace` empty for types without. A plural with a dot is `<plural>.<group>` in v1."""
        plural, _, group = plural.partition(".")
        group = group or _GROUPS.get(plural, "")
        root = f"/clusters/{cluster}/apis/{group}/v1" if group else f"/clusters/{cluster}/api/v1"
        place = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{place}/{plural}" + (f"/{name}" if name else "")

    async def post(self, plural: str, obj: Object, namespace: str = "default", who: User = MASTER, query: str = "") -> Object:
        """The new object; fails where it is refused."""
        status, answer = await self.call("POST", self.url(plural, "", namespace), who, obj, query)
        assert status == 201, answer
        return answer

    async def refused(self, plural: str, obj: Object, namespace: str = "default", who: User = MASTER) -> tuple[int, str]:
        """(status, message) of a create."""
        status, answer = await self.call("POST", self.url(plural, "", namespace), who, obj)
        return status, answer.get("message", "")

    async def patch(self, plural: str, name: str, patch: Object, namespace: str = "default", who: User = MASTER) -> Object:
        headers = {"content_type": "application/merge-patch+json"}
        status, answer = await self.call("PATCH", self.url(plural, name, namespace), who, patch, **headers)
        assert status == 200, answer
        return answer

    async def delete(self, plural: str, name: str, namespace: str = "default", *, policy: str = "") -> Object:
        options = {"propagationPolicy": policy} if policy else None
        status, answer = await self.call("DELETE", self.url(plural, name, namespace), MASTER, options)
        assert status == 200, answer
        return answer

    def find(self, plural: str, name: str, namespace: str = "default") -> Object | None:
        """From memory."""
        plural, _, group = plural.partition(".")
        return self.get(CLUSTER, f"{group or _GROUPS.get(plural, 'core')}/{plural}", name, namespace)

    async def gone(self, plural: str, name: str, namespace: str = "default") -> None:
        await self.until(lambda: self.find(plural, name, namespace) is None)


def config_map(name: str, *owners: Object, block: bool = False, **metadata: Any) -> Object:
    """`owners` are whole objects."""
    if owners:
        metadata["ownerReferences"] = [reference(owner, block=block) for owner in owners]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}


def reference(owner: Object, *, block: bool = False) -> Object:
    found = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"]}
    return {**found, "uid": owner["metadata"]["uid"], **({"blockOwnerDeletion": True} if block else {})}


def definition(plural: str, kind: str, group: str = "x.example", **names: Any) -> Object:
    """A namespaced CustomResourceDefinition without a schema of its own."""
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    spec = {"group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind, **names}, "versions": [version]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": spec,
    }


def conditions(obj: Object | None) -> dict[str, tuple[str, str, str]]:
    """Type → (status, reason, message)."""
    found = ((obj or {}).get("status") or {}).get("conditions") or ()
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in found}
