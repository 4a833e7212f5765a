"""Where a logical cluster is: in a range of this shard, or in one that another shard owns."""

from __future__ import annotations

from typing import NamedTuple

from tenantry.kube.status import not_found
from tenantry.placement.paths.cluster_paths import WORKSPACE_RESOURCE
from tenantry.placement.paths.directory import Directory
from tenantry.storage.cell import Cell
from tenantry.storage.range import Range


class LocatedCluster(NamedTuple):
    """A logical cluster id, and the range that it is in. Whether such a cluster exists is not looked up.

    `range`: the range in memory if this shard owns it, else None.
    """

    cluster: str
    range_name: str
    range: Range | None


class Locator:
    """Answers from memory: the directory, and the ranges that this shard owns."""

    def __init__(self, cell: Cell, directory: Directory) -> None:
        self._cell = cell
        self._directory = directory

    def locate(self, path_or_id: str, *, range_name: str | None = None) -> LocatedCluster:
        """Where a path (`root:org:team`) or an id leads; with `range_name` only within that range.

        Raises StatusError: 400 where the text is no path, 404 where nothing of that name is known, 503 where a workspace on the
        way is Unavailable.
        """
        cluster = self._directory.cluster_of(path_or_id)
        # The fence decides, of which the map may be behind.
        range_ = self._cell.owned(cluster) if cluster is not None else None
        if cluster is not None and range_ is not None and range_name in (None, range_.name):
            return LocatedCluster(cluster, range_.name, range_)
        known = self._directory.range_of(cluster) if cluster is not None else None
        if cluster is None or known is None or range_name not in (None, known.name):
            raise not_found(WORKSPACE_RESOURCE, path_or_id)
        return LocatedCluster(cluster, known.name, range_)
