"""The client without an event loop of its caller's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tenantry.client import NotFound, SyncClient
from tests.support.lookups import TEAM, URL, GatewayLookups


async def test_the_synchronous_client_does_the_same(gateway: GatewayLookups) -> None:
    def use() -> Sequence[object]:
        with SyncClient([gateway.address], gateway.credentials) as client:
            known = client.ready()
            assert next(client.maps()).version >= known.version
            with pytest.raises(NotFound):
                client.resolve("root:nobody")
            return (
                client.locate(TEAM) == client.ask(TEAM)._replace(path="") == client.resolve_many([TEAM])[0],
                [(r.name, r.tenants) for r in client.ranges()],
                [(s.name, s.ranges, s.tenants) for s in client.shards()],
                client.urls("root:org", "cowboys"),
            )

    same_place, ranges, shards, urls = await asyncio.to_thread(use)
    assert same_place
    assert ranges == [("range-2", 1), ("range-3", 1), ("range-4", 1), ("root", 0)]
    assert shards == [("shard-1", ("range-2", "root"), 1), ("shard-2", ("range-3",), 1)]
    assert urls == [f"{URL}/x"]
