"""What the audit log says about the logical cluster of a request (kcp)."""

from __future__ import annotations

from tenantry.placement.paths.directory import Directory
from tenantry.tenancy.well_known import PATH_ANNOTATION


def audit_annotations(directory: Directory, cluster: str) -> dict[str, str]:
    """The annotations for a cluster: its id under both of kcp's names, and its path where this process knows it. The path is not
    read from the LogicalCluster, which its administrators may change."""
    found = {"kcp.io/cluster": cluster, "tenancy.kcp.io/workspace": cluster}
    path = directory.path_of(cluster)
    if path is not None:
        found[PATH_ANNOTATION] = path
    return found
