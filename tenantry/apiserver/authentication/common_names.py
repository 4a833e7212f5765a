"""Common names of the certificates by which the processes of a platform know each other."""

from __future__ import annotations

REGISTRY = "tenantry-registry"
"""In the certificate of every registry: clients need not know by which host name they reached one."""
SHARD = "tenantry-shard"
GATEWAY = "tenantry-gateway"
LOOKUP = "tenantry-lookup"
"""Of commands such as `tenantry ranges`."""
FRONT_PROXIES = (SHARD, GATEWAY)
"""Whose holders shards believe who the caller is."""
_OURS = "tenantry-"


def may_change_the_map(common_name: str) -> bool:
    """The platform's own processes and commands alone may."""
    return common_name.startswith(_OURS)
