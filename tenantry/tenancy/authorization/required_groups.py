"""The link for required groups: the annotation `authorization.kcp.io/required-groups` of a LogicalCluster (kcp)."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apiserver.authorization import Attributes, Decision, Verdict
from tenantry.apiserver.user import (
    EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP,
    KCP_ADMIN_GROUP,
    LOGICAL_CLUSTER_ADMIN_GROUP,
    WORKSPACE_BOOTSTRAPPER_GROUP,
)
from tenantry.kube.objects import Object, annotations_of
from tenantry.tenancy.authorization.chained_authorizer import NOT_PERMITTED, groups_of
from tenantry.tenancy.authorization.cluster_access import Access
from tenantry.tenancy.authorization.effective_users import is_local
from tenantry.tenancy.well_known import REQUIRED_GROUPS_ANNOTATION

_PASSING = frozenset({LOGICAL_CLUSTER_ADMIN_GROUP, EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP})
"""Groups that need no other: their requests come before the LogicalCluster exists."""
_SATISFYING = frozenset({KCP_ADMIN_GROUP, WORKSPACE_BOOTSTRAPPER_GROUP})


class RequiredGroups:
    """Refuses callers without the required groups. `a,b;c` means (a and b) or c."""

    def __init__(self, logical_cluster: Callable[[str], Object | None]) -> None:
        self._logical_cluster = logical_cluster

    def decide(self, attributes: Attributes, access: Access) -> Decision | None:
        if is_local(attributes.user, attributes.cluster):
            return None
        groups = groups_of(access.users)
        if groups & _PASSING:
            return None
        obj = self._logical_cluster(attributes.cluster)
        if obj is None:
            return None if attributes.cluster.startswith("system:") else Decision(Verdict.NO_OPINION, NOT_PERMITTED)
        wanted = annotations_of(obj).get(REQUIRED_GROUPS_ANNOTATION)
        if not wanted or groups & _SATISFYING:
            return None
        for alternative in wanted.split(";"):
            if all(group.strip() in groups for group in alternative.split(",")):
                return None
        # The answer does not reveal whether the workspace exists.
        return Decision(Verdict.DENY, NOT_PERMITTED)
