"""Which objects decide who may access a logical cluster (RBAC verb `access` on the path `/`), so that other shards need copies.

The shard of a parent decides which of the parent's workspaces a user may access, on whichever shard these are. So the RBAC
objects of all clusters that give `access` are copied to the catalog. The ClusterRoleBinding that each workspace is created with
is not copied, because there are as many as workspaces; the Workspace has the name of its owner. If that binding is changed or
deleted, a copy says so.
"""

from __future__ import annotations

import orjson

from tenantry.kube.objects import Object, annotations_of, name_of
from tenantry.kube.rbac.policy_rules import CompiledRules
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import CLUSTER_ROLES, LOGICAL_CLUSTERS
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.well_known import REQUIRED_GROUPS_ANNOTATION, SYSTEM_ADMIN

OWNER_BINDING = "workspace-admin"
OWNER_ROLE = "cluster-admin"
VERB, PATH = "access", "/"


def gives_access(role: Object) -> bool:
    """Whether a ClusterRole gives `access`."""
    return CompiledRules(role.get("rules") or ()).allows_path(VERB, PATH)


class AccessRules:
    """Reads the ranges of this shard, and the copies of the ClusterRoles of `system:admin`."""

    def __init__(self, cell: Cell, catalog: Catalog) -> None:
        self._cell = cell
        self._catalog = catalog

    def decides_access(self, resource: str, cluster: str, obj: Object) -> bool:
        """Whether an object of a cluster of this shard changes who may access the cluster, compared with what its Workspace says.

        True also for a binding whose role does not exist yet.
        """
        if resource == LOGICAL_CLUSTERS:
            return REQUIRED_GROUPS_ANNOTATION in annotations_of(obj)
        if resource == CLUSTER_ROLES:
            return gives_access(obj)
        if self._is_first_binding(cluster, obj):
            return False
        role = self._role(cluster, (obj.get("roleRef") or {}).get("name") or "")
        return role is None or gives_access(role)

    def revoked_owner_binding(self, cluster: str) -> Object | None:
        """The copy that says that the owner's binding of a cluster was deleted: a binding without subjects. None if the
        cluster has no owner."""
        if not self._owner(cluster):
            return None
        return {"metadata": {"name": OWNER_BINDING}, "roleRef": {"kind": "ClusterRole", "name": OWNER_ROLE}}

    def _is_first_binding(self, cluster: str, obj: Object) -> bool:
        if name_of(obj) != OWNER_BINDING or (obj.get("roleRef") or {}).get("name") != OWNER_ROLE:
            return False
        subjects = [(subject.get("kind"), subject.get("name")) for subject in obj.get("subjects") or ()]
        owner = self._owner(cluster)
        # None: this write creates the LogicalCluster, and this binding with it.
        return owner is None or subjects == [("User", owner)]

    def _owner(self, cluster: str) -> str | None:
        """The name of the user who owns a cluster; empty if it has no owner, None if it does not exist."""
        record = self._cell.range_of(cluster).get(Key(cluster, LOGICAL_CLUSTERS, "", NAME))
        if record is None:
            return None
        return ((orjson.loads(record.value).get("spec") or {}).get("createdBy") or {}).get("username") or ""

    def _role(self, cluster: str, name: str) -> Object | None:
        """A ClusterRole as RBAC resolves it: that of `system:admin`, otherwise the cluster's own."""
        role = self._catalog.get(CLUSTER_ROLES, SYSTEM_ADMIN, name)
        if role is None:
            record = self._cell.range_of(cluster).get(Key(cluster, CLUSTER_ROLES, "", name))
            role = orjson.loads(record.value) if record is not None else None
        return role
