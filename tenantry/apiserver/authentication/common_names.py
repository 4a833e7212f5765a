"""Common names of the certificates with which the processes of a platform identify each other."""

from __future__ import annotations

REGISTRY = "tenantry-registry"
"""The name of every registry. Clients verify this name, so that they need not know the host name."""
SHARD = "tenantry-shard"
GATEWAY = "tenantry-gateway"
VIEWS = "tenantry-views"
"""The name of every process of views."""
LOOKUP = "tenantry-lookup"
"""The name of administrative commands such as `tenantry ranges`."""
FRONT_PROXIES = (SHARD, GATEWAY, VIEWS)
"""Shards and processes of views trust the user headers of requests from these."""
_OURS = "tenantry-"


def may_change_the_map(common_name: str) -> bool:
    """Only the platform's own processes and commands may change the map of ranges."""
    return common_name.startswith(_OURS)
