"""What a watch costs its server: `python -m benchmarks.watches --beside TREE`.

Processor time of the server for each watch that is opened on a large collection, and for each event that is sent to watches, with
and without a view. Both checkouts serve at the same time, and each row is measured on one and at once on the other, in
alternating order. TREE: another checkout with its own environment (`make install`).
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import orjson
import uvloop

from benchmarks import objects, workspaces
from benchmarks.beside import Checkout
from benchmarks.client import JSON, Client, Connection, must
from benchmarks.load import closed_loop
from tools.server import Server

OBJECTS = 20_000
NAMESPACES = 200
OPENED = 1_000
WATCHERS, WRITES = 100, 200
ROUNDS = 5
_CLUSTER = "/clusters/root:bench"
_MANY = f"{_CLUSTER}/api/v1/namespaces/default/configmaps"
_SPREAD = f"{_CLUSTER}/api/v1/secrets"
_LEASES = "/apis/coordination.k8s.io/v1/leases"
_WRITTEN = f"{_CLUSTER}/apis/coordination.k8s.io/v1/namespaces/default/leases"
_EXPORTS = f"{_CLUSTER}/apis/apis.kcp.io/v1alpha2/apiexports"
_BINDINGS = f"{_CLUSTER}/apis/apis.kcp.io/v1alpha2/apibindings"
_INITIAL = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
_IDLE_SECONDS = 0.3


class Measured:
    """A server, a client that is no `system:masters`, and the view of an export that claims leases."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = Client(server.url, server.token("base"), server.ca)
        self.view = ""

    async def prepare(self) -> None:
        await workspaces.create_all(Client(self.server.url, self.server.token(), self.server.ca), ["bench"])
        connection = await self.client.connect()
        for number in range(NAMESPACES):
            body = orjson.dumps({"metadata": {"name": f"n{number}"}})
            must(await connection.request("POST", f"{_CLUSTER}/api/v1/namespaces", body, JSON), 201)
        body = orjson.dumps({"metadata": {"name": "empty"}})
        must(await connection.request("POST", f"{_CLUSTER}/api/v1/namespaces", body, JSON), 201)
        await self._fill()
        claim = {"group": "coordination.k8s.io", "resource": "leases", "verbs": ["*"]}
        export = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIExport", "metadata": {"name": "claims"}}
        must(
            await connection.request("POST", _EXPORTS, orjson.dumps({**export, "spec": {"permissionClaims": [claim]}}), JSON), 201
        )
        accepted = {**claim, "state": "Accepted", "selector": {"matchAll": True}}
        spec = {"reference": {"export": {"path": "root:bench", "name": "claims"}}, "permissionClaims": [accepted]}
        binding = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "claims"}, "spec": spec}
        async with asyncio.timeout(60):
            # Until the export has an identity.
            while (await connection.request("POST", _BINDINGS, orjson.dumps(binding), JSON)).status not in (201, 409):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        path = f"{_CLUSTER}/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"
        found = orjson.loads(must(await connection.request("GET", path), 200).body)
        cluster = found["metadata"]["annotations"]["kcp.io/cluster"]
        self.view = f"/ranges/root/services/apiexport/{cluster}/claims/clusters/{cluster}{_LEASES}"
        for number in range(20):
            body = orjson.dumps({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": f"e{number}"}})
            must(await connection.request("POST", _WRITTEN, body, JSON), 201)
        async with asyncio.timeout(60):
            while True:
                answer = await connection.request("GET", self.view)
                if answer.status == 200 and len(orjson.loads(answer.body)["items"]) == 20:
                    break
                await asyncio.sleep(0.1)
        connection.close()

    async def _fill(self) -> None:
        async def config_map(connection: Connection, number: int) -> None:
            metadata = {"name": f"o{number}", "labels": {"app": f"v{number // 10}", "part": "all"}}
            body = orjson.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": "x" * 100}})
            must(await connection.request("POST", _MANY, body, JSON), 201)

        async def secret(connection: Connection, number: int) -> None:
            body = orjson.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"o{number}"}})
            path = f"{_CLUSTER}/api/v1/namespaces/n{number % NAMESPACES}/secrets"
            must(await connection.request("POST", path, body, JSON), 201)

        await closed_loop(self.client, 16, config_map, requests=OBJECTS)
        await closed_loop(self.client, 16, secret, requests=OBJECTS)

    async def opened(self, path: Callable[[int], str], events: int) -> float:
        """Microseconds of the server for each watch that is opened and has got so many events and the bookmark after them."""
        seen = 0

        def count(more: int) -> None:
            nonlocal seen
            seen += more

        connections = [await self.client.connect() for _ in range(OPENED)]
        await asyncio.sleep(_IDLE_SECONDS)
        before = self.server.cpu_seconds()
        for start in range(0, OPENED, 50):
            batch = connections[start : start + 50]
            await asyncio.gather(*(each.watch(path(start + at) + _INITIAL, count) for at, each in enumerate(batch)))
        async with asyncio.timeout(60):
            while seen < OPENED * (events + 1):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        used = self.server.cpu_seconds() - before
        for each in connections:
            each.close()
        await asyncio.sleep(_IDLE_SECONDS)
        return used / OPENED * 1e6

    async def events(self, path: str, watchers: int = WATCHERS) -> float:
        """Microseconds of the server for each write that so many watchers get."""
        writer = await self.client.connect()
        seen = 0

        def count(events: int) -> None:
            nonlocal seen
            seen += events

        connections = [await self.client.connect() for _ in range(watchers)]
        for each in connections:
            await each.watch(f"{path}?watch=1", count)
        await asyncio.sleep(_IDLE_SECONDS)
        seen = 0
        before = self.server.cpu_seconds()
        for number in range(WRITES):
            body = orjson.dumps({"metadata": {"annotations": {"changed": f"{time.time()}-{number}"}}})
            must(await writer.request("PATCH", f"{_WRITTEN}/e{number % 20}", body, objects.MERGE), 200)
        async with asyncio.timeout(60):
            while seen < watchers * WRITES:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        used = self.server.cpu_seconds() - before
        for each in (*connections, writer):
            each.close()
        await asyncio.sleep(_IDLE_SECONDS)
        return used / WRITES * 1e6


