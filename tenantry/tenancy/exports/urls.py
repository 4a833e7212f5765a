"""The URLs of an export, for who asks by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenantry.tenancy.exports.bindings import get_export
from tenantry.tenancy.exports.consumers import ranges_with_consumers
from tenantry.tenancy.exports.endpoints import export_url

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host


def published_urls(host: Host, cluster: str, export: str) -> list[str] | None:
    """One URL for each range that holds a consumer, in the order of range names; None where there is no such export."""
    if get_export(host, cluster, export) is None:
        return None
    return [export_url(host, name, cluster, export) for name in sorted(ranges_with_consumers(host, cluster, export))]
