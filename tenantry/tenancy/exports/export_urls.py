"""The URLs of the view of an APIExport, and of the views that are declared over one."""

from __future__ import annotations

from tenantry.placement.catalog import Catalog
from tenantry.placement.urls import Urls
from tenantry.tenancy.exports.consumers import ranges_with_consumers
from tenantry.tenancy.resources import API_EXPORTS


def export_url(urls: Urls, range_name: str, cluster: str, export: str) -> str:
    """The URL at which a provider reaches the consumers in a range, without a slash at the end and without `/clusters`."""
    return f"{urls.range(range_name)}/services/apiexport/{cluster}/{export}"


def published_urls(catalog: Catalog, urls: Urls, cluster: str, export: str) -> list[str] | None:
    """One URL for each range with a consumer, sorted by range name; None if the export does not exist. `cluster`: an id."""
    if catalog.get(API_EXPORTS, cluster, export) is None:
        return None
    names = sorted(ranges_with_consumers(catalog, cluster, export))
    return [export_url(urls, name, cluster, export) for name in names]


def declared_urls(catalog: Catalog, urls: Urls, cluster: str, name: str, export: str) -> list[str]:
    """One URL of the declared view `name` for each range with a consumer of its export, sorted by range name. `cluster`: the
    id of the cluster of both."""
    names = sorted(ranges_with_consumers(catalog, cluster, export))
    return [f"{urls.range(each)}/services/virtualworkspaces/{cluster}/{name}" for each in names]
