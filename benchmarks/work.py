"""Measures scaling by the work per request: the cost of a request for etcd and each kind of process, by tenants and shards.

A machine with few cores cannot show that more shards serve more requests. But it can show that the cost of a request does not
depend on the size of the platform. The same requests go to all tenants in turn, on platforms with different numbers of shards and
tenants. Balancing is off, so that no range moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
import uvloop

from benchmarks.client import JSON, Connection, Failed, must
from benchmarks.fleets import client, fleet
from benchmarks.load import closed_loop
from benchmarks.meter import Meter
from benchmarks.objects import config_map
from benchmarks.results import IDLE, Results, Work
from benchmarks.workspaces import BASE, create_many
from tests.support.fleet import Fleet

SHARDS = (1, 2, 4)
TENANTS = (10, 100, 1000)
RANGE_CAPACITY = 5
"""Small, so that the smallest platform also has several ranges."""
CLIENTS = 32
CLIENTS_PER_SHARD = 16
CREATES_BY_ONE = 200
CREATES = 1500
GETS = 3000
IDLE_SECONDS = 4
SETTLE_SECONDS = 1.0


def measure(root: Path, results: Results) -> None:
    for shards in SHARDS:
        with fleet(root / f"{shards}-shards", shards=shards, range_capacity=RANGE_CAPACITY, balance=False) as platform:
            uvloop.run(_Measurement(platform, results).run())


class _Measurement:
    """The measurement of one platform with a growing number of tenants."""

    def __init__(self, platform: Fleet, results: Results) -> None:
        self._platform = platform
        self._results = results
        self._meter = Meter(platform)
        self._client = client(platform)
        self._tenants: list[str] = []

    async def run(self) -> None:
        per_shard = CLIENTS_PER_SHARD * len(self._platform.shards)
        for tenants in TENANTS:
            await self._grow(tenants)
            await self._warm()
            await self._metered(IDLE, IDLE_SECONDS, lambda: asyncio.sleep(IDLE_SECONDS))
            await self._metered("create, 1 client", CREATES_BY_ONE, lambda: self._create("one", 1, CREATES_BY_ONE))
            await self._metered("create, 32 clients", CREATES, lambda: self._create("many", CLIENTS, CREATES))
            await self._metered("create, 16 clients for each shard", CREATES, lambda: self._create("even", per_shard, CREATES))
            await self._metered("GET, 16 clients for each shard", GETS, lambda: self._get(per_shard, GETS))

    async def _grow(self, tenants: int) -> None:
        more = tenants - len(self._tenants)
        await self._metered("workspace", more, lambda: create_many(self._client, f"to-{tenants}", more, 8), size=tenants)
        connection = await self._client.connect()
        listed = orjson.loads(must(await connection.request("GET", BASE), 200).body)
        connection.close()
        self._tenants = sorted(item["spec"]["cluster"] for item in listed["items"])
        if len(self._tenants) != tenants:
            raise Failed(f"{len(self._tenants)} workspaces instead of {tenants}")
        await asyncio.to_thread(self._platform.placed)
        await asyncio.sleep(SETTLE_SECONDS)

    async def _warm(self) -> None:
        """Sends requests that are not measured, so that the work which is done once for each tenant does not count."""
        await self._get(CLIENTS, len(self._tenants))
        await self._create("warm", CLIENTS, len(self._tenants))

    async def _create(self, prefix: str, clients: int, requests: int) -> None:
        size = len(self._tenants)

        async def step(connection: Connection, number: int) -> None:
            path = f"/clusters/{self._tenants[number % size]}/api/v1/namespaces/default/configmaps"
            must(await connection.request("POST", path, config_map(f"{prefix}-{size}-{number}"), JSON), 201)

        await closed_loop(self._client, clients, step, requests=requests)

    async def _get(self, clients: int, requests: int) -> None:
        async def step(connection: Connection, number: int) -> None:
            tenant = self._tenants[number % len(self._tenants)]
            answer = must(await connection.request("GET", f"/clusters/{tenant}/api/v1/namespaces/default"), 200)
            if tenant.encode() not in answer.body:
                raise Failed(f"asked for {tenant}, got {answer.body[:300]!r}")

        await closed_loop(self._client, clients, step, requests=requests)

    async def _metered(
        self, what: str, count: int, act: Callable[[], Coroutine[Any, Any, object]], *, size: int | None = None
    ) -> None:
        await asyncio.to_thread(self._meter.begin)
        await act()
        used = await asyncio.to_thread(self._meter.end)
        self._results.work.append(
            Work(
                tenants=size or len(self._tenants),
                ranges=len(self._platform.ranges()),
                shards=len(self._platform.shards),
                what=what,
                requests=count,
                seconds=used.seconds,
                calls={method: calls / count for method, calls in used.calls.items()},
                cpu_microseconds={kind: seconds * 1e6 / count for kind, seconds in used.cpu_seconds.items()},
            )
        )
