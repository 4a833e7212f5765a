"""`make bench`: starts what it needs, measures every row at one go, prints a table and writes it as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from benchmarks import lookups, objects, workspaces
from benchmarks.client import Client, must
from benchmarks.rows import ROWS
from tools.server import Server

NAMESPACE = "/clusters/root:bench/api/v1/namespaces/default/configmaps"
MORE_WORKSPACES = 2000
LISTED_OBJECTS = 7400

Figures = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where to write the figures")
    parser.add_argument("--only", action="append", choices=list(STAGES), help="run one stage; may be given several times")
    parser.add_argument("--keep", type=Path, help="directory to use, and not to delete (logs are there)")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="tenantry-bench-"))
    figures: Figures = {}
    try:
        for name, stage in STAGES.items():
            if not options.only or name in options.only:
                print(f"{name} …", file=sys.stderr, flush=True)
                stage(folder / name, figures)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(table(figures))
    options.json.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=2) + "\n")
    return 0


def machine() -> dict[str, object]:
    cpu = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    return {"cores": os.cpu_count(), "cpu": cpu, "kernel": platform.release(), "python": platform.python_version()}


def table(figures: Figures) -> str:
    lines = ["| what | here | to reach | kcp | bare prototype |", "| --- | --- | --- | --- | --- |"]
    for row in ROWS:
        if row.name in figures:
            value = figures[row.name]
            mark = "" if row.reached(value) else " **(not reached)**"
            bound = f"{'≤' if row.at_most else '≥'} {row.reach:,.10g} {row.unit}"
            lines.append(
                f"| {row.what} | {value:,.{0 if value >= 100 else 2}f} {row.unit}{mark} | {bound} | {row.kcp} | {row.prototype} |"
            )
    return "\n".join(lines)


def starts(root: Path, figures: Figures) -> None:
    with Server(root) as server:
        figures["first_start"] = server.start_seconds
        figures["idle_memory"] = server.memory_bytes() / 1e6
    with Server(root) as server:
        figures["later_start"] = server.start_seconds


def of_workspaces(root: Path, figures: Figures) -> None:
    def measure(server: Server) -> Callable[[Client], Awaitable[None]]:
        async def run(client: Client) -> None:
            await workspaces.create_many(client, "warm", 20, 4)
            figures["one_workspace"] = await workspaces.create_one(client, "one", 20)
            figures["workspaces"] = await workspaces.create_many(client, "many", 200, 16)
            figures["workspaces_gone"] = await workspaces.delete_many(client, "many", 200, 16)
            before = server.memory_bytes()
            await workspaces.create_many(client, "more", MORE_WORKSPACES, 16)
            figures["workspace_memory"] = (server.memory_bytes() - before) / MORE_WORKSPACES / 1024

        return run

    _with_server(root, measure, "--range-capacity", "10000")


def of_objects(root: Path, figures: Figures) -> None:
    def measure(server: Server) -> Callable[[Client], Awaitable[None]]:
        async def run(client: Client) -> None:
            await _workspace(client, "bench")
            await objects.create(client, NAMESPACE, "warm", 8, 200)
            figures["create_1"] = (await objects.create(client, NAMESPACE, "one", 1, 1000)).per_second
            figures["create_32"] = (await objects.create(client, NAMESPACE, "many", 32, LISTED_OBJECTS - 1200)).per_second
            figures["get_32"] = (await objects.get(client, NAMESPACE, "many", 6000, 40_000)).per_second
            figures["list_500"] = (await objects.list_page(client, NAMESPACE, 2000)).per_second
            figures["list_all"] = (await objects.list_all(client, NAMESPACE, 200)).per_second
            figures["patch_32"] = (await objects.patch(client, NAMESPACE, "many", 8000)).per_second
            figures["watch_100"] = (await objects.fan_out(client, NAMESPACE, 100, 50)).per_second
            figures["watch_1000"] = (await objects.fan_out(client, NAMESPACE, 1000, 50)).per_second

        return run

    _with_server(root, measure)


async def _workspace(client: Client, name: str) -> None:
    ready = asyncio.Event()
    watching = await workspaces.watch(client, lambda seen, phase: ready.set() if (seen, phase) == (name, "Ready") else None)
    writer = await client.connect()
    must(await writer.request("POST", workspaces.BASE, workspaces.workspace(name), objects.JSON), 201)
    async with asyncio.timeout(30):
        await ready.wait()
    watching.close()
    writer.close()


def _with_server(root: Path, measure: Callable[[Server], Callable[[Client], Awaitable[None]]], *arguments: str) -> None:
    with Server(root, *arguments) as server:
        client = Client(server.url, server.token(), server.ca)

        async def run() -> None:
            await measure(server)(client)

        uvloop.run(run())


def of_lookups(_: Path, figures: Figures) -> None:
    lookups.measure(figures)


STAGES: dict[str, Callable[[Path, Figures], None]] = {
    "starts": starts,
    "workspaces": of_workspaces,
    "objects": of_objects,
    "lookups": of_lookups,
}

if __name__ == "__main__":
    sys.exit(main())
