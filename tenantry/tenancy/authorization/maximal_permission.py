"""What the provider of an API lets its consumers do at most: `spec.maximalPermissionPolicy.local` (kcp authorizer 04)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.apiserver.user import User
from tenantry.tenancy.exports.maximal_permission import maximal_permission

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host


class MaximalPermission:
    """A bound resource needs, in the export's cluster, RBAC for the caller with `apis.kcp.io:binding:` before its names."""

    def __init__(self, host: Host, allows_deep: Callable[[Attributes], bool]) -> None:
        self._host = host
        self._allows_deep = allows_deep

    def decide(self, attributes: Attributes, users: Sequence[User]) -> Decision | None:
        return maximal_permission(self._host, attributes, self._allows_deep)
