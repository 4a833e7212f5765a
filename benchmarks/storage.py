"""Measures the storage layer: `python -m benchmarks.storage`. It takes a few seconds and prints one value per line, or JSON with
`--json`.

Writes go through a Cell on SQLite with `synchronous=FULL`, so every commit waits for the disk. If an `etcd` is installed, the
same is measured on a single member, which writes to the same disk and shares the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path

from tenantry.storage.cell import Cell
from tenantry.storage.etcd import EtcdConfig, EtcdStore
from tenantry.storage.keys import Key
from tenantry.storage.memory import MemoryStore
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Head, Record
from tenantry.storage.sqlite import SqliteStore
from tenantry.storage.store import Put, Store
from tests.support.etcd import EtcdServer

RESOURCE = "core/configmaps"
VALUE = b'{"metadata":{' + b"v" * 486 + b"}"
SECONDS = 1.5


def parse_head(key: Key, value: bytes) -> Head:
    return Head(uid=key.name)


async def writers(cell: Cell, count: int, prefix: str, *, also: Callable[[], Awaitable[None]] | None = None) -> float:
    """Creates per second by `count` writers, each of which waits for its own write."""
    end = time.perf_counter() + SECONDS
    made = 0

    async def write(number: int) -> None:
        nonlocal made
        at = 0
        while time.perf_counter() < end:
            key = Key("root", RESOURCE, "default", f"{prefix}-{number}-{at}")
            await cell.writes_done([key])
            await cell.commit([Change(key, VALUE, Head(uid=key.name), None)])
            if also is not None:
                await also()
            made += 1
            at += 1

    begin = time.perf_counter()
    await asyncio.gather(*(write(number) for number in range(count)))
    return made / (time.perf_counter() - begin)


async def busy() -> None:
    """Uses about as much CPU time of the event loop as serving a write. The writer thread competes with it."""
    end = time.perf_counter() + 0.0003
    while time.perf_counter() < end:
        pass


async def engine_milliseconds(store: Store, puts: int) -> float:
    """The median duration of a commit of the store alone."""
    times = []
    for at in range(100):
        wanted = [Put(b"/bench/%d/%d/%d" % (puts, at, index), VALUE, index) for index in range(puts)]
        begin = time.perf_counter()
        await store.commit([], wanted, [])
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2] * 1000


def fsync_milliseconds(directory: Path) -> float:
    times = []
    with (directory / "probe").open("wb", buffering=0) as file:
        for _ in range(100):
            file.write(b"v" * 4096)
            begin = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2] * 1000


def record_bytes(count: int = 20_000) -> float:
    """Memory per object with a value of 500 bytes and a label, without the value."""
    gc.collect()
    tracemalloc.start()
    range_ = Range("root", "r", "t")
    before, _ = tracemalloc.get_traced_memory()
    for at in range(count):
        name = f"object-{at:08}"
        head = Head(uid=f"00000000-0000-0000-0000-{at:012}", labels={"app": "demo"})
        value = b"%d" % at + VALUE
        range_.load([Record(Key("root", RESOURCE, "default", name), value[: len(VALUE)], at << 7 | 1 << 55, head)])
    range_.list(RESOURCE)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / count - len(VALUE)


def workspace_bytes(count: int = 300, resources: int = 20) -> float:
    """Memory per cluster that has one object of each of `resources` resources, including values of 500 bytes."""
    gc.collect()
    tracemalloc.start()
    range_ = Range("one", "000", "001")
    before, _ = tracemalloc.get_traced_memory()
    for cluster in range(count):
        name = f"000{cluster:013}"
        range_.load(
            Record(
                Key(name, f"group/resource{at}", "", f"name-{cluster}"), b"%d" % at + VALUE, at << 7, Head(uid=f"{cluster}-{at}")
            )
            for at in range(resources)
        )
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / count


def reads_per_second() -> float:
    range_ = Range("root", "r", "t")
    keys = [Key("root", RESOURCE, "default", str(at)) for at in range(1000)]
    range_.load(Record(key, VALUE, 1, Head()) for key in keys)
    begin = time.perf_counter()
    for _ in range(100):
        for key in keys:
            range_.get(key)
    return 100 * len(keys) / (time.perf_counter() - begin)


async def load_seconds(store: Store) -> tuple[float, int]:
    begin = time.perf_counter()
    range_ = await Cell(store, "loader", parse_head).acquire("root", "r", "t")
    return time.perf_counter() - begin, range_.count(RESOURCE)


async def replay_events_per_second(store: Store, revisions: int = 1000) -> float:
    """Events per second of a watch with previous values that resumes `revisions` revisions back, until it reports that it caught
    up."""
    present = (await store.read(b"/none", b"/none")).revision
    begin = time.perf_counter()
    events = 0
    async with aclosing(store.watch(b"/", b"0", from_revision=max(1, present - revisions))) as watch:
        async for batch in watch:
            events += len(batch.events)
            if not batch.events:
                break
    return events / (time.perf_counter() - begin)


async def etcd(directory: Path, sqlite: Mapping[str, float]) -> dict[str, float]:
    """The rows of SQLite measured on etcd, and the ratio of each."""
    server = EtcdServer(directory=directory)
    server.start()
    rows: dict[str, float] = {}
    try:
        store = await EtcdStore.open(EtcdConfig((server.url,), deadline_seconds=30))
        rows["commit of 1 put, ms"] = await engine_milliseconds(store, 1)
        rows["commit of 100 puts, ms"] = await engine_milliseconds(store, 100)
        cell = Cell(store, "bench", parse_head)
        range_ = await cell.acquire("root", "r", "t")
        for count in (1, 32):
            rows[f"creates/s, {count} writers"] = await writers(cell, count, f"w{count}")
        await cell.close()
        objects = range_.count(RESOURCE)
        seconds, _ = await load_seconds(store)
        rows["load, objects/s"] = objects / seconds
        rows["replay, events/s"] = await replay_events_per_second(store)
        await store.close()
    finally:
        server.stop()
    figures = {f"etcd: {name}": value for name, value in rows.items()}
    return figures | {f"etcd to SQLite: {name}": value / sqlite[name] for name, value in rows.items()}


async def measure() -> dict[str, float]:
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        directory = Path(name)
        figures["fsync, ms"] = fsync_milliseconds(directory)
        store = await SqliteStore.open(directory / "store")
        figures["commit of 1 put, ms"] = await engine_milliseconds(store, 1)
        figures["commit of 100 puts, ms"] = await engine_milliseconds(store, 100)
        cell = Cell(store, "bench", parse_head)
        range_ = await cell.acquire("root", "r", "t")
        for count in (1, 32):
            before = (await store.read(b"/none", b"/none")).revision
            figures[f"creates/s, {count} writers"] = await writers(cell, count, f"w{count}")
            commits = (await store.read(b"/none", b"/none")).revision - before
            figures[f"commits/s, {count} writers"] = commits / SECONDS
        figures["creates/s, 32 writers, loop busy 0.3 ms for each"] = await writers(cell, 32, "busy", also=busy)
        figures["objects"] = range_.count(RESOURCE)
        await cell.close()
        figures["load of all objects, s"], count = await load_seconds(store)
        figures["load, objects/s"] = count / figures["load of all objects, s"]
        figures["replay, events/s"] = await replay_events_per_second(store)
        await store.close()
        begin = time.perf_counter()
        await (await SqliteStore.open(directory / "store")).close()
        figures["open and check, s"] = time.perf_counter() - begin
        if os.environ.get("ETCD") or shutil.which("etcd"):
            figures |= await etcd(directory, figures)
    memory = Cell(MemoryStore(), "bench", parse_head)
    await memory.acquire("root", "r", "t")
    figures["creates/s, 32 writers, no engine"] = await writers(memory, 32, "m")
    figures["gets/s"] = reads_per_second()
    figures["bytes for each object over its 500"] = record_bytes()
    figures["bytes for each cluster of 20 objects"] = workspace_bytes()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    figures = asyncio.run(measure())
    if arguments.json:
        json.dump(figures, sys.stdout)
        return
    for name, value in figures.items():
        print(f"{name:55} {value:12,.3f}")


if __name__ == "__main__":
    main()
