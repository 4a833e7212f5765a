"""The stages of a run, in order. Each starts and stops the processes that it measures."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import apis, join, lookups, objects, registry, take_over, work, workspaces
from benchmarks.client import Client
from benchmarks.fleets import client, fleet, without_etcd
from benchmarks.results import Results
from benchmarks.rows import PLATFORM
from tools.server import Server


def _nothing() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage. `measure(folder, results)` adds its results; `folder` is its own. `missing`: returns the missing program, or
    None."""

    measure: Callable[[Path, Results], None]
    missing: Callable[[], str | None] = _nothing


def _starts(root: Path, results: Results) -> None:
    with Server(root) as server:
        results.figures["first_start"] = server.start_seconds
        results.figures["idle_memory"] = server.memory_bytes() / 1e6
    with Server(root) as server:
        results.figures["later_start"] = server.start_seconds


def _workspaces(root: Path, results: Results) -> None:
    with Server(root, "--range-capacity", "10000") as server:
        _run(workspaces.measure(_direct(server), server.memory_bytes, results.figures))


def _objects(root: Path, results: Results) -> None:
    with Server(root) as server:
        _run(objects.measure(_direct(server), "", results.figures))


def _apis(root: Path, results: Results) -> None:
    with Server(root) as server:
        _run(apis.measure(_direct(server), server, results.figures))


def _objects_on_platform(root: Path, results: Results) -> None:
    with fleet(root) as platform:
        _run(objects.measure(client(platform), PLATFORM, results.figures))


def _direct(server: Server) -> Client:
    return Client(server.url, server.token(), server.ca)


def _run(work: Coroutine[Any, Any, None]) -> None:
    uvloop.run(work)


STAGES = {
    "starts": Stage(_starts),
    "workspaces": Stage(_workspaces),
    "objects": Stage(_objects),
    "objects-on-platform": Stage(_objects_on_platform, without_etcd),
    "apis": Stage(_apis),
    "lookups": Stage(lookups.measure, without_etcd),
    "take-over": Stage(take_over.measure, without_etcd),
    "join": Stage(join.measure, without_etcd),
    "registry": Stage(registry.measure, without_etcd),
    "work": Stage(work.measure, without_etcd),
}
