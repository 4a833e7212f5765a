"""Calls between the shards of one process."""

from __future__ import annotations

from collections.abc import Mapping

from shard.wiring import Shard
from tenantry.apiserver.request import Request
from tenantry.apiserver.storage_errors import not_owner
from tenantry.http.messages import Reply
from tenantry.kube.status import unavailable
from tenantry.placement.map import Map


class LocalPeers:
    """`Peers` in one process. `shards`: name → shard; the caller adds them when all are made."""

    def __init__(self, map_: Map, shards: Mapping[str, Shard]) -> None:
        self._map = map_
        self._shards = shards

    async def call(self, range_name: str, request: Request) -> Reply:
        info = self._map.named(range_name)
        shard = self._shards.get(info.shard) if info is not None else None
        if shard is None:
            raise unavailable(f"range {range_name} has no owner at the moment")
        range_ = shard.cell.ranges.get(range_name)
        if range_ is None or not range_.owned:
            # During a handover, its shard would call this again in an endless loop.
            raise not_owner(f"range {range_name} is not loaded yet")
        return await shard.handle(request)
