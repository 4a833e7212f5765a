"""The URLs of the view of an export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenantry.tenancy.exports.bindings import get_export
from tenantry.tenancy.exports.consumers import ranges_with_consumers

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host


def export_url(host: Host, range_name: str, cluster: str, export: str) -> str:
    """Where a provider reaches the consumers of a range: no slash at the end, no `/clusters`."""
    return f"{host.urls.range(range_name)}/services/apiexport/{cluster}/{export}"


def published_urls(host: Host, cluster: str, export: str) -> list[str] | None:
    """One URL for each range that holds a consumer, in the order of range names. `cluster` is an id. None: no such export."""
    if get_export(host, cluster, export) is None:
        return None
    return [export_url(host, name, cluster, export) for name in sorted(ranges_with_consumers(host, cluster, export))]
