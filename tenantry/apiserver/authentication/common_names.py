"""Common names of the certificates by which the processes of a platform know each other."""

from __future__ import annotations

REGISTRY = "tenantry-registry"
"""Of every registry. Its certificate is for this name, so that clients need not know the host that they reached."""
SHARD = "tenantry-shard"
GATEWAY = "tenantry-gateway"
LOOKUP = "tenantry-lookup"
"""Of commands such as `tenantry ranges`."""
FRONT_PROXIES = (SHARD, GATEWAY)
"""Shards trust what these say of who the caller is."""
_OURS = "tenantry-"


def may_change_the_map(common_name: str) -> bool:
    """Only the platform's own processes and commands may change the map of ranges."""
    return common_name.startswith(_OURS)
