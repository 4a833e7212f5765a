"""The link for required groups: the annotation `authorization.kcp.io/required-groups` of a LogicalCluster (kcp)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tenantry.apiserver.authorization import NOT_PERMITTED, Attributes, Decision, Verdict
from tenantry.apiserver.user import (
    EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP,
    KCP_ADMIN_GROUP,
    LOGICAL_CLUSTER_ADMIN_GROUP,
    WORKSPACE_BOOTSTRAPPER_GROUP,
)
from tenantry.kube.objects import Object, annotations_of
from tenantry.tenancy.authorization.chained_authorizer import groups_of
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
        alternatives = alternatives_of(obj)
        if not alternatives or satisfies(groups, alternatives):
            return None
        # The answer does not reveal whether the workspace exists.
        return Decision(Verdict.DENY, NOT_PERMITTED)


def alternatives_of(logical_cluster: Object | None) -> tuple[frozenset[str], ...]:
    """The alternatives of groups that a LogicalCluster requires; none if it requires no group."""
    wanted = annotations_of(logical_cluster).get(REQUIRED_GROUPS_ANNOTATION) if logical_cluster is not None else None
    if not wanted:
        return ()
    return tuple(frozenset(group.strip() for group in alternative.split(",")) for alternative in wanted.split(";"))


def satisfies(groups: frozenset[str], alternatives: Iterable[frozenset[str]]) -> bool:
    """Whether a user with these groups has what a LogicalCluster requires."""
    return any(groups >= alternative for alternative in alternatives) or not groups.isdisjoint(_SATISFYING)
