"""What the provider of an API lets its consumers do at most: `spec.maximalPermissionPolicy.local` (kcp authorizer 04)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.tenancy.authorization.access import Access
from tenantry.tenancy.exports.maximal_permission import maximal_permission

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

PolicyCheck = Callable[[str, Attributes], bool]
"""(cluster that asks, question in the export's cluster) → whether RBAC there allows it."""


class MaximalPermission:
    """A bound resource needs, in the export's cluster, RBAC for the caller with `apis.kcp.io:binding:` before its names."""

    def __init__(self, host: Host, policy_allows: PolicyCheck) -> None:
        self._host = host
        self._policy_allows = policy_allows

    def decide(self, attributes: Attributes, access: Access) -> Decision | None:
        return maximal_permission(self._host, attributes, partial(self._policy_allows, attributes.cluster))
