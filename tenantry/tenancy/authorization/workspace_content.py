"""Access to a logical cluster: RBAC verb `access` on the path `/` (kcp's workspace content authorizer)."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apiserver.authorization import NOT_PERMITTED, Attributes, Decision, Verdict
from tenantry.apiserver.user import (
    EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP,
    LOGICAL_CLUSTER_ADMIN_GROUP,
)
from tenantry.kube.objects import Object
from tenantry.tenancy.authorization.chained_authorizer import groups_of
from tenantry.tenancy.authorization.cluster_access import Access
from tenantry.tenancy.authorization.effective_users import is_local
from tenantry.tenancy.authorization.initializer_rights import initializer_groups, waited_for
from tenantry.tenancy.well_known import ROOT

_ACCESSIBLE_PHASES = frozenset({"Initializing", "Ready", "Inactive", "Terminating", "Deleting"})
_LIFECYCLE_PHASES = frozenset({"Initializing", "Terminating", "Deleting"})
_DELEGATED_TO_RBAC = frozenset({"bind", "escalate"})
"""Verbs of admission's escalation checks. Views do not check them by the type's permissions, so RBAC decides."""
_IMPERSONATION = "impersonate"
"""What all verbs of impersonation begin with. RBAC decides about them, too."""

_METRICS = "/metrics"
"""Metrics of the process. RBAC of root decides, and access to root is not needed."""


class Content:
    def __init__(self, logical_cluster: Callable[[str], Object | None]) -> None:
        self._logical_cluster = logical_cluster

    def decide(self, attributes: Attributes, access: Access) -> Decision | None:
        cluster = attributes.cluster
        if cluster.startswith("system:"):
            return Decision(Verdict.NO_OPINION, NOT_PERMITTED)
        if not attributes.resource and attributes.path == _METRICS and cluster == ROOT:
            return None
        groups = groups_of(access.users)
        if groups & {LOGICAL_CLUSTER_ADMIN_GROUP, EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP}:
            return None
        obj = self._logical_cluster(cluster)
        if obj is None:
            return Decision(Verdict.DENY, NOT_PERMITTED)
        phase = _phase_of(obj)
        has_access = access.may_access or is_local(attributes.user, cluster)
        if phase not in _ACCESSIBLE_PHASES:
            if not has_access:
                return Decision(Verdict.NO_OPINION, NOT_PERMITTED)
            return Decision(Verdict.NO_OPINION, f'not permitted, logical cluster is in phase "{phase}"')
        if phase in _LIFECYCLE_PHASES and waited_for(obj, initializer_groups(access.users)):
            if attributes.verb in _DELEGATED_TO_RBAC or attributes.verb.startswith(_IMPERSONATION):
                return None
            return Decision(Verdict.ALLOW, "lifecycle controller of the workspace type")
        if has_access:
            return None
        return Decision(Verdict.NO_OPINION, NOT_PERMITTED)


def is_accessible(logical_cluster: Object) -> bool:
    """Whether the phase of a LogicalCluster lets those in who have access."""
    return _phase_of(logical_cluster) in _ACCESSIBLE_PHASES


def _phase_of(logical_cluster: Object) -> str:
    phase: str = (logical_cluster.get("status") or {}).get("phase") or "Scheduling"
    return phase
