"""A platform of 1,000,000 tenants in 1,000 ranges: cost and speed of the registry and of a gateway, compared with gateways of
smaller platforms.

Of a registry it measures the start, the memory, the takeover of the ranges of a dead shard, and the opening of a range. Of a
gateway it measures the start, the memory, and look-ups; these alternate between all gateways, so that they have the same
conditions.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Failed
from benchmarks.fleets import gateway
from benchmarks.lookups import client_credentials, resolve
from benchmarks.results import Figures, Results
from benchmarks.seed import Seeded, seed
from tenantry.apiserver.authentication import common_names
from tenantry.apiserver.authentication.shared_authority import shared_authority
from tenantry.client.registry import RegistryClient
from tenantry.storage.etcd import EtcdConfig, EtcdStore
from tests.support.etcd import EtcdServer
from tests.support.fleet import Process
from tools.child import memory_bytes
from tools.ports import free_port

TENANTS = 1_000_000
RANGES = 1_000
SMALLER = {"few_tenants": (10_000, 1_000), "few_ranges": (10_000, 10)}
"""Tenants and ranges of the smaller platforms. One has as many ranges as the big one, because a batch answer contains ranges."""
SHARDS = 4
OPENED = 20
TURNS = 3
START_SECONDS_MAX = 120.0
TAKE_OVER_SECONDS_MAX = 60.0


def measure(root: Path, results: Results) -> None:
    root.mkdir(parents=True, exist_ok=True)
    asyncio.run(_measure(root, results.figures))


async def _measure(root: Path, figures: Figures) -> None:
    async with AsyncExitStack() as stack:
        many = await stack.enter_async_context(_platform(TENANTS, RANGES))
        figures["seed_seconds"] = many.seconds
        await _registry(root, many, figures)
        smaller = {name: await stack.enter_async_context(_platform(*size)) for name, size in SMALLER.items()}
        await _gateways(root, many, smaller, figures)


@dataclass(frozen=True, slots=True)
class _Platform:
    """An etcd with the content of a platform, and the seconds that writing it took."""

    etcd: EtcdServer
    store: EtcdStore
    seeded: Seeded
    seconds: float


@asynccontextmanager
async def _platform(tenants: int, ranges: int) -> AsyncIterator[_Platform]:
    etcd = EtcdServer(extra=("--quota-backend-bytes=8589934592",))
    etcd.start()
    try:
        store = await EtcdStore.open(EtcdConfig((etcd.url,), deadline_seconds=60))
        try:
            began = time.perf_counter()
            urls = [f"https://shard-{number}.example:6443" for number in range(SHARDS)]
            seeded = await seed(store, tenants=tenants, ranges=ranges, urls=urls)
            yield _Platform(etcd, store, seeded, time.perf_counter() - began)
        finally:
            await store.close()
    finally:
        etcd.stop()


async def _registry(root: Path, platform: _Platform, figures: Figures) -> None:
    port = free_port()
    where = ("--bind-address", "127.0.0.1", "--registry-port", str(port), "--health-port=-1")
    process = Process("registry", root, platform.etcd.port, "registry", *where)
    began = time.perf_counter()
    process.start()
    try:
        await asyncio.to_thread(process.ready, START_SECONDS_MAX)
        who = client_credentials(await shared_authority(platform.store))
        async with RegistryClient(
            [f"127.0.0.1:{port}"], ca=who.ca, certificate=who.certificate, key=who.key, server_name=common_names.REGISTRY
        ) as client:
            found = await client.ranges()
            figures["registry_start"] = time.perf_counter() - began
            if len(found) != RANGES or sum(r.load.tenants for r in found) != TENANTS:
                raise Failed(f"the registry knows {len(found)} ranges with {sum(r.load.tenants for r in found)} tenants")
            await _open(client, figures)
            await _take_over(platform, client, figures)
        figures["registry_memory"] = memory_bytes(process.pid, "VmHWM") / 1e6
    finally:
        process.kill()


async def _open(client: RegistryClient, figures: Figures) -> None:
    """Opens ranges one after the other. Each call has the newest version of the map, so each opens a new range."""
    times = []
    version = (await client.open_range({"bench": "0"}, 0)).version
    for number in range(1, OPENED + 1):
        began = time.perf_counter()
        version = (await client.open_range({"bench": str(number)}, version)).version
        times.append(time.perf_counter() - began)
    figures["open_range"] = 1000 * statistics.median(times)


async def _take_over(platform: _Platform, client: RegistryClient, figures: Figures) -> None:
    """Measures from the end of a shard's lease until a watch shows a living owner for each of its ranges."""
    updates = client.watch_ranges()
    first = await anext(updates)
    waiting = {r.name for r in first.ranges if r.owner == "uid-0"}
    if len(waiting) < RANGES // SHARDS:
        raise Failed(f"the shard that is to go owns {len(waiting)} ranges")
    began = time.perf_counter()
    await platform.store.revoke_lease(platform.seeded.leases[0])
    async with asyncio.timeout(TAKE_OVER_SECONDS_MAX):
        async for update in updates:
            waiting -= {r.name for r in update.ranges if r.shard and r.owner != "uid-0"}
            if not waiting:
                break
    figures["registry_take_over"] = 1000 * (time.perf_counter() - began)


async def _gateways(root: Path, many: _Platform, smaller: Mapping[str, _Platform], figures: Figures) -> None:
    platforms = {"million": many, **smaller}
    taken: dict[str, list[Figures]] = {name: [] for name in platforms}
    with ExitStack() as stack:
        gateways = {name: stack.enter_context(gateway(root / name, at.etcd)) for name, at in platforms.items()}
        figures["gateway_start"] = gateways["million"].start_seconds
        figures["gateway_memory"] = gateways["million"].process.memory_bytes() / 1e6
        for _ in range(TURNS):
            for name, at in platforms.items():
                who = client_credentials(await shared_authority(at.store))
                taken[name].append(await resolve(gateways[name].address, who, at.seeded))
    for row in taken["million"][0]:
        median = {name: statistics.median(turn[row] for turn in turns) for name, turns in taken.items()}
        figures[f"million_{row}"] = median["million"]
        for name in smaller:
            figures[f"million_{row}_to_{name}"] = median["million"] / median[name]
