"""Admission of workspaces, their types, logical clusters and shards (kcp's plugins of tenancy.kcp.io and core.kcp.io).

Refusals are 403, as in kcp, even where the object itself is wrong.
"""

from __future__ import annotations

from tenantry.apiserver.admission.by_type import ByType
from tenantry.apiserver.admission.review import Admission
from tenantry.placement.paths.directory import Directory
from tenantry.storage.cell import Cell
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.workspaces.admission.logical_cluster import LogicalClusterAdmission
from tenantry.tenancy.workspaces.admission.logical_cluster_exists import LogicalClusterExistsAdmission
from tenantry.tenancy.workspaces.admission.shard import ShardAdmission
from tenantry.tenancy.workspaces.admission.workspace import WorkspaceAdmission
from tenantry.tenancy.workspaces.admission.workspace_name import WorkspaceNameAdmission
from tenantry.tenancy.workspaces.admission.workspace_type import WorkspaceTypeAdmission
from tenantry.tenancy.workspaces.scheduler import Scheduler
from tenantry.tenancy.workspaces.workspace_types import WorkspaceTypes


def plugins(
    *,
    cell: Cell,
    directory: Directory,
    definitions: SystemDefinitions,
    workspace_types: WorkspaceTypes,
    scheduler: Scheduler,
    authorizer: ClusterAuthorizer,
) -> list[Admission]:
    """The plugins of this package, in the order in which they run."""
    workspaces = WorkspaceAdmission(cell=cell, authorizer=authorizer, workspace_types=workspace_types)
    by_type = ByType(
        {
            ("tenancy.kcp.io", "workspaces"): (workspaces, WorkspaceNameAdmission()),
            ("tenancy.kcp.io", "workspacetypes"): (WorkspaceTypeAdmission(directory=directory, authorizer=authorizer),),
            ("core.kcp.io", "logicalclusters"): (LogicalClusterAdmission(scheduler),),
            ("core.kcp.io", "shards"): (ShardAdmission(),),
        },
        is_meant=definitions.has,
    )
    return [LogicalClusterExistsAdmission(cell=cell), by_type]
