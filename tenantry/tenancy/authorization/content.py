"""Who may enter a logical cluster at all: RBAC verb `access` on the path `/` (kcp authorizer 02)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenantry.apiserver.authorization import NO_OPINION, Attributes, Decision, Verdict
from tenantry.apiserver.user import EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP, LOGICAL_CLUSTER_ADMIN_GROUP, User
from tenantry.kube.objects import Object
from tenantry.tenancy.authorization.effective import is_local
from tenantry.tenancy.authorization.links import groups_of

_OPEN_PHASES = frozenset({"Initializing", "Ready", "Inactive", "Terminating", "Deleting"})
_LIFECYCLE_PHASES = frozenset({"Initializing", "Terminating", "Deleting"})
_LIFECYCLE_GROUPS = ("system:kcp:initializer:", "system:kcp:terminator:")
NOT_PERMITTED = "workspace access not permitted"

AccessCheck = Callable[[str, Sequence[User]], bool]
"""(cluster, effective users) → whether RBAC gives one of them `access` on `/`."""


class Content:
    def __init__(self, logical_cluster: Callable[[str], Object | None], may_access: AccessCheck) -> None:
        self._logical_cluster = logical_cluster
        self._may_access = may_access

    def decide(self, attributes: Attributes, users: Sequence[User]) -> Decision | None:
        if attributes.cluster.startswith("system:"):
            return NO_OPINION
        groups = groups_of(users)
        if groups & {LOGICAL_CLUSTER_ADMIN_GROUP, EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP}:
            return None
        obj = self._logical_cluster(attributes.cluster)
        if obj is None:
            return Decision(Verdict.DENY, NOT_PERMITTED)
        phase = (obj.get("status") or {}).get("phase") or "Scheduling"
        if phase not in _OPEN_PHASES:
            return Decision(Verdict.NO_OPINION, f"not permitted, logical cluster is in phase {phase!r}")
        if phase in _LIFECYCLE_PHASES and any(group.startswith(_LIFECYCLE_GROUPS) for group in groups):
            return Decision(Verdict.ALLOW, "lifecycle controller of the workspace type")
        if is_local(attributes.user, attributes.cluster) or self._may_access(attributes.cluster, users):
            return None
        return Decision(Verdict.NO_OPINION, NOT_PERMITTED)
