"""Creates and deletes workspaces and observes them by a watch on their parent, as a controller does."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence

import orjson

from benchmarks.client import JSON, Client, Connection, must
from benchmarks.load import closed_loop
from benchmarks.results import Figures

BASE = "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces"
MORE = 2000


async def measure(client: Client, memory_bytes: Callable[[], int], figures: Figures) -> None:
    await create_many(client, "warm", 20, 4)
    figures["one_workspace"] = await create_one(client, "one", 20)
    figures["workspaces"] = await create_many(client, "many", 200, 16)
    figures["workspaces_gone"] = await delete_many(client, "many", 200, 16)
    before = memory_bytes()
    await create_many(client, "more", MORE, 16)
    figures["workspace_memory"] = (memory_bytes() - before) / MORE / 1024


def workspace(name: str) -> bytes:
    return orjson.dumps({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}, "spec": {}})


class Watched(Connection):
    """A watch that decodes its events: the phases of workspaces by name, and the deleted ones."""

    def __init__(self, host: str, token: str) -> None:
        super().__init__(host, token)
        self.on_phase: Callable[[str, str], None] = lambda name, phase: None
        self._text = bytearray()

    def _count(self, data: bytes) -> None:
        self._text += data
        while (end := self._text.find(b"}\n")) >= 0:
            start = self._text.find(b'{"type"')
            event = orjson.loads(bytes(self._text[start : end + 1]))
            del self._text[: end + 2]
            obj = event["object"]
            phase = "Gone" if event["type"] == "DELETED" else obj.get("status", {}).get("phase", "")
            self.on_phase(obj["metadata"]["name"], phase)


async def watch(client: Client, on_phase: Callable[[str, str], None]) -> Connection:
    connection = await client.connect(Watched)
    assert isinstance(connection, Watched)
    connection.on_phase = on_phase
    listed = orjson.loads(must(await connection.request("GET", f"{BASE}?limit=1"), 200).body)
    await connection.watch(f"{BASE}?watch=1&resourceVersion={listed['metadata']['resourceVersion']}", lambda _: None)
    return connection


async def until_all(client: Client, names: set[str], phase: str, act: Callable[[], asyncio.Future[object]]) -> float:
    """Seconds from the start of `act` until every workspace was seen in the phase."""
    left = set(names)
    done = asyncio.Event()

    def on_phase(name: str, seen: str) -> None:
        if seen == phase:
            left.discard(name)
            if not left:
                done.set()

    watching = await watch(client, on_phase)
    began = time.perf_counter()
    await act()
    async with asyncio.timeout(300):
        await done.wait()
    seconds = time.perf_counter() - began
    watching.close()
    return seconds


async def create_many(client: Client, prefix: str, count: int, clients: int) -> float:
    """Workspaces per second that become Ready."""
    return count / await create_all(client, [f"{prefix}-{number}" for number in range(count)], clients)


async def create_all(client: Client, names: Sequence[str], clients: int = 1) -> float:
    """Creates workspaces. Returns the seconds until all are Ready."""

    async def step(connection: Connection, number: int) -> None:
        must(await connection.request("POST", BASE, workspace(names[number]), JSON), 201)

    return await until_all(
        client, set(names), "Ready", lambda: asyncio.ensure_future(closed_loop(client, clients, step, requests=len(names)))
    )


async def delete_many(client: Client, prefix: str, count: int, clients: int) -> float:
    """Workspaces per second that are deleted."""

    async def step(connection: Connection, number: int) -> None:
        must(await connection.request("DELETE", f"{BASE}/{prefix}-{number}"), 200, 202)

    names = {f"{prefix}-{number}" for number in range(count)}
    seconds = await until_all(
        client, names, "Gone", lambda: asyncio.ensure_future(closed_loop(client, clients, step, requests=count))
    )
    return count / seconds


async def create_one(client: Client, prefix: str, times: int) -> float:
    """Median milliseconds from sending the POST to the event with phase Ready on a watch that is already open."""
    ready: dict[str, asyncio.Future[float]] = {}

    def on_phase(name: str, phase: str) -> None:
        future = ready.get(name)
        if phase == "Ready" and future is not None and not future.done():
            future.set_result(time.perf_counter())

    watching = await watch(client, on_phase)
    writer = await client.connect()
    taken = []
    for number in range(times):
        name = f"{prefix}-{number}"
        ready[name] = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        must(await writer.request("POST", BASE, workspace(name), JSON), 201)
        async with asyncio.timeout(30):
            taken.append(await ready[name] - began)
    watching.close()
    writer.close()
    return statistics.median(taken) * 1000
