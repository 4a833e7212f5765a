"""What an event of a view's watch costs where the view is in its shard, and in a process of its own: CPU time of all processes of
the platform, and time from the write to the watcher. `python -m benchmarks.view_processes`."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from benchmarks import fleets
from benchmarks.client import Client, Connection, must
from tests.e2e.provider import COWBOYS, Provider, cowboy, schema
from tests.support.fleet import Fleet
from tools.child import cpu_seconds
from tools.spawning import executed

WATCHERS = (1, 20)
WRITES = 1500
PER_SECOND = 150
ROUNDS = 4
LIST = "/apis/example.com/v1/cowboys"


@dataclass(frozen=True, slots=True)
class Round:
    """`cpu_seconds`: of gateway, shard and process of views. `latencies`: seconds from the begin of each write to each
    watcher."""

    cpu_seconds: float
    latencies: Sequence[float]


class Figures:
    """The figures of one place of the view, a list for each of WATCHERS."""

    def __init__(self) -> None:
        self.cpu: dict[int, list[float]] = {watchers: [] for watchers in WATCHERS}
        self.p50: dict[int, list[float]] = {watchers: [] for watchers in WATCHERS}
        self.reads: list[float] = []

    async def measure(self, fleet: Fleet, paths: tuple[str, str]) -> None:
        client = fleets.client(fleet)
        without = await _round(fleet, client, paths, 0)
        for watchers in WATCHERS:
            found = await _round(fleet, client, paths, watchers)
            self.cpu[watchers].append((found.cpu_seconds - without.cpu_seconds) / (watchers * WRITES))
            self.p50[watchers].append(statistics.median(found.latencies))
        self.reads.append(await _reads(client, paths[1]))

    def text(self) -> str:
        parts = [
            f"{watchers} watchers: {1e6 * statistics.median(self.cpu[watchers]):.0f} µs of CPU an event, "
            f"p50 {1000 * statistics.median(self.p50[watchers]):.2f} ms"
            for watchers in WATCHERS
        ]
        return "; ".join([*parts, f"list p50 {1000 * statistics.median(self.reads):.2f} ms"])


def main() -> None:
    inside, outside = Figures(), Figures()
    with Fleet(gateways=1, shards=1, links=False, spawn=executed) as fleet:
        provider = Provider.install(fleet.root.workspace("provider"), schema())
        consumer = provider.bind(fleet.root.workspace("consumer"))
        consumer.create(COWBOYS, cowboy("one"))
        view = provider.url().removeprefix(fleet.url)
        paths = (f"/clusters/{consumer.name}{COWBOYS}/one", f"{view}/clusters/*{LIST}")
        asyncio.run(_round(fleet, fleets.client(fleet), paths, 1))
        # In turn, because the machine is not equally busy all the time.
        for number in range(ROUNDS):
            asyncio.run(inside.measure(fleet, paths))
            process = fleet.add_views(f"views-{number}")
            asyncio.run(outside.measure(fleet, paths))
            process.stop()
            fleet.views.remove(process)
            print(f"in the server: {inside.text()}\nin a process of its own: {outside.text()}", flush=True)


async def _round(fleet: Fleet, client: Client, paths: tuple[str, str], watchers: int) -> Round:
    begun: list[float] = []
    latencies: list[float] = []

    def arrived_at(counted: list[int]) -> Callable[[int], None]:
        def arrived(events: int) -> None:
            now = time.perf_counter()
            for _ in range(events):
                number = counted[0] - 1
                counted[0] += 1
                if 0 <= number < len(begun):
                    latencies.append(now - begun[number])

        return arrived

    connections: list[Connection] = []
    counts = [[0] for _ in range(watchers)]
    for counted in counts:
        connection = await client.connect()
        connections.append(connection)
        # The first event is the object as it is.
        await connection.watch(f"{paths[1]}?watch=true&timeoutSeconds=600", arrived_at(counted))
    await asyncio.sleep(1.0)
    writer = await client.connect()
    processes = [*fleet.gateways, *fleet.shards.values(), *fleet.views]
    before = sum(cpu_seconds(process.pid) for process in processes)
    due = time.perf_counter()
    for number in range(WRITES):
        due += 1 / PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        body = orjson.dumps({"spec": {"intent": f"{time.time_ns()}-{number}"}})
        begun.append(time.perf_counter())
        must(await writer.request("PATCH", paths[0], body, "Content-Type: application/merge-patch+json\r\n"), 200)
    await asyncio.sleep(0.5)
    used = sum(cpu_seconds(process.pid) for process in processes) - before
    for connection in [*connections, writer]:
        connection.close()
    await asyncio.sleep(0.5)
    return Round(used, latencies)


async def _reads(client: Client, path: str) -> float:
    """The median time of a list, in seconds."""
    connection = await client.connect()
    times: list[float] = []
    for _ in range(200):
        began = time.perf_counter()
        must(await connection.request("GET", path), 200)
        times.append(time.perf_counter() - began)
    connection.close()
    return statistics.median(times)


if __name__ == "__main__":
    main()
