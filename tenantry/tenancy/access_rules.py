"""What decides who may enter a logical cluster (RBAC verb `access` on `/`), as far as other shards have to know.

A parent's shard tells a user which of its workspaces they may enter, wherever those are. So the RBAC objects that give `access`
have copies, in every cluster. The binding with which each workspace begins has none, for there are as many as workspaces: who
owns one is written in the Workspace. Only when that binding is changed or gone is there a copy, which tells so.
"""

from __future__ import annotations

import orjson

from tenantry.kube.objects import Object, annotations_of, name_of
from tenantry.kube.rbac.rules import CompiledRules
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
    """Whether a ClusterRole lets those to whom it is bound enter."""
    return CompiledRules(role.get("rules") or ()).allows_path(VERB, PATH)


class AccessRules:
    """Reads what this shard holds, and of the roles of all clusters their copies."""

    def __init__(self, cell: Cell, catalog: Catalog) -> None:
        self._cell = cell
        self._catalog = catalog

    def decides_access(self, resource: str, cluster: str, obj: Object) -> bool:
        """Whether an object of a cluster held here says something about who may enter, beyond what its Workspace says.

        A binding whose role is not there yet counts as well.
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
        """What is copied when the first binding of a cluster is deleted: that it gives nothing. None where there was none."""
        if not self._owner(cluster):
            return None
        return {"metadata": {"name": OWNER_BINDING}, "roleRef": {"kind": "ClusterRole", "name": OWNER_ROLE}}

    def _is_first_binding(self, cluster: str, obj: Object) -> bool:
        if name_of(obj) != OWNER_BINDING or (obj.get("roleRef") or {}).get("name") != OWNER_ROLE:
            return False
        subjects = [(subject.get("kind"), subject.get("name")) for subject in obj.get("subjects") or ()]
        owner = self._owner(cluster)
        # Written together with the LogicalCluster it is the first one.
        return owner is None or subjects == [("User", owner)]

    def _owner(self, cluster: str) -> str | None:
        """The name of the user for whom a cluster was made; empty where nobody is named, None while it does not exist."""
        record = self._cell.range_of(cluster).get(Key(cluster, LOGICAL_CLUSTERS, "", NAME))
        if record is None:
            return None
        return ((orjson.loads(record.value).get("spec") or {}).get("createdBy") or {}).get("username") or ""

    def _role(self, cluster: str, name: str) -> Object | None:
        """As RBAC resolves it: a role of all clusters before one of this cluster."""
        role = self._catalog.get(CLUSTER_ROLES, SYSTEM_ADMIN, name)
        if role is None:
            record = self._cell.range_of(cluster).get(Key(cluster, CLUSTER_ROLES, "", name))
            role = orjson.loads(record.value) if record is not None else None
        return role
