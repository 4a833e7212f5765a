"""The link for `apibindings/status` and `apiexports/status`, which only the system may use (kcp)."""

from __future__ import annotations

from tenantry.apiserver.authorization import Attributes, Decision, Verdict
from tenantry.tenancy.authorization.cluster_access import Access

_CLOSED = frozenset({("apis.kcp.io", "apibindings", "status"), ("apis.kcp.io", "apiexports", "status")})


class SystemResources:
    def decide(self, attributes: Attributes, access: Access) -> Decision | None:
        if (attributes.group, attributes.resource, attributes.subresource) in _CLOSED:
            return Decision(Verdict.DENY, "status is written by the system only")
        return None
