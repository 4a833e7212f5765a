"""The living shards as the assigner sees them."""

from __future__ import annotations

from registry.assigner import ShardState
from tenantry.placement.range_map import RangeMap
from tenantry.placement.reach import Reach


def shard_states(range_map: RangeMap, reach: Reach | None) -> list[ShardState]:
    """One that gateways and peers do not reach is like one that drains: what it owns would be served to nobody."""
    return [
        ShardState(shard.uid, shard.draining or (reach is not None and bool(reach.why_not(shard.uid))), shard.name)
        for shard in range_map.shards()
    ]
