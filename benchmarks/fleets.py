"""Platforms of real processes for measurements: no proxy before etcd, and etcd on the same disk as the rows with SQLite."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Client
from tests.support.etcd import EtcdServer
from tests.support.fleet import Fleet, Process
from tools.ports import free_port
from tools.spawning import executed

START_SECONDS_MAX = 180.0


def without_etcd() -> str | None:
    """The reason why there is no etcd; None if there is one."""
    if os.environ.get("ETCD") or shutil.which("etcd"):
        return None
    return "etcd is not installed (apt-get install etcd-server, or name the program in ETCD)"


@contextmanager
def fleet(root: Path, *, shards: int = 1, range_capacity: int = 1000, balance: bool = True) -> Iterator[Fleet]:
    """A platform that serves: one registry, one gateway and `shards` shards. `root`: directory for etcd's data."""
    root.mkdir(parents=True, exist_ok=True)
    flags = {"registry": ("--range-capacity", str(range_capacity), "--balance", str(balance).lower())}
    with Fleet(shards=shards, flags=flags, etcd=EtcdServer(directory=root), links=False, spawn=executed) as made:
        yield made


def client(made: Fleet) -> Client:
    """A client of the gateway with the administrator's token."""
    return Client(made.url, made.token(), str(made.ca))


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway without shards. `address`: of its gRPC services."""

    process: Process
    port: int
    address: str
    start_seconds: float


@contextmanager
def gateway(folder: Path, etcd: EtcdServer) -> Iterator[Gateway]:
    """A gateway that serves on an etcd. `folder`: directory for its log."""
    folder.mkdir(parents=True, exist_ok=True)
    port, lookups = free_port(), free_port()
    where = ("--bind-address", "127.0.0.1", "--secure-port", str(port), "--gateway-port", str(lookups), "--health-port", "-1")
    process = Process("gateway", folder, etcd.port, "gateway", *where)
    began = time.perf_counter()
    process.start()
    try:
        process.ready(START_SECONDS_MAX)
        yield Gateway(process, port, f"127.0.0.1:{lookups}", time.perf_counter() - began)
    finally:
        process.kill()
