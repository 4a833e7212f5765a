"""Which range a request is about, by its path alone."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apiserver.request import Request
from tenantry.kube.status import StatusError
from tenantry.placement.map import RangeInfo
from tenantry.placement.paths.cluster_paths import ROOT
from tenantry.placement.paths.directory import Directory

_CLUSTERS = "/clusters/"
_RANGES = "/ranges/"


class Router:
    """`token_cluster` returns the cluster that a bearer token is of.

    Requests about what does not exist go to root's range, whose shard answers them as kcp does.
    """

    def __init__(self, directory: Directory, *, token_cluster: Callable[[Request], str | None]) -> None:
        self._directory = directory
        self._token_cluster = token_cluster

    def range_of(self, request: Request) -> RangeInfo | None:
        """None while there is not even root's."""
        path = request.path
        if path.startswith(_CLUSTERS):
            return self._holding(path[len(_CLUSTERS) :].partition("/")[0])
        if path.startswith(_RANGES):
            name = path[len(_RANGES) :].partition("/")[0]
            found = self._directory.range_map.named(name)
            return found or self._directory.range_of(ROOT)
        return self._holding(self._token_cluster(request) or ROOT)

    def _holding(self, tenant: str) -> RangeInfo | None:
        """The range of a path or id; of a path that is not known, its nearest known ancestor's, whose owner is the first to know
        of new workspaces in it."""
        directory = self._directory
        try:
            while tenant:
                cluster = directory.cluster_of(tenant)
                if cluster is not None:
                    return directory.range_of(cluster) or directory.range_of(ROOT)
                tenant = tenant.rpartition(":")[0]
        except StatusError:
            # No path at all, or one through an unavailable workspace.
            pass
        return directory.range_of(ROOT)
