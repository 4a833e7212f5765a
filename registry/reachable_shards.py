"""The living shards as the assigner is to see them."""

from __future__ import annotations

from tenantry.placement.map import ShardInfo
from tenantry.placement.range_map import RangeMap
from tenantry.placement.reach import Reach


def reachable_shards(range_map: RangeMap, reach: Reach | None) -> list[ShardInfo]:
    """One that gateways and peers do not reach is shown as draining: what it owns would be served to nobody."""
    shards = range_map.shards()
    if reach is None:
        return list(shards)
    return [shard._replace(draining=shard.draining or bool(reach.why_not(shard.uid))) for shard in shards]
