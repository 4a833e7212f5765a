"""Finds the range of a request from its path."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apiserver.request import Request
from tenantry.kube.status import StatusError
from tenantry.placement.map import RangeInfo
from tenantry.placement.paths.cluster_paths import ROOT
from tenantry.placement.paths.directory import Directory

_CLUSTERS = "/clusters/"
_RANGES = "/ranges/"
_SERVICES = "/services/"


class Router:
    """Finds ranges. `token_cluster`: returns the cluster id in a bearer token.

    Requests for tenants that do not exist go to the range of `root`, whose shard answers them as kcp does.
    """

    def __init__(self, directory: Directory, *, token_cluster: Callable[[Request], str | None]) -> None:
        self._directory = directory
        self._token_cluster = token_cluster

    def range_of(self, request: Request) -> RangeInfo | None:
        """The range of a request; None if there is no range of `root` either."""
        path = request.path
        if path.startswith(_CLUSTERS):
            return self._holding(path[len(_CLUSTERS) :].partition("/")[0])
        if path.startswith(_RANGES):
            name = path[len(_RANGES) :].partition("/")[0]
            found = self._directory.range_map.named(name)
            return found or self._directory.range_of(ROOT)
        return self._holding(self._token_cluster(request) or ROOT)

    def view_of(self, path: str) -> str:
        """The name of the view that a path is in, empty where it is in none."""
        if path.startswith(_RANGES):
            path = path[len(_RANGES) :]
            path = path[path.find("/") :] if "/" in path else ""
        return path[len(_SERVICES) :].partition("/")[0] if path.startswith(_SERVICES) else ""

    def place_of(self, path: str) -> str:
        """A text that is the same for paths in a view that need the same range: its name, as far as the path tells it. What a
        path means only the view knows, so this looks for a logical cluster in it."""
        if path.startswith(_RANGES):
            return path[len(_RANGES) :].partition("/")[0]
        parts = path.split("/", 8)[3:8]
        at = parts.index("clusters") + 1 if "clusters" in parts else 0
        tenant = parts[at] if at < len(parts) else ""
        try:
            cluster = self._directory.cluster_of(tenant) if tenant else None
        except StatusError:
            cluster = None
        found = self._directory.range_of(cluster or ROOT)
        return found.name if found is not None else ROOT

    def _holding(self, tenant: str) -> RangeInfo | None:
        """The range of a cluster by path or id. For an unknown path, the range of its nearest known ancestor: its owner learns
        of new children first."""
        directory = self._directory
        try:
            while tenant:
                cluster = directory.cluster_of(tenant)
                if cluster is not None:
                    return directory.range_of(cluster) or directory.range_of(ROOT)
                tenant = tenant.rpartition(":")[0]
        except StatusError:
            # The text is not a path, or a workspace in the path is unavailable.
            pass
        return directory.range_of(ROOT)
