"""The link for maximal permission policies of exports: `spec.maximalPermissionPolicy.local` (kcp)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.storage.cell import Cell
from tenantry.tenancy.authorization.cluster_access import Access
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.maximal_permission_policy import maximal_permission

PolicyCheck = Callable[[str, Attributes], bool]
"""(cluster that asks, question in the export's cluster) → whether RBAC there allows it."""


class MaximalPermission:
    """For a bound resource, RBAC of the export's cluster must allow the request to the caller's names with the prefix
    `apis.kcp.io:binding:`."""

    def __init__(self, cell: Cell, exports: ExportLookup, policy_allows: PolicyCheck) -> None:
        self._cell = cell
        self._exports = exports
        self._policy_allows = policy_allows

    def decide(self, attributes: Attributes, access: Access) -> Decision | None:
        return maximal_permission(self._cell, self._exports, attributes, partial(self._policy_allows, attributes.cluster))
