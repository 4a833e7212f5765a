"""The URLs of the view of an export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tenantry.placement.catalog import Catalog
from tenantry.tenancy.exports.consumers import ranges_with_consumers
from tenantry.tenancy.resources import API_EXPORTS

if TYPE_CHECKING:
    from tenantry.placement.urls import Urls


class Published(Protocol):
    """Who follows the catalog: a shard's host, a gateway."""

    @property
    def catalog(self) -> Catalog: ...

    @property
    def urls(self) -> Urls: ...


def export_url(published: Published, range_name: str, cluster: str, export: str) -> str:
    """Where a provider reaches the consumers of a range: no slash at the end, no `/clusters`."""
    return f"{published.urls.range(range_name)}/services/apiexport/{cluster}/{export}"


def published_urls(published: Published, cluster: str, export: str) -> list[str] | None:
    """One URL for each range that holds a consumer, in the order of range names. `cluster` is an id. None: no such export."""
    if published.catalog.get(API_EXPORTS, cluster, export) is None:
        return None
    names = sorted(ranges_with_consumers(published.catalog, cluster, export))
    return [export_url(published, name, cluster, export) for name in names]
