"""Calls between the shards of one process."""

from __future__ import annotations

from collections.abc import Callable

from shard.wiring import Shard
from tenantry.apiserver.request import Request
from tenantry.apiserver.storage_errors import not_owner
from tenantry.http.messages import Reply
from tenantry.kube.status import unavailable


class LocalPeers:
    """`Peers` in one process. `owner_of`: the shard that owns a range (its name) by the map, None if none does."""

    def __init__(self, owner_of: Callable[[str], Shard | None]) -> None:
        self._owner_of = owner_of

    async def call(self, range_name: str, request: Request) -> Reply:
        shard = self._owner_of(range_name)
        if shard is None:
            raise unavailable(f"range {range_name} has no owner at the moment")
        handler = shard.handler_of(range_name)
        if handler is None:
            # During a handover, its shard would call this again in an endless loop.
            raise not_owner(f"range {range_name} is not loaded yet")
        return await handler(request)
