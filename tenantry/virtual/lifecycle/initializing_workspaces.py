"""The view of the workspaces that wait for an initializer: `/services/initializingworkspaces/<initializer>/clusters/<id or
*>/…`."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apiserver.scope import Scope
from tenantry.apiserver.user import INITIALIZER_GROUP_PREFIX
from tenantry.kube.objects import Object
from tenantry.storage.record import Record
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.well_known import PHASE_LABEL
from tenantry.virtual.lifecycle.lifecycle_view import LifecycleView, lifecycle_label, scope_of
from tenantry.virtual.view import Place

INITIALIZING = "Initializing"


class InitializingWorkspaces(LifecycleView):
    """In one workspace, everything but its LogicalCluster is served by the workspace itself, also discovery (kcp)."""

    name = "initializingworkspaces"
    verb = "initialize"
    field = "initializers"
    singular = "initializer"
    group_prefix = INITIALIZER_GROUP_PREFIX
    label_prefix = "initializer.internal.kcp.io/"
    permissions_field = "initializerPermissions"

    def waits(self, identifier: str) -> Callable[[Record], bool]:
        key, value = lifecycle_label(self.label_prefix, identifier)

        def waits(record: Record) -> bool:
            labels = record.head.labels
            return labels.get(key) == value and labels.get(PHASE_LABEL) == INITIALIZING

        return waits

    def in_phase(self, logical_cluster: Object) -> bool:
        return (logical_cluster.get("status") or {}).get("phase") == INITIALIZING

    def scope(self, place: Place, base: ClusterScope, path: str) -> Scope:
        return scope_of(self, place, base, path, discovery_is_content=True)
