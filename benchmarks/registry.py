"""`python -m benchmarks.registry`: a registry process on an etcd that holds 1,000,000 tenants in 1,000 ranges.

Measures its start and memory, and how long it takes over the ranges of a shard that is gone, opens a range, and shows a change.
Needs etcd. The tenants are what a tenant is outside its own range: its entry of the path index in the catalog.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from benchmarks.__main__ import machine
from registry.intervals import ROOT_INTERVAL, prefixes
from tenantry.apiserver.edge import common_names
from tenantry.apiserver.edge.shared_authority import shared_authority
from tenantry.client.registry import RegistryClient
from tenantry.storage.etcd import EtcdSettings, EtcdStore
from tenantry.storage.fence import FenceValue, fence_key
from tenantry.storage.keys import RANGES_OPENED, catalog_key
from tenantry.storage.store import Put
from tenantry.tenancy.map_rows import (
    LoadRow,
    OpenedRow,
    RangeLoad,
    RangeRow,
    SessionRow,
    encode,
    load_key,
    range_key,
    session_key,
)
from tenantry.tenancy.resources import WORKSPACES
from tests.support.etcd import EtcdServer

SHARDS = 4
PUTS = 120
COMMITS_AT_ONCE = 16
SESSION_SECONDS = 3600.0
START_SECONDS_MAX = 120.0

Figures = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registry", description=__doc__)
    parser.add_argument("--tenants", type=int, default=1_000_000)
    parser.add_argument("--ranges", type=int, default=1_000)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    server = EtcdServer(extra=("--quota-backend-bytes=8589934592",))
    server.start()
    try:
        figures = asyncio.run(measure(server.url, options.tenants, options.ranges))
    finally:
        server.stop()
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=2) + "\n")
    return 0


def table(figures: Figures) -> str:
    lines = ["| what | here |", "| --- | --- |"]
    lines += [f"| {name.replace('_', ' ')} | {value:,.3f} |" for name, value in figures.items()]
    return "\n".join(lines)


async def measure(url: str, tenants: int, ranges: int) -> Figures:
    figures: Figures = {"tenants": tenants, "ranges": ranges, "shards": SHARDS}
    store = await EtcdStore.open(EtcdSettings((url,)))
    began = time.perf_counter()
    leases = await seed(store, tenants, ranges)
    figures["seed_seconds"] = time.perf_counter() - began
    command = [sys.executable, "-m", "tenantry.cli.main", "registry", "--etcd-servers", url, "--bind-address", "127.0.0.1"]
    command += ["--registry-port", "0", "--health-port=-1", "--log-level", "warning"]
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            line = (await process.stdout.readline()).decode()
        port = int(line.rsplit(" ", 1)[1])
        authority = await shared_authority(store)
        pair = authority.issue_client("tenantry-benchmark")
        async with RegistryClient(
            [f"127.0.0.1:{port}"],
            ca=authority.certificate,
            certificate=pair.certificate,
            key=pair.key,
            server_name=common_names.REGISTRY,
        ) as client:
            found = await client.ranges()
            figures["start_to_first_answer_seconds"] = time.perf_counter() - began
            assert len(found) == ranges, f"{len(found)} ranges instead of {ranges}"
            assert sum(r.load.tenants for r in found) == tenants
            figures["memory_after_start_mib"] = _memory(process.pid, "VmRSS")
            figures |= await _open(client, 20)
            figures |= await _take_over(store, client, leases[0])
        figures["memory_highest_mib"] = _memory(process.pid, "VmHWM")
        figures["cpu_seconds"] = _cpu(process.pid)
    finally:
        process.terminate()
        await process.wait()
        await store.close()
    return figures


async def seed(store: EtcdStore, tenants: int, ranges: int) -> list[int]:
    """Writes ranges, shards and tenants; the shards' leases."""
    intervals = [ROOT_INTERVAL, *islice(prefixes(), ranges - 1)]
    names = ["root", *(f"range-{number}" for number in range(2, ranges + 1))]
    share = [tenants // ranges + (at < tenants % ranges) for at in range(ranges)]
    leases = [await store.grant_lease(SESSION_SECONDS) for _ in range(SHARDS)]
    puts = [Put(RANGES_OPENED.encode(), encode(OpenedRow(ranges)))]
    for number, lease in enumerate(leases):
        row = SessionRow(f"shard-{number}", f"https://shard-{number}.example:6443", lease)
        loads = {name: RangeLoad(share[at], 20 * share[at]) for at, name in enumerate(names) if at % SHARDS == number}
        await store.commit([], [Put(session_key(f"uid-{number}"), encode(row), 0, lease)], [])
        await store.commit([], [Put(load_key(f"uid-{number}"), encode(LoadRow(loads)), 0, lease)], [])
    for at, (name, (start, end)) in enumerate(zip(names, intervals, strict=True)):
        owner = f"uid-{at % SHARDS}"
        puts.append(Put(range_key(name), encode(RangeRow(start, end, 1000, {}, owner, 1))))
        puts.append(Put(fence_key(name), FenceValue(owner, 1).encode()))
    # The first transactions alone: the registry must not see half of them as fences of nobody.
    await _write(store, puts)
    rows: list[Put] = []
    number = 0
    for at, (start, _) in enumerate(intervals):
        for place in range(share[at]):
            cluster = f"{start}{place:0{16 - len(start)}d}"
            value = json.dumps({"cluster": cluster, "uid": f"{number:032x}", "type": "root:universal"}).encode()
            rows.append(Put(catalog_key(WORKSPACES, "root", f"tenant-{number:07d}"), value))
            number += 1
            if len(rows) == PUTS * COMMITS_AT_ONCE * 8:
                await _write(store, rows)
                rows = []
    await _write(store, rows)
    return leases


async def _write(store: EtcdStore, puts: Sequence[Put]) -> None:
    batches = iter([puts[at : at + PUTS] for at in range(0, len(puts), PUTS)])

    async def worker() -> None:
        for batch in batches:
            await store.commit([], batch, [])

    await asyncio.gather(*(worker() for _ in range(COMMITS_AT_ONCE)))


async def _open(client: RegistryClient, count: int) -> Figures:
    """Opening ranges one after the other, each wished for by somebody who knows all that there are."""
    times, version = [], 0
    version = (await client.open_range({"bench": "0"}, 0)).version
    for number in range(1, count + 1):
        began = time.perf_counter()
        version = (await client.open_range({"bench": str(number)}, version)).version
        times.append(time.perf_counter() - began)
    return {"open_range_p50_ms": 1000 * sorted(times)[count // 2], "open_range_highest_ms": 1000 * max(times)}


async def _take_over(store: EtcdStore, client: RegistryClient, lease: int) -> Figures:
    """From the end of a shard's lease until a watch has shown a living owner for each of its ranges."""
    updates = client.watch_ranges()
    first = await anext(updates)
    waiting = {r.name for r in first.ranges if r.owner == "uid-0"}
    count = len(waiting)
    began = time.perf_counter()
    await store.revoke_lease(lease)
    async for update in updates:
        waiting -= {r.name for r in update.ranges if r.shard and r.owner != "uid-0"}
        if not waiting:
            break
    return {"ranges_taken_over": count, "take_over_seconds_after_the_lease": time.perf_counter() - began}


def _memory(pid: int, line: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(entry.split()[1]) for entry in text.splitlines() if entry.startswith(f"{line}:")) / 1024


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    sys.exit(main())
