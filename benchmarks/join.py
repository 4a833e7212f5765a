"""A shard joins a platform: the part of the load (the registry's weight) that moves, and how long it takes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.client import Failed
from benchmarks.fleets import fleet
from benchmarks.results import Results
from registry.loads import weight
from tenantry.apiserver.authentication import common_names
from tenantry.client.registry import RegistryClient
from tests.support.fleet import Fleet
from tests.support.waiting import wait_for

SHARDS = 4
TENANTS = 60
RANGE_CAPACITY = 2
QUIET_SECONDS = 11.0
"""After this time without a move, two rounds of balancing have found nothing to do."""
DEADLINE_SECONDS = 90.0


def measure(root: Path, results: Results) -> None:
    with fleet(root, shards=SHARDS, range_capacity=RANGE_CAPACITY) as platform:
        tenants = [platform.root.workspace(f"tenant-{number}").name for number in range(TENANTS)]
        _quiet(platform)
        before = {info.name: info for info in platform.ranges()}
        weights = asyncio.run(_weights(platform))
        joined = platform.add_shard(f"shard-{SHARDS + 1}")
        served = time.monotonic()
        last_move = _quiet(platform)
        after = {info.name: info for info in platform.ranges()}
        moved = {name for name, info in after.items() if info.generation != before[name].generation}
        if not moved or {after[name].shard for name in moved} != {joined.name}:
            raise Failed(f"not only to the shard that joined: {[after[name] for name in sorted(moved)]}")
        answers = {platform.api(tenant).status_of("GET", "/api/v1/namespaces/default") for tenant in tenants}
        if answers != {200}:
            raise Failed(f"after the move, tenants answer {answers}")
    figures = results.figures
    figures["join_ranges"] = len(before)
    figures["join_moves"] = sum(after[name].generation - before[name].generation for name in moved)
    figures["join_load"] = 100 * sum(weights[name] for name in moved) / sum(weights.values())
    figures["join_seconds"] = max(0.0, last_move - served)


def _quiet(platform: Fleet) -> float:
    """Waits until no range moves any more. Returns the time of the last move."""
    seen: object = None
    since = time.monotonic()

    def look() -> bool:
        nonlocal seen, since
        now = [(info.name, info.shard, info.generation, info.target) for info in platform.ranges()]
        if now != seen:
            seen, since = now, time.monotonic()
        return all(info.shard and not info.target for info in platform.ranges()) and time.monotonic() > since + QUIET_SECONDS

    wait_for(look, "nothing moves", DEADLINE_SECONDS)
    return since


async def _weights(platform: Fleet) -> dict[str, float]:
    """The registry's weight of each range."""
    pki = platform.access / "pki"
    async with RegistryClient(
        platform.registry_addresses,
        ca=platform.ca.read_bytes(),
        certificate=(pki / "lookup-client.crt").read_bytes(),
        key=(pki / "lookup-client.key").read_bytes(),
        server_name=common_names.REGISTRY,
    ) as client:
        return {
            found.name: weight(found.load.tenants, found.load.objects, found.load.requests_per_second)
            for found in await client.ranges()
        }
