"""Kills an owner and measures the time until its tenants are served again, as clients of the gateway see it.

Every tenant of the killed shard is one sample. A client of each repeats a write until it is acknowledged, and then checks that
the earlier writes are there.
"""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import orjson
import uvloop

from benchmarks.client import JSON, Connection, Failed, must
from benchmarks.fleets import client, fleet
from benchmarks.objects import config_map
from benchmarks.results import Results
from tests.support.fleet import Fleet, Shard

SHARDS = 3
TENANTS = 9
RANGE_CAPACITY = 1
KILLS = 20
DEADLINE_SECONDS = 30.0


def measure(root: Path, results: Results) -> None:
    with fleet(root, shards=SHARDS, range_capacity=RANGE_CAPACITY) as platform:
        tenants = [platform.root.workspace(f"tenant-{number}").name for number in range(TENANTS)]
        platform.placed()
        times = uvloop.run(_kill(platform, tenants))
    times.sort()
    figures = results.figures
    figures["take_over_samples"] = len(times)
    figures["take_over_p50"] = times[len(times) // 2]
    figures["take_over_p99"] = times[min(len(times) - 1, int(0.99 * len(times)))]
    figures["take_over_longest"] = times[-1]


async def _kill(platform: Fleet, tenants: list[str]) -> list[float]:
    times: list[float] = []
    through = client(platform)
    for number in range(KILLS):
        victim = list(platform.shards.values())[number % SHARDS]
        lost = [tenant for tenant in tenants if platform.owner(tenant) is victim]
        if not lost:
            raise Failed(f"{victim.name} owns no tenant to measure with")
        writers = [await through.connect() for _ in lost]
        for tenant, writer in zip(lost, writers, strict=True):
            must(await writer.request("POST", _base(tenant), config_map(f"before-{number}"), JSON), 201)
        began = time.perf_counter()
        victim.signal(signal.SIGKILL)
        times += await asyncio.gather(
            *(_served_again(writer, tenant, number, began) for tenant, writer in zip(lost, writers, strict=True))
        )
        for writer in writers:
            writer.close()
        await asyncio.to_thread(_replace, platform, victim)
    return times


async def _served_again(writer: Connection, tenant: str, number: int, began: float) -> float:
    """Seconds from the kill to the first acknowledged write."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        attempt = 0
        while True:
            attempt += 1
            answer = await writer.request("POST", _base(tenant), config_map(f"after-{number}-{attempt}"), JSON)
            if answer.status == 201:
                break
            # 502: the write was sent and its outcome is unknown. 503: no shard served in time.
            must(answer, 502, 503)
    seconds = time.perf_counter() - began
    for name in (f"before-{number}", f"after-{number}-{attempt}"):
        found = orjson.loads(must(await writer.request("GET", f"{_base(tenant)}/{name}"), 200).body)
        if found["data"] != orjson.loads(config_map(name))["data"]:
            raise Failed(f"{name} of {tenant} is not what was written")
    return seconds


def _replace(platform: Fleet, victim: Shard) -> None:
    victim.kill()
    platform.restart(victim)
    platform.placed()


def _base(tenant: str) -> str:
    return f"/clusters/{tenant}/api/v1/namespaces/default/configmaps"
