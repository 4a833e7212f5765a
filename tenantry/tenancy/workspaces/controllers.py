"""The controllers of workspaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenantry.controllers.controller import Controller
from tenantry.tenancy.workspaces.create import WorkspaceController
from tenantry.tenancy.workspaces.logical_cluster_phases import LifecycleController
from tenantry.tenancy.workspaces.maintain import MaintainController
from tenantry.tenancy.workspaces.partition_sets import PartitionSetController
from tenantry.tenancy.workspaces.role_copies import OffersController
from tenantry.tenancy.workspaces.shards import ShardsController
from tenantry.tenancy.workspaces.type_urls import TypeUrlsController

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host


def build(host: Host) -> list[Controller[Any]]:
    """All of them."""
    return [
        WorkspaceController(host),
        LifecycleController(host),
        ShardsController(host),
        TypeUrlsController(host),
        OffersController(host),
        MaintainController(host),
        PartitionSetController(host),
    ]
