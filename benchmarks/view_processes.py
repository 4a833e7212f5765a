"""What an event of a view's watch costs where the view is in its shard, and in a process of its own: CPU time of all processes of
the platform, and time from the write to the watcher. `python -m benchmarks.view_processes`.

CPU time is compared, and in short blocks that take turns, so that other work on the machine falls on both places alike. The cost
of an event is that of the blocks with a watcher less that of the blocks without one, on the same platform."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson

from benchmarks import fleets
from benchmarks.client import Client, Connection, must
from tests.e2e.provider import COWBOYS, Provider, cowboy, schema
from tests.support.fleet import Fleet
from tools.child import Child, cpu_seconds
from tools.spawning import executed

WATCHERS = (1, 20)
WRITES = 150
PER_SECOND = 150
ROUNDS = 24
READS = 40
LIST = "/apis/example.com/v1/cowboys"
IDLE_SECONDS = 1
"""How long the process of views keeps a range that nobody watches: it follows none when the writes alone are measured."""
LATE_SECONDS_MAX = 10.0
STORE = "etcd"


@dataclass(frozen=True, slots=True)
class Block:
    """A block of writes. `micros`: CPU time for each write, by kind of process. `p50`: the median time from the begin of a write
    to a watcher, in seconds."""

    micros: dict[str, float]
    p50: float

    @property
    def ours(self) -> float:
        return sum(micros for kind, micros in self.micros.items() if kind != STORE)


@dataclass(slots=True)
class Figures:
    """What was measured at one place of the view. `blocks`: for each number of watchers, one block a round. `reads`: the median
    time of a list in each round, in seconds."""

    blocks: dict[int, list[Block]] = field(default_factory=lambda: {watchers: [] for watchers in (0, *WATCHERS)})
    reads: list[float] = field(default_factory=list)

    def whole(self, watchers: int) -> list[float]:
        """CPU time of a write and its events in each round."""
        return [block.ours for block in self.blocks[watchers]]

    def events(self, watchers: int) -> list[float]:
        """CPU time of the event at one watcher in each round."""
        return [(block.ours - alone.ours) / watchers for block, alone in zip(self.blocks[watchers], self.blocks[0], strict=True)]


class Place:
    """A platform, and the paths of the object that is written and of the view that shows it."""

    def __init__(self, fleet: Fleet) -> None:
        provider = Provider.install(fleet.root.workspace("provider"), schema())
        consumer = provider.bind(fleet.root.workspace("consumer"))
        consumer.create(COWBOYS, cowboy("one"))
        self.written = f"/clusters/{consumer.name}{COWBOYS}/one"
        self.shown = f"{provider.url().removeprefix(fleet.url)}/clusters/*{LIST}"
        self.client: Client = fleets.client(fleet)
        self._fleet = fleet

    @property
    def processes(self) -> dict[str, Sequence[Child]]:
        fleet = self._fleet
        return {
            "gateway": fleet.gateways,
            "shard": list(fleet.shards.values()),
            "views": fleet.views,
            STORE: [fleet.etcd],
        }

    async def block(self, watchers: int) -> Block:
        """Raises TimeoutError where events are missing."""
        begun: list[float] = []
        latencies: list[float] = []
        all_came = asyncio.Event()
        if not watchers:
            all_came.set()

        def arrived_at(counted: list[int]) -> Callable[[int], None]:
            def arrived(events: int) -> None:
                now = time.perf_counter()
                for _ in range(events):
                    # The first event is the object as it is.
                    number = counted[0] - 1
                    counted[0] += 1
                    if 0 <= number < len(begun):
                        latencies.append(now - begun[number])
                if len(latencies) == watchers * WRITES:
                    all_came.set()

            return arrived

        connections: list[Connection] = []
        for _ in range(watchers):
            connection = await self.client.connect()
            connections.append(connection)
            await connection.watch(f"{self.shown}?watch=true&timeoutSeconds=600", arrived_at([0]))
        writer = await self.client.connect()
        await asyncio.sleep(1.0)
        before = self._cpu_seconds()
        due = time.perf_counter()
        for number in range(WRITES):
            due += 1 / PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            body = orjson.dumps({"spec": {"intent": f"{time.time_ns()}-{number}"}})
            begun.append(time.perf_counter())
            must(await writer.request("PATCH", self.written, body, "Content-Type: application/merge-patch+json\r\n"), 200)
        # On a busy machine the last ones are late.
        async with asyncio.timeout(LATE_SECONDS_MAX):
            await all_came.wait()
        await asyncio.sleep(0.3)
        used = {kind: 1e6 * (now - before[kind]) / WRITES for kind, now in self._cpu_seconds().items()}
        for connection in [*connections, writer]:
            connection.close()
        return Block(used, statistics.median(latencies) if latencies else 0.0)

    async def reads(self) -> float:
        """The median time of a list, in seconds."""
        connection = await self.client.connect()
        times: list[float] = []
        for _ in range(READS):
            began = time.perf_counter()
            must(await connection.request("GET", self.shown), 200)
            times.append(time.perf_counter() - began)
        connection.close()
        return statistics.median(times)

    def _cpu_seconds(self) -> dict[str, float]:
        return {kind: sum(cpu_seconds(process.pid) for process in found) for kind, found in self.processes.items()}


async def measure(inside: Place, outside: Place, rounds: int) -> tuple[Figures, Figures]:
    """The figures of a view in its shard, and in a process of its own."""
    here, there = Figures(), Figures()
    for place in (inside, outside):
        await place.block(max(WATCHERS))
    for number in range(rounds):
        for watchers in WATCHERS:
            there.blocks[watchers].append(await outside.block(watchers))
        there.reads.append(await outside.reads())
        for watchers in (0, *WATCHERS):
            here.blocks[watchers].append(await inside.block(watchers))
        here.reads.append(await inside.reads())
        # Meanwhile the process of views has dropped the range.
        there.blocks[0].append(await outside.block(0))
        print(f"round {number + 1} of {rounds}", flush=True)
    return here, there


def text(here: Figures, there: Figures) -> str:
    lines = ["median [quartiles] of all rounds; CPU time of gateway, shard and process of views, without etcd"]
    for watchers in WATCHERS:
        pairs = list(zip(there.whole(watchers), here.whole(watchers), strict=True))
        lines += [
            f"{watchers} watchers",
            f"  write and events: {_quartiles(here.whole(watchers))} µs in the server, "
            f"{_quartiles(there.whole(watchers))} µs outside, ratio {_quartiles([out / into for out, into in pairs], 2)}",
            f"  an event at a watcher: {_quartiles(here.events(watchers))} µs in the server, "
            f"{_quartiles(there.events(watchers))} µs outside, ratio of the medians "
            f"{statistics.median(there.events(watchers)) / statistics.median(here.events(watchers)):.2f}",
            f"  p50 from the write to the watcher: {_milliseconds(here, watchers)} ms in the server, "
            f"{_milliseconds(there, watchers)} ms outside",
        ]
    inside, outside = (1e3 * statistics.median(figures.reads) for figures in (here, there))
    lines.append(f"list p50: {inside:.2f} ms in the server, {outside:.2f} ms outside")
    for name, figures in (("in the server", here), ("outside", there)):
        for watchers, blocks in figures.blocks.items():
            parts = {kind: statistics.median(block.micros[kind] for block in blocks) for kind in blocks[0].micros}
            lines.append(f"{name}, {watchers} watchers, µs a write: " + ", ".join(f"{k} {v:.0f}" for k, v in parts.items()))
    return "\n".join(lines)


def _quartiles(values: Sequence[float], digits: int = 0) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _milliseconds(figures: Figures, watchers: int) -> str:
    return _quartiles([1e3 * block.p50 for block in figures.blocks[watchers]], 2)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS, help="how often each block is measured, at least 2")
    rounds = options.parse_args().rounds
    dropping = {"views": ("--idle-seconds", str(IDLE_SECONDS))}
    with (
        Fleet(links=False, spawn=executed) as alone,
        Fleet(views=1, flags=dropping, links=False, spawn=executed) as beside,
    ):
        here, there = asyncio.run(measure(Place(alone), Place(beside), rounds))
    print(text(here, there))


if __name__ == "__main__":
    main()
