"""A link of the authorization chain: it refuses, or lets the next link decide (kcp's delegating authorizers)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.apiserver.user import User


class Link(Protocol):
    """`users` is everybody that the caller counts as in the cluster, computed once for the whole chain."""

    def decide(self, attributes: Attributes, users: Sequence[User]) -> Decision | None:
        """A final decision, or None to go on with the next link."""
        ...


def groups_of(users: Sequence[User]) -> frozenset[str]:
    return frozenset(group for user in users for group in user.groups)
