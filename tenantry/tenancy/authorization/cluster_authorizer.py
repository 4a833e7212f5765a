"""What tenancy asks its authorizer, beyond what the apiserver does."""

from __future__ import annotations

from typing import Protocol

from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.apiserver.user import User


class ClusterAuthorizer(Authorizer, Protocol):
    """The authorizer of logical clusters, of this shard and of others."""

    def allows_deep(self, attributes: Attributes) -> bool:
        """RBAC of `attributes.cluster` alone, with no look at workspace access (kcp's deep SubjectAccessReview)."""
        ...

    def may_access(self, user: User, cluster: str, *, owner: str = "") -> bool:
        """Whether a user may enter a logical cluster of any shard; `owner` is the user name in its Workspace."""
        ...

    def is_privileged(self, user: User) -> bool:
        """Whether a user may enter all logical clusters, and so may know which there are."""
        ...
