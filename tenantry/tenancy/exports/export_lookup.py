"""Finds APIExports and APIResourceSchemas of all shards in the catalog."""

from __future__ import annotations

from typing import NamedTuple

from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog
from tenantry.placement.paths.directory import Directory
from tenantry.tenancy.exports.identity_index import IdentityIndex
from tenantry.tenancy.exports.read_bindings import reference_of
from tenantry.tenancy.resources import API_EXPORTS, API_RESOURCE_SCHEMAS


class Export(NamedTuple):
    """An APIExport with its cluster (id) and name."""

    cluster: str
    name: str
    object: Object


class ExportLookup:
    """Answers from memory. The returned objects are shared: never change them."""

    def __init__(self, catalog: Catalog, directory: Directory, identities: IdentityIndex) -> None:
        self._catalog = catalog
        self._directory = directory
        self._identities = identities

    def resolve_cluster(self, cluster: str, path: str) -> str | None:
        """The cluster id that a reference path (a path or an id, or empty) in `cluster` means; None if there is no such
        cluster."""
        if not path:
            return cluster
        try:
            return self._directory.cluster_of(path)
        except StatusError:
            return None

    def find(self, cluster: str, path: str, name: str) -> Export | None:
        """The export that the reference (path, name) in `cluster` means; None if it does not exist."""
        home = self.resolve_cluster(cluster, path)
        if home is None or not name:
            return None
        found = self.get(home, name)
        return Export(home, name, found) if found is not None else None

    def get(self, cluster: str, name: str) -> Object | None:
        """An APIExport by its cluster (id) and name.

        It is read from the catalog even if this shard owns its range: the catalog may show a commit before the range does, and a
        subscriber of the catalog must not see an older state.
        """
        return self._catalog.get(API_EXPORTS, cluster, name)

    def schema(self, cluster: str, name: str) -> Object | None:
        """An APIResourceSchema by the cluster (id) of its export, and its name."""
        return self._catalog.get(API_RESOURCE_SCHEMAS, cluster, name)

    def with_identity(self, identity: str) -> list[Export]:
        """All APIExports with this identity hash, sorted by cluster and name."""
        places = self._identities.exports(identity)
        return [Export(*place, found) for place in places if (found := self.get(*place)) is not None]

    def bound_by(self, cluster: str, binding: Object) -> Export | None:
        """The export to which a binding in `cluster` is bound or, before that, refers."""
        path, name = reference_of(binding)
        home = (binding.get("status") or {}).get("apiExportClusterName")
        if home:
            found = self.get(home, name)
            return Export(home, name, found) if found is not None else None
        return self.find(cluster, path, name)
