"""The authorizer of logical clusters, as tenancy uses it."""

from __future__ import annotations

from typing import Protocol

from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.apiserver.user import User


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

    def is_privileged(self, user: User) -> bool:
        """Whether a user may access all logical clusters, and so may know which exist."""
        ...
