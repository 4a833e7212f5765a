"""Paths of logical clusters (`root:org:team`): their grammar, and the copies in the catalog that say where a step leads."""

from __future__ import annotations

import hashlib
import re

from tenantry.kube.objects import GroupResource
from tenantry.kube.status import StatusError, bad_request

ROOT = "root"
"""The id of the cluster in which paths begin."""
HOME_PREFIX = "user"
"""The first segment of the paths of home workspaces: `user:ada`."""
WORKSPACES = "tenancy.kcp.io/workspaces"
"""In the catalog: the parent's cluster and the workspace's name → {cluster, phase, …}."""
WORKSPACE_RESOURCE = GroupResource("tenancy.kcp.io", "workspaces")
HOMES = "tenantry/homes"
"""In the catalog, as home workspaces have no Workspace object: `root` and the user's `home_key` → {user, cluster}."""
DEPTH_MAX = 64
"""The longest path, in segments. kcp has no such bound, but following a loop in damaged data must end."""

SEGMENT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def home_key(user_name: str) -> str:
    """The key of a user's home in the catalog: a digest, because user names are of any characters and length."""
    return hashlib.sha224(user_name.encode()).hexdigest()


def invalid_path(path: str) -> StatusError:
    """400 for what is no path, in the words of kcp's shard (its front-proxy answers 403)."""
    return bad_request(f"invalid cluster: {path!r} does not match the regex")
