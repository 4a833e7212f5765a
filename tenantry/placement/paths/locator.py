"""Finds out whether this shard or another one owns the range of a logical cluster."""

from __future__ import annotations

from typing import NamedTuple

from tenantry.kube.status import not_found
from tenantry.placement.paths.cluster_paths import WORKSPACE_RESOURCE
from tenantry.placement.paths.directory import Directory
from tenantry.storage.cell import Cell
from tenantry.storage.range import Range


class LocatedCluster(NamedTuple):
    """A cluster id and the range that it is in. Whether the cluster exists is not checked.

    `range`: the range in memory if this shard owns it, else None.
    """

    cluster: str
    range_name: str
    range: Range | None


class Locator:
    """Looks clusters up in memory: in the directory and in the ranges that this shard owns."""

    def __init__(self, cell: Cell, directory: Directory) -> None:
        self._cell = cell
        self._directory = directory

    def locate(self, path_or_id: str, *, range_name: str | None = None) -> LocatedCluster:
        """Locates a path (`root:org:team`) or an id. `range_name`: only look in this range.

        Raises StatusError: 400 if the text is not a path, 404 if it is not known, 503 if a workspace in the path is Unavailable.
        """
        cluster = self._directory.cluster_of(path_or_id)
        # Owned ranges first: ownership is decided by the fence, and the map may be behind it.
        range_ = self._cell.owned(cluster) if cluster is not None else None
        if cluster is not None and range_ is not None and range_name in (None, range_.name):
            return LocatedCluster(cluster, range_.name, range_)
        known = self._directory.range_of(cluster) if cluster is not None else None
        if cluster is None or known is None or range_name not in (None, known.name):
            raise not_found(WORKSPACE_RESOURCE, path_or_id)
        return LocatedCluster(cluster, known.name, range_)
