"""Finding APIExports and their schemas, of every shard, in the catalog."""

from __future__ import annotations

from typing import NamedTuple

from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog
from tenantry.placement.directory import Directory
from tenantry.tenancy.exports.identity_index import IdentityIndex
from tenantry.tenancy.exports.read_bindings import reference_of
from tenantry.tenancy.resources import API_EXPORTS, API_RESOURCE_SCHEMAS


class Export(NamedTuple):
    """An APIExport and where it lives (an id)."""

    cluster: str
    name: str
    object: Object


class ExportLookup:
    """Answers from memory. The objects are shared: never change them."""

    def __init__(self, catalog: Catalog, directory: Directory, identities: IdentityIndex) -> None:
        self._catalog = catalog
        self._directory = directory
        self._identities = identities

    def resolve_cluster(self, cluster: str, path: str) -> str | None:
        """The cluster id behind a reference path (a path or an id) as seen from `cluster`; None where there is none."""
        if not path:
            return cluster
        try:
            return self._directory.cluster_of(path)
        except StatusError:
            return None

    def find(self, cluster: str, path: str, name: str) -> Export | None:
        """The export that (path, name) in `cluster` means, wherever it lives."""
        home = self.resolve_cluster(cluster, path)
        if home is None or not name:
            return None
        found = self.get(home, name)
        return Export(home, name, found) if found is not None else None

    def get(self, cluster: str, name: str) -> Object | None:
        """An APIExport by its cluster id.

        From the catalog also where the original is held here: news of a commit may come by the catalog before memory shows it,
        and who follows the catalog must not look at what was before.
        """
        return self._catalog.get(API_EXPORTS, cluster, name)

    def schema(self, cluster: str, name: str) -> Object | None:
        """An APIResourceSchema by the cluster id of its export."""
        return self._catalog.get(API_RESOURCE_SCHEMAS, cluster, name)

    def with_identity(self, identity: str) -> list[Export]:
        """Every APIExport whose status has this identity hash, in the order of cluster and name."""
        places = self._identities.exports(identity)
        return [Export(*place, found) for place in places if (found := self.get(*place)) is not None]

    def bound_by(self, cluster: str, binding: Object) -> Export | None:
        """The export that a binding in `cluster` is bound to, or refers to while it is not bound yet."""
        path, name = reference_of(binding)
        home = (binding.get("status") or {}).get("apiExportClusterName")
        if home:
            found = self.get(home, name)
            return Export(home, name, found) if found is not None else None
        return self.find(cluster, path, name)
