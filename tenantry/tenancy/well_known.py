"""Names of kcp's API that several packages use: clusters, and keys of annotations and labels."""

from __future__ import annotations

from tenantry.placement.paths import cluster_paths

ROOT = cluster_paths.ROOT
"""The id of the root logical cluster, with which every path begins."""
SYSTEM_ADMIN = "system:admin"
"""The cluster whose RBAC applies in every cluster."""

PATH_ANNOTATION = "kcp.io/path"
"""On LogicalClusters, exports and types: the path of their workspace."""
OWNER_ANNOTATION = "experimental.tenancy.kcp.io/owner"
"""The owner of a workspace: `UserInfo` as JSON."""
REQUIRED_GROUPS_ANNOTATION = "authorization.kcp.io/required-groups"
"""The groups that access requires: `a,b;c` means (a and b) or c."""
SHARD_ANNOTATION = "core.kcp.io/shard"
INACTIVE_ANNOTATION = "core.kcp.io/inactive"
PHASE_LABEL = "tenancy.kcp.io/phase"
