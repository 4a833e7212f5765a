"""The living shards as input of the assigner."""

from __future__ import annotations

from tenantry.placement.map import ShardInfo
from tenantry.placement.range_map import RangeMap
from tenantry.placement.reachability import Reach


def reachable_shards(range_map: RangeMap, reach: Reach | None) -> list[ShardInfo]:
    """The living shards. A shard that gateways and other shards cannot reach counts as draining: it cannot serve its ranges."""
    shards = range_map.shards()
    if reach is None:
        return list(shards)
    return [shard._replace(draining=shard.draining or bool(reach.why_not(shard.uid))) for shard in shards]
