"""`make bench ARGS='--beside TREE'`: compares one process of this code with one of another checkout.

Two consecutive runs also differ by the other load of the machine. Here both processes serve at the same time. Each row is
measured on one and then at once on the other, in alternating order. The result is the median of the ratios of all rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import uvloop

from benchmarks import objects, workspaces
from benchmarks.client import JSON, Client, must
from tools.server import Server
from tools.spawning import executed_by

ROUNDS = 9
RATIO_MIN = 0.95
PREPARED = 2000
_CLUSTER = "/clusters/root:bench"
_MADE = f"{_CLUSTER}/api/v1/namespaces/made/configmaps"
_READ = objects.NAMESPACE


class Checkout(Server):
    """`tenantry start` of another checkout with its own environment (`make install`)."""

    def __init__(self, tree: Path, root: Path) -> None:
        # -P: do not import the `tenantry` in the working directory.
        super().__init__(root, spawn=executed_by(str(tree / ".venv" / "bin" / "python"), "-P"))


@dataclass(frozen=True, slots=True)
class Ratio:
    """The quartiles of the ratios of a row: this code to the other one. Above 1: this code is faster."""

    row: str
    here: float
    there: float
    low: float
    median: float
    high: float

    @property
    def reached(self) -> bool:
        return self.median >= RATIO_MIN


Row = Callable[[Client, int], Awaitable[float]]
"""(client, number of the round) → operations per second."""


async def _create_1(client: Client, turn: int) -> float:
    return (await objects.create(client, _MADE, f"one-{turn}", 1, 150)).per_second


async def _create_32(client: Client, turn: int) -> float:
    return (await objects.create(client, _MADE, f"many-{turn}", 32, 800)).per_second


async def _get_32(client: Client, turn: int) -> float:
    return (await objects.get(client, _READ, "many", PREPARED, 4000)).per_second


async def _list_500(client: Client, turn: int) -> float:
    return (await objects.list_page(client, _READ, 200)).per_second


async def _list_all(client: Client, turn: int) -> float:
    return (await objects.list_all(client, _READ, 40)).per_second


async def _patch_32(client: Client, turn: int) -> float:
    return (await objects.patch(client, _READ, "many", 1000)).per_second


async def _watch_100(client: Client, turn: int) -> float:
    return (await objects.fan_out(client, _READ, 100, 50)).per_second


async def _watch_1000(client: Client, turn: int) -> float:
    return (await objects.fan_out(client, _READ, 1000, 20)).per_second


async def _workspaces(client: Client, turn: int) -> float:
    return await workspaces.create_many(client, f"turn-{turn}", 60, 16)


async def _workspaces_gone(client: Client, turn: int) -> float:
    return await workspaces.delete_many(client, f"turn-{turn}", 60, 16)


ROWS: Mapping[str, Row] = {
    "create, 1 client": _create_1,
    "create, 32 clients": _create_32,
    "GET, 32 clients": _get_32,
    "LIST limit=500, 8 clients": _list_500,
    f"LIST of {PREPARED:,}, 4 clients that accept gzip": _list_all,
    "merge-patch, 32 clients": _patch_32,
    "events to 100 watchers": _watch_100,
    "events to 1,000 watchers": _watch_1000,
    "workspaces, Ready": _workspaces,
    "workspaces, gone": _workspaces_gone,
}


def measure(tree: Path, folder: Path, rounds: int = ROUNDS) -> list[Ratio]:
    """Measures all rows, the start, and the memory when idle."""
    starts = [_starts(tree, folder, turn) for turn in range(rounds)]
    with Server(folder / "here") as here, Checkout(tree, folder / "there") as there:
        memory = (1 / here.memory_bytes(), 1 / there.memory_bytes())
        found = uvloop.run(_rounds([_client(here), _client(there)], rounds))
    result = [_ratio("start to ready, 1/s", starts), _ratio("memory when idle, 1/B", [memory])]
    return result + [_ratio(row, pairs) for row, pairs in found.items()]


def table(ratios: Sequence[Ratio]) -> str:
    lines = ["| what | ratio | quartiles | here | there | |", "| --- | --- | --- | --- | --- | --- |"]
    for ratio in ratios:
        said = "" if ratio.reached else f"**below {RATIO_MIN}**"
        lines.append(
            f"| {ratio.row} | {ratio.median:.2f} | {ratio.low:.2f}-{ratio.high:.2f} "
            f"| {ratio.here:.3g} | {ratio.there:.3g} | {said} |"
        )
    return "\n".join(lines)


def _starts(tree: Path, folder: Path, turn: int) -> tuple[float, float]:
    here, there = Server(folder / f"start-{turn}-here"), Checkout(tree, folder / f"start-{turn}-there")
    for server in (here, there) if turn % 2 else (there, here):
        with server:
            pass
    return 1 / here.start_seconds, 1 / there.start_seconds


async def _rounds(clients: Sequence[Client], rounds: int) -> Mapping[str, list[tuple[float, float]]]:
    for client in clients:
        await _prepare(client)
    found: dict[str, list[tuple[float, float]]] = {row: [] for row in ROWS}
    # A first round, which does not count, does the work that a process does only once.
    for turn in range(-1, rounds):
        for row, measure_row in ROWS.items():
            figures = [0.0, 0.0]
            for which in (0, 1) if turn % 2 else (1, 0):
                figures[which] = await measure_row(clients[which], turn)
            if turn >= 0:
                found[row].append((figures[0], figures[1]))
    return found


async def _prepare(client: Client) -> None:
    await workspaces.create_all(client, ["bench"])
    connection = await client.connect()
    namespace = orjson.dumps({"metadata": {"name": "made"}})
    must(await connection.request("POST", f"{_CLUSTER}/api/v1/namespaces", namespace, JSON), 201)
    connection.close()
    await objects.create(client, _READ, "many", 16, PREPARED)


def _ratio(row: str, pairs: Sequence[tuple[float, float]]) -> Ratio:
    ratios = sorted(here / there for here, there in pairs)
    low, median, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Ratio(row, statistics.median(h for h, _ in pairs), statistics.median(t for _, t in pairs), low, median, high)


def _client(server: Server) -> Client:
    return Client(server.url, server.token(), server.ca)
