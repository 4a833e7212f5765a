"""Paths of logical clusters (`root:org:team`): their grammar, and the resources of the catalog that resolve them."""

from __future__ import annotations

import hashlib
import re

from tenantry.kube.objects import GroupResource
from tenantry.kube.status import StatusError, bad_request

ROOT = "root"
"""The id of the cluster at which paths begin."""
HOME_PREFIX = "user"
"""The first segment of the paths of home workspaces: `user:ada`."""
WORKSPACES = "tenancy.kcp.io/workspaces"
"""Resource of the catalog: (parent cluster, workspace name) → {cluster, phase, …}."""
WORKSPACE_RESOURCE = GroupResource("tenancy.kcp.io", "workspaces")
HOMES = "tenantry/homes"
"""Resource of the catalog: (`root`, the user's `home_key`) → {user, cluster}. Home workspaces have no Workspace object."""
DEPTH_MAX = 64
"""Maximum length of a path in segments. kcp has no limit; here it ends a loop in damaged data."""

SEGMENT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def home_key(user_name: str) -> str:
    """The key of a user's home in the catalog: a digest, because a user name may have any characters and any length."""
    return hashlib.sha224(user_name.encode()).hexdigest()


def invalid_path(path: str) -> StatusError:
    """400 for an invalid path, with the text of kcp's shard (kcp's front proxy answers 403)."""
    return bad_request(f"invalid cluster: {path!r} does not match the regex")
