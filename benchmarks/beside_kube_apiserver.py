"""`python -m benchmarks.beside_kube_apiserver`: compares one process with kube-apiserver on its own etcd, in one run.

Both serve at the same time, and each row is measured on one and then at once on the other, in alternating order; the result is
the median of the ratios of all rounds. Beside requests per second, the CPU time for a request is compared: of the server alone
here, and of kube-apiserver and its etcd there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from benchmarks import objects, workspaces
from benchmarks.__main__ import machine
from benchmarks.client import Client, must
from benchmarks.hostile.kube_apiserver import kube_apiserver, missing
from benchmarks.load import Result
from tools.child import cpu_seconds
from tools.server import Server

ROUNDS = 9
PREPARED = 2000
_TOKEN = "administrator-of-the-benchmark"
_CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_STARTED_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Side:
    """A server. `pids`: of all its processes."""

    client: Client
    base: str
    pids: Sequence[int]

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(pid) for pid in self.pids)


@dataclass(frozen=True, slots=True)
class Row:
    """`measure(side, number of the round)`. `reach`: the ratio of requests per second to reach."""

    measure: Callable[[Side, int], Awaitable[Result]]
    reach: float


@dataclass(frozen=True, slots=True)
class Compared:
    """Medians. `ratio`: requests per second here to those there, with its quartiles. `cpu_ratio`: CPU time for one there to
    that here; above 1, this code takes less."""

    row: str
    here: float
    there: float
    ratio: float
    low: float
    high: float
    reach: float
    cpu_here: float
    cpu_there: float
    cpu_ratio: float


async def _create(side: Side, turn: int) -> Result:
    return await objects.create(side.client, side.base, f"turn{turn}", 32, 800)


async def _get(side: Side, turn: int) -> Result:
    return await objects.get(side.client, side.base, "many", PREPARED, 4000)


async def _patch(side: Side, turn: int) -> Result:
    return await objects.patch(side.client, side.base, "many", 1000)


async def _list(side: Side, turn: int) -> Result:
    return await objects.list_page(side.client, side.base, 160)


ROWS: Mapping[str, Row] = {
    "create, 32 clients": Row(_create, 1.3),
    "GET, 32 clients": Row(_get, 2.2),
    "merge-patch, 32 clients": Row(_patch, 2.2),
    "LIST limit=500, 8 clients": Row(_list, 8),
}


@contextmanager
def sides(folder: Path) -> Iterator[tuple[Side, Side]]:
    tokens = folder / "tokens.csv"
    tokens.write_text(f'{_TOKEN},benchmark-admin,0,"system:masters"\n')
    with Server(folder / "here") as here, kube_apiserver(folder / "there", tokens) as there:
        yield (
            Side(Client(here.url, here.token(), here.ca), f"/clusters/root:bench{_CONFIG_MAPS}", [here.pid]),
            Side(Client(there.url, _TOKEN, str(there.ca)), _CONFIG_MAPS, [there.process.pid, there.etcd.pid]),
        )


async def measure(here: Side, there: Side, rounds: int) -> list[Compared]:
    await workspaces.create_all(here.client, ["bench"])
    await _default_namespace(there)
    for side in (here, there):
        await objects.create(side.client, side.base, "many", 16, PREPARED)
    found: dict[str, list[tuple[float, float, float, float]]] = {row: [] for row in ROWS}
    # A first round, which does not count, does the work that a process does only once.
    for turn in range(-1, rounds):
        for name, row in ROWS.items():
            figures: dict[Side | int, tuple[float, float]] = {}
            for which, side in list(enumerate((here, there)))[:: 1 if turn % 2 else -1]:
                before = side.cpu_seconds()
                result = await row.measure(side, turn)
                figures[which] = (result.per_second, 1e6 * (side.cpu_seconds() - before) / result.requests)
            if turn >= 0:
                found[name].append((*figures[0], *figures[1]))
    return [_compared(name, ROWS[name].reach, values) for name, values in found.items()]


async def _default_namespace(side: Side) -> None:
    connection = await side.client.connect()
    async with asyncio.timeout(_STARTED_SECONDS_MAX):
        while must(await connection.request("GET", "/api/v1/namespaces/default"), 200, 404).status == 404:
            pass
    connection.close()


def _compared(row: str, reach: float, values: Sequence[tuple[float, float, float, float]]) -> Compared:
    low, ratio, high = statistics.quantiles([here / there for here, _, there, _ in values], n=4)
    here, cpu_here, there, cpu_there = (statistics.median(column) for column in zip(*values, strict=True))
    return Compared(
        row, here, there, ratio, low, high, reach, cpu_here, cpu_there, statistics.median(b / a for _, a, _, b in values)
    )


def table(rows: Sequence[Compared]) -> str:
    lines = [
        "| what | here | kube-apiserver and etcd | ratio [quartiles] | to reach | CPU µs here | CPU µs there | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        said = "" if row.ratio >= row.reach else " **(not reached)**"
        lines.append(
            f"| {row.row} | {row.here:,.0f} /s | {row.there:,.0f} /s | {row.ratio:.2f} [{row.low:.2f}, {row.high:.2f}]{said} "
            f"| ≥ {row.reach} | {row.cpu_here:,.0f} | {row.cpu_there:,.0f} | {row.cpu_ratio:.2f} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside_kube_apiserver", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each row is measured, at least 2")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    if (reason := missing()) is not None:
        print(f"left out, {reason}", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory(prefix="tenantry-bench-") as name, sides(Path(name)) as (here, there):
        rows = uvloop.run(measure(here, there, options.rounds))
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    return 0 if all(row.ratio >= row.reach for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
