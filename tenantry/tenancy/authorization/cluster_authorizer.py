"""The authorizer of logical clusters, as tenancy uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.apiserver.user import User
from tenantry.kube.rbac.cover import Rule

MayAccess = Callable[[str, str], bool]
"""(cluster id, user name of the owner in its Workspace or empty) → whether a user may access the cluster, at the time of the
call."""


class ClusterAuthorizer(Authorizer, Protocol):
    """The authorizer of the logical clusters of this shard and of others."""

    def allows_deep(self, attributes: Attributes) -> bool:
        """Whether the RBAC of `attributes.cluster` alone allows it, without access to the workspace (kcp's deep
        SubjectAccessReview)."""
        ...

    def may_access(self, user: User, cluster: str, *, owner: str = "") -> bool:
        """Whether a user may access a logical cluster (id) of any shard. `owner`: the user name of the owner in its Workspace,
        if known."""
        ...

    def accessible(self, user: User) -> MayAccess:
        """As `may_access`, for the questions of one user about many clusters."""
        ...

    def accessible_at(self, user: User, parent: str, version: int) -> MayAccess | None:
        """As `accessible`, for the workspaces under a parent (id) of this shard, at a version of its range. None: nothing has
        changed since. Raises TooOld; so do the answers, where it is not known who had access."""
        ...

    def is_privileged(self, user: User) -> bool:
        """Whether a user may access all logical clusters, and so may know which exist."""
        ...

    def rules(self, user: User, cluster: str, namespace: str) -> Sequence[Rule]:
        """The rules of a user in a namespace, or in the whole cluster if `namespace` is empty."""
        ...

    def role_rules(self, cluster: str, namespace: str, name: str) -> Sequence[Rule] | None:
        """The rules of a Role or, if `namespace` is empty, of a ClusterRole; None if it does not exist."""
        ...
