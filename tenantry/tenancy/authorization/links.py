"""A link of the authorization chain: it refuses, or lets the next link decide (kcp's delegating authorizers)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.apiserver.user import User
from tenantry.tenancy.authorization.cluster_access import Access

NOT_PERMITTED = "workspace access not permitted"
"""All that is told to whoever may not enter: the same of a workspace that is closed, of one that is empty, and of none."""


class Link(Protocol):
    """`access` is what the caller holds in the cluster, as everybody that it counts as there; computed once for all links."""

    def decide(self, attributes: Attributes, access: Access) -> Decision | None:
        """A final decision, or None to go on with the next link."""
        ...


def groups_of(users: Sequence[User]) -> frozenset[str]:
    return frozenset(group for user in users for group in user.groups)
