"""Names of kcp's wire format that more than one package needs: clusters, and keys of annotations and labels."""

from __future__ import annotations

from tenantry.placement import paths

ROOT = paths.ROOT
"""The id of the cluster in which every path begins."""
SYSTEM_ADMIN = "system:admin"
"""The cluster whose RBAC holds in every cluster."""

PATH_ANNOTATION = "kcp.io/path"
"""On LogicalClusters, exports and types: the path of their workspace."""
OWNER_ANNOTATION = "experimental.tenancy.kcp.io/owner"
"""The user for whom a workspace was made: `UserInfo` as JSON."""
REQUIRED_GROUPS_ANNOTATION = "authorization.kcp.io/required-groups"
"""Who may enter at all: alternatives between `;`, groups that must come together between `,`."""
SHARD_ANNOTATION = "core.kcp.io/shard"
INACTIVE_ANNOTATION = "core.kcp.io/inactive"
PHASE_LABEL = "tenancy.kcp.io/phase"