def _named(base: str) -> Callable[[int], str]:
    return lambda number: f"{base}?watch=1&fieldSelector=metadata.name%3Do{number}"


async def _writes(measured: Measured) -> float:
    return await measured.events("", 0)


async def _plain(measured: Measured) -> float:
    return await measured.events(f"{_CLUSTER}{_LEASES}")


async def _viewed(measured: Measured) -> float:
    return await measured.events(measured.view)


def _opening(path: Callable[[int], str], events: int) -> Callable[[Measured], Awaitable[float]]:
    return lambda measured: measured.opened(path, events)


ROWS: Mapping[str, Callable[[Measured], Awaitable[float]]] = {
    "µs for a watch of an empty namespace": _opening(
        lambda number: f"{_CLUSTER}/api/v1/namespaces/empty/configmaps?watch=1&fieldSelector=metadata.name%3Do{number}", 0
    ),
    f"µs for a watch by name, of {OBJECTS:,}": _opening(_named(_MANY), 1),
    f"µs for a watch by name, of {OBJECTS:,} in {NAMESPACES} namespaces": _opening(_named(_SPREAD), 1),
    f"µs for a watch by label (10 objects), of {OBJECTS:,}": _opening(
        lambda number: f"{_MANY}?watch=1&labelSelector=part%3Dall,app%3Dv{number}", 10
    ),
    "µs for a write without watchers": _writes,
    f"µs for a write and its events to {WATCHERS} watchers": _plain,
    f"µs for a write and its events to {WATCHERS} watchers of a view": _viewed,
}


async def _measure(here: Measured, there: Measured, rounds: int, only: str) -> None:
    for each in (here, there):
        await each.prepare()
    figures: dict[str, list[tuple[float, float]]] = {row: [] for row in ROWS if only in row}
    # A first round does the work that a process does only once. It does not count.
    for turn in range(-1, rounds):
        for row in figures:
            pair = [0.0, 0.0]
            for which in (0, 1) if turn % 2 else (1, 0):
                pair[which] = await ROWS[row]((here, there)[which])
            if turn >= 0:
                figures[row].append((pair[0], pair[1]))
        print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
    print("| what | here | there | there / here |\n| --- | --- | --- | --- |")
    for row, pairs in figures.items():
        print(f"| {row} | {_median(pairs, 0):.0f} | {_median(pairs, 1):.0f} | {statistics.median(t / h for h, t in pairs):.2f} |")


def _median(pairs: Sequence[tuple[float, float]], which: int) -> float:
    return statistics.median(pair[which] for pair in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watches", description=__doc__)
    parser.add_argument("--beside", type=Path, required=True, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="rows whose name has this text")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tenantry-watches-"))
    try:
        with Server(folder / "here") as here, Checkout(options.beside, folder / "there") as there:
            uvloop.run(_measure(Measured(here), Measured(there), options.rounds, options.only))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
