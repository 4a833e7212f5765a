"""The links of the authorizer chain (kcp's delegating authorizers)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.apiserver.user import User
from tenantry.tenancy.authorization.cluster_access import Access


class ChainedAuthorizer(Protocol):
    """Decides, or lets the next link decide. `access`: the caller's access in the cluster, computed once for all links."""

    def decide(self, attributes: Attributes, access: Access) -> Decision | None:
        """A final decision, or None to go on with the next link."""
        ...


def groups_of(users: Sequence[User]) -> frozenset[str]:
    return frozenset(group for user in users for group in user.groups)
