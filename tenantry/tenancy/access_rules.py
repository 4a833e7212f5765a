"""What decides who may enter a logical cluster (RBAC verb `access` on `/`), as far as other shards have to know.

A parent's shard tells a user which of its workspaces they may enter, wherever those are. So the RBAC objects that give `access`
have copies, in every cluster. The binding with which each workspace begins has none, for there are as many as workspaces: who
owns one is written in the Workspace. Only when that binding is changed or gone is there a copy, which tells so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from tenantry.kube.objects import Object, annotations_of, name_of
from tenantry.kube.rbac.rules import CompiledRules
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import CLUSTER_ROLES, LOGICAL_CLUSTERS
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.well_known import REQUIRED_GROUPS_ANNOTATION, SYSTEM_ADMIN

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

OWNER_BINDING = "workspace-admin"
OWNER_ROLE = "cluster-admin"
VERB, PATH = "access", "/"


def gives_access(role: Object) -> bool:
    """Whether a ClusterRole lets those to whom it is bound enter."""
    return CompiledRules(role.get("rules") or ()).allows_path(VERB, PATH)


def decides_entry(host: Host, resource: str, cluster: str, obj: Object) -> bool:
    """Whether an object of a cluster held here says something about who may enter, beyond what its Workspace says.

    A binding whose role is not there yet counts as well.
    """
    if resource == LOGICAL_CLUSTERS:
        return REQUIRED_GROUPS_ANNOTATION in annotations_of(obj)
    if resource == CLUSTER_ROLES:
        return gives_access(obj)
    if _is_first_binding(host, cluster, obj):
        return False
    role = _role(host, cluster, (obj.get("roleRef") or {}).get("name") or "")
    return role is None or gives_access(role)


def closed_binding(host: Host, cluster: str) -> Object | None:
    """What is copied when the first binding of a cluster is deleted: that it gives nothing. None where there never was one."""
    if not _owner(host, cluster):
        return None
    return {"metadata": {"name": OWNER_BINDING}, "roleRef": {"kind": "ClusterRole", "name": OWNER_ROLE}}


def _is_first_binding(host: Host, cluster: str, obj: Object) -> bool:
    if name_of(obj) != OWNER_BINDING or (obj.get("roleRef") or {}).get("name") != OWNER_ROLE:
        return False
    subjects = [(subject.get("kind"), subject.get("name")) for subject in obj.get("subjects") or ()]
    owner = _owner(host, cluster)
    # Written together with the LogicalCluster it is the first one.
    return owner is None or subjects == [("User", owner)]


def _owner(host: Host, cluster: str) -> str | None:
    """The name of the user for whom a cluster was made; empty where nobody is named, None while it does not exist."""
    record = host.cell.range_of(cluster).get(Key(cluster, LOGICAL_CLUSTERS, "", NAME))
    if record is None:
        return None
    return ((orjson.loads(record.value).get("spec") or {}).get("createdBy") or {}).get("username") or ""


def _role(host: Host, cluster: str, name: str) -> Object | None:
    """As RBAC resolves it: a role of all clusters before one of this cluster."""
    role = host.catalog.get(CLUSTER_ROLES, SYSTEM_ADMIN, name)
    if role is None:
        record = host.cell.range_of(cluster).get(Key(cluster, CLUSTER_ROLES, "", name))
        role = orjson.loads(record.value) if record is not None else None
    return role
