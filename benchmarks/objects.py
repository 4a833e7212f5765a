"""Reads and writes ConfigMaps: the rows with which kube-apiserver and kcp were measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import orjson

from benchmarks import workspaces
from benchmarks.client import JSON, Client, Connection, Failed, must
from benchmarks.load import Result, closed_loop
from benchmarks.results import Figures

MERGE = "Content-Type: application/merge-patch+json\r\n"
GZIP = "Accept-Encoding: gzip\r\n"
VALUE = "x" * 512
NAMESPACE = "/clusters/root:bench/api/v1/namespaces/default/configmaps"
WRITTEN_BY_ONE = 1000
LISTED_OBJECTS = 7400
GETS = 20_000


def config_map(name: str) -> bytes:
    return orjson.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": VALUE}})


async def measure(client: Client, prefix: str, figures: Figures) -> None:
    """Measures all rows of ConfigMaps in a new workspace `bench`. `prefix`: of the rows' names."""
    await workspaces.create_all(client, ["bench"])
    warm = 200
    await create(client, NAMESPACE, "warm", 8, warm)
    figures[f"{prefix}create_1"] = (await create(client, NAMESPACE, "one", 1, WRITTEN_BY_ONE)).per_second
    many = LISTED_OBJECTS - WRITTEN_BY_ONE - warm
    figures[f"{prefix}create_32"] = (await create(client, NAMESPACE, "many", 32, many)).per_second
    figures[f"{prefix}get_32"] = (await get(client, NAMESPACE, "many", 6000, GETS)).per_second
    figures[f"{prefix}list_500"] = (await list_page(client, NAMESPACE, 2000)).per_second
    figures[f"{prefix}list_all"] = (await list_all(client, NAMESPACE, 200)).per_second
    figures[f"{prefix}patch_32"] = (await patch(client, NAMESPACE, "many", 8000)).per_second
    figures[f"{prefix}watch_100"] = (await fan_out(client, NAMESPACE, 100, 50)).per_second
    figures[f"{prefix}watch_1000"] = (await fan_out(client, NAMESPACE, 1000, 50)).per_second


async def create(client: Client, base: str, prefix: str, clients: int, requests: int) -> Result:
    async def step(connection: Connection, number: int) -> None:
        must(await connection.request("POST", base, config_map(f"{prefix}-{number}"), JSON), 201)

    return await closed_loop(client, clients, step, requests=requests)


async def get(client: Client, base: str, prefix: str, objects: int, requests: int) -> Result:
    async def step(connection: Connection, number: int) -> None:
        name = f"{prefix}-{number % objects}"
        answer = must(await connection.request("GET", f"{base}/{name}"), 200)
        if f'"name":"{name}"'.encode() not in answer.body or len(answer.body) < len(VALUE):
            raise Failed(f"asked for {name}, got {answer.body[:300]!r}")

    return await closed_loop(client, 32, step, requests=requests)


async def patch(client: Client, base: str, prefix: str, requests: int) -> Result:
    """Patches 200 objects in turn, as in the reference measurement."""

    async def step(connection: Connection, number: int) -> None:
        body = orjson.dumps({"data": {"changed": str(number)}})
        answer = must(await connection.request("PATCH", f"{base}/{prefix}-{number % 200}", body, MERGE), 200)
        if f'"changed":"{number}"'.encode() not in answer.body:
            raise Failed(f"the change {number} is not in its answer: {answer.body[:300]!r}")

    return await closed_loop(client, 32, step, requests=requests)


async def list_page(client: Client, base: str, requests: int) -> Result:
    async def step(connection: Connection, number: int) -> None:
        answer = must(await connection.request("GET", f"{base}?limit=500"), 200)
        if len(answer.body) < 500 * len(VALUE):
            raise Failed("a page of 500 is too short")

    return await closed_loop(client, 8, step, requests=requests)


async def list_all(client: Client, base: str, requests: int) -> Result:
    async def step(connection: Connection, number: int) -> None:
        answer = must(await connection.request("GET", base, headers=GZIP), 200)
        if answer.body[:2] != b"\x1f\x8b":
            raise Failed("the list is not compressed")

    return await closed_loop(client, 4, step, requests=requests)


async def fan_out(client: Client, base: str, watchers: int, changes: int) -> Result:
    """Delivered events per second, from the first sent change to the last event at the last watcher."""
    writer = await client.connect()
    must(await writer.request("POST", base, config_map("watched"), JSON), 201, 409)
    listed = orjson.loads(must(await writer.request("GET", f"{base}?limit=1"), 200).body)
    version = listed["metadata"]["resourceVersion"]
    done = asyncio.Event()
    seen = [0] * watchers
    unfinished = watchers
    latest = 0.0

    def counting(watcher: int) -> Callable[[int], None]:
        def on_event(count: int) -> None:
            nonlocal unfinished, latest
            seen[watcher] += count
            latest = time.perf_counter()
            if seen[watcher] == changes:
                unfinished -= 1
                if not unfinished:
                    done.set()

        return on_event

    connections: list[Connection] = []
    path = f"{base}?watch=1&resourceVersion={version}&fieldSelector=metadata.name%3Dwatched"
    for start in range(0, watchers, 50):
        batch = await asyncio.gather(*(client.connect() for _ in range(min(50, watchers - start))))
        connections += batch
        await asyncio.gather(*(c.watch(path, counting(start + i)) for i, c in enumerate(batch)))
    began = time.perf_counter()
    for number in range(changes):
        body = orjson.dumps({"data": {"changed": str(number)}})
        must(await writer.request("PATCH", f"{base}/watched", body, MERGE), 200)
    async with asyncio.timeout(60):
        await done.wait()
    seconds = latest - began
    if seen != [changes] * watchers:
        raise Failed("a watcher saw more events than there were changes")
    for connection in (*connections, writer):
        connection.close()
    return Result(watchers * changes / seconds, 0.0, 0.0, watchers * changes)
