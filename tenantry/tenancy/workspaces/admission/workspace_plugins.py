"""Admission of workspaces, their types, logical clusters and shards (kcp's plugins of tenancy.kcp.io and core.kcp.io).

Refusals are 403, as in kcp, even where the object itself is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from tenantry.apiserver.admission.attributes import CREATE, UPDATE, Admission, Review
from tenantry.apiserver.storage_errors import range_of
from tenantry.kube.objects import GroupResource
from tenantry.kube.status import forbidden
from tenantry.placement.paths.directory import Directory
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.phase_fields import DELETING
from tenantry.tenancy.workspaces.admission.logical_cluster import admit_logical_cluster
from tenantry.tenancy.workspaces.admission.workspace import WorkspaceRules
from tenantry.tenancy.workspaces.admission.workspace_type import WorkspaceTypeRules
from tenantry.tenancy.workspaces.scheduler import Scheduler
from tenantry.tenancy.workspaces.workspace_types import WorkspaceTypes

Handler = Callable[[Review], None]


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
    workspaces = WorkspaceRules(cell=cell, authorizer=authorizer, workspace_types=workspace_types)
    types = WorkspaceTypeRules(directory=directory, authorizer=authorizer)
    return [LogicalClusterExists(cell=cell), TenancyAdmission(workspaces, types, definitions=definitions, scheduler=scheduler)]


class LogicalClusterExists:
    """Refuses creates in a logical cluster that does not exist, or whose contents are being deleted: nobody would delete the
    object."""

    def __init__(self, *, cell: Cell) -> None:
        self._cell = cell

    def mutate(self, review: Review) -> None:
        if review.operation != CREATE or not review.definition.stored or review.cluster.startswith("system:"):
            return
        resource = review.definition.group_resource
        if resource == GroupResource("core.kcp.io", "logicalclusters"):
            return
        record = range_of(self._cell, review.cluster).get(Key(review.cluster, LOGICAL_CLUSTERS, "", NAME))
        if record is None:
            raise forbidden(resource, review.name, "the logical cluster does not exist")
        if record.head.deleting and (orjson.loads(record.value).get("status") or {}).get("phase") == DELETING:
            raise forbidden(resource, review.name, "the logical cluster is being deleted")

    def validate(self, review: Review) -> None:
        return None


class TenancyAdmission:
    """Calls the admission of the type. It ignores types of tenants that only have the same name."""

    def __init__(
        self,
        workspaces: WorkspaceRules,
        types: WorkspaceTypeRules,
        *,
        definitions: SystemDefinitions,
        scheduler: Scheduler,
    ) -> None:
        self._definitions = definitions
        self._scheduler = scheduler
        self._mutate: dict[tuple[str, str], Handler] = {
            ("tenancy.kcp.io", "workspaces"): workspaces.mutate,
            ("core.kcp.io", "shards"): default_shard,
        }
        self._validate: dict[tuple[str, str], Handler] = {
            ("tenancy.kcp.io", "workspaces"): workspaces.validate,
            ("tenancy.kcp.io", "workspacetypes"): types.validate,
            ("core.kcp.io", "logicalclusters"): admit_logical_cluster,
        }

    def mutate(self, review: Review) -> None:
        self._apply(self._mutate, review)

    def validate(self, review: Review) -> None:
        self._apply(self._validate, review)
        if review.operation != CREATE or review.dry_run or review.definition.storage_key != LOGICAL_CLUSTERS:
            return
        if not review.beyond_capacity:
            self._scheduler.admit(review.cluster)

    def _apply(self, handlers: dict[tuple[str, str], Handler], review: Review) -> None:
        definition = review.definition
        handler = handlers.get((definition.group, definition.plural))
        if handler is None:
            return
        own = self._definitions.find(definition.group, definition.plural)
        if own is not None and own.identity == definition.identity:
            handler(review)


def default_shard(review: Review) -> None:
    """Sets missing URLs of a Shard to its baseURL, in place (kcp)."""
    if review.operation in (CREATE, UPDATE) and review.object is not None and not review.subresource:
        spec = review.object.get("spec") or {}
        for field in ("externalURL", "virtualWorkspaceURL"):
            if spec.get("baseURL") and not spec.get(field):
                spec[field] = spec["baseURL"]
