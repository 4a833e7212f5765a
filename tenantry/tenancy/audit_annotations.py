"""What the audit log says about the logical cluster of a request (kcp)."""

from __future__ import annotations

import re

from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.tenancy.types.logical_cluster import NAME

_PATH = re.compile(rb'"kcp\.io/path":"([^"\\]*)"')


def audit_annotations(cell: Cell, cluster: str) -> dict[str, str]:
    """The annotations for a cluster: its id under both of kcp's names, and its path where this process knows it."""
    found = {"kcp.io/cluster": cluster, "tenancy.kcp.io/workspace": cluster}
    try:
        record = cell.range_of(cluster).get(Key(cluster, LOGICAL_CLUSTERS, "", NAME))
    except NotOwned:
        return found
    path = _PATH.search(record.value) if record is not None else None
    if path is not None:
        found["kcp.io/path"] = path[1].decode()
    return found
