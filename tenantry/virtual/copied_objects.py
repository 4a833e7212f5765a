"""The copies that every shard has of objects of all ranges, for views."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tenantry.kube.objects import Object
from tenantry.placement.catalog import Catalog

CopyChanged = Callable[[str, str, Object | None], None]
"""Called with the cluster (id), the name and the present copy (None: there is none any more)."""


class CopiedObjects:
    """Reads the catalog. A resource is `<group|core>/<plural>`, as in keys of the store without identity. Objects are shared: do
    not change them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def get(self, resource: str, cluster: str, name: str) -> Object | None:
        """The copy of one object; None if there is none."""
        return self._catalog.get(resource, cluster, name)

    def each(self, resource: str, cluster: str | None = None) -> Iterator[tuple[str, str, Object]]:
        """(cluster, name, object) of every copy, or of those of one cluster, in any order. Do not await meanwhile."""
        if cluster is None:
            return self._catalog.each(resource)
        return iter(self._catalog.list(resource, cluster))

    def subscribe(self, resource: str, changed: CopyChanged) -> Callable[[], None]:
        """Calls `changed` after each later change of a copy. Returns a function that ends this."""

        def notify(_: str, cluster: str, name: str, obj: Object | None) -> None:
            changed(cluster, name, obj)

        return self._catalog.subscribe(resource, notify)
