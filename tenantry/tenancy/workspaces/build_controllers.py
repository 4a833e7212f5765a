"""Makes the controllers of workspaces."""

from __future__ import annotations

from typing import Any

from tenantry.controllers.controller import Controller
from tenantry.placement.catalog import Catalog
from tenantry.placement.paths.directory import Directory
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.tenancy.catalog_copies import Copies
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.workspaces.default_binding_controller import DefaultBindingController
from tenantry.tenancy.workspaces.logical_cluster_controller import LogicalClusterController
from tenantry.tenancy.workspaces.logical_cluster_deletion import LogicalClusterDeletion
from tenantry.tenancy.workspaces.new_logical_cluster import ClusterContents
from tenantry.tenancy.workspaces.partition_set_controller import PartitionSetController
from tenantry.tenancy.workspaces.remote_objects import RemoteObjects
from tenantry.tenancy.workspaces.role_copies_controller import RoleCopiesController
from tenantry.tenancy.workspaces.scheduler import Scheduler
from tenantry.tenancy.workspaces.shard_controller import ShardController
from tenantry.tenancy.workspaces.system_initializers import SystemInitializers
from tenantry.tenancy.workspaces.workspace_controller import WorkspaceController
from tenantry.tenancy.workspaces.workspace_type_controller import WorkspaceTypeController
from tenantry.tenancy.workspaces.workspace_types import WorkspaceTypes


def build(
    *,
    cell: Cell,
    catalog: Catalog,
    directory: Directory,
    range_map: RangeMap,
    urls: Urls,
    definitions: SystemDefinitions,
    workspace_types: WorkspaceTypes,
    scheduler: Scheduler,
    copies: Copies,
    changes: Changes,
    contents: ClusterContents,
    remote: RemoteObjects,
) -> list[Controller[Any]]:
    """All of them."""
    return [
        WorkspaceController(
            cell=cell,
            catalog=catalog,
            directory=directory,
            definitions=definitions,
            workspace_types=workspace_types,
            scheduler=scheduler,
            urls=urls,
            changes=changes,
            contents=contents,
            remote=remote,
        ),
        LogicalClusterController(
            cell=cell,
            catalog=catalog,
            directory=directory,
            definitions=definitions,
            workspace_types=workspace_types,
            changes=changes,
            contents=contents,
            remote=remote,
            initializers=SystemInitializers(definitions, changes, contents),
            deletion=LogicalClusterDeletion(cell=cell, definitions=definitions, changes=changes),
        ),
        ShardController(cell=cell, definitions=definitions, range_map=range_map, urls=urls, changes=changes),
        WorkspaceTypeController(cell=cell, definitions=definitions, range_map=range_map, urls=urls, changes=changes),
        RoleCopiesController(cell=cell, definitions=definitions, copies=copies),
        DefaultBindingController(
            cell=cell,
            catalog=catalog,
            directory=directory,
            definitions=definitions,
            workspace_types=workspace_types,
            changes=changes,
            contents=contents,
        ),
        PartitionSetController(cell=cell, catalog=catalog, definitions=definitions, changes=changes),
    ]
