"""The view of the workspaces that wait for a terminator: `/services/terminatingworkspaces/<terminator>/clusters/<id or *>/…`."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apiserver.scope import Scope
from tenantry.apiserver.user import TERMINATOR_GROUP_PREFIX
from tenantry.kube.objects import Object, is_deleting
from tenantry.storage.record import Record
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.virtual.lifecycle.lifecycle_view import LifecycleView, lifecycle_label, scope_of
from tenantry.virtual.view import Place


class TerminatingWorkspaces(LifecycleView):
    """In one workspace, discovery lists LogicalClusters only; other resources are served by the workspace itself (kcp)."""

    name = "terminatingworkspaces"
    verb = "terminate"
    field = "terminators"
    singular = "terminator"
    group_prefix = TERMINATOR_GROUP_PREFIX
    label_prefix = "terminator.internal.kcp.io/"
    permissions_field = "terminatorPermissions"
    # kcp drops events before the deletion and adds none: for clients, the deletion begins with MODIFIED.
    adds = False

    def waits(self, identifier: str) -> Callable[[Record], bool]:
        key, value = lifecycle_label(self.label_prefix, identifier)
        return lambda record: record.head.deleting and record.head.labels.get(key) == value

    def in_phase(self, logical_cluster: Object) -> bool:
        return is_deleting(logical_cluster)

    def scope(self, place: Place, base: ClusterScope, path: str) -> Scope:
        return scope_of(self, place, base, path, discovery_is_content=False)
