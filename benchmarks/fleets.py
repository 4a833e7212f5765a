"""Platforms of real processes to measure: nothing between them and etcd, and etcd on the disk that SQLite's rows use too."""

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
    """Why there is no etcd; None where there is one."""
    if os.environ.get("ETCD") or shutil.which("etcd"):
        return None
    return "etcd is not installed (apt-get install etcd-server, or name the program in ETCD)"


@contextmanager
def fleet(root: Path, *, shards: int = 1, range_capacity: int = 1000, balance: bool = True) -> Iterator[Fleet]:
    """One registry, one gateway and so many shards, serving. `root` gets etcd's data."""
    root.mkdir(parents=True, exist_ok=True)
    flags = {"registry": ("--range-capacity", str(range_capacity), "--balance", str(balance).lower())}
    with Fleet(shards=shards, flags=flags, etcd=EtcdServer(directory=root), links=False, spawn=executed) as made:
        yield made


def client(made: Fleet) -> Client:
    """Through the gateway, as the administrator."""
    return Client(made.url, made.token(), str(made.ca))


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway without a platform. `address`: of its gRPC services."""

    process: Process
    port: int
    address: str
    start_seconds: float


@contextmanager
def gateway(folder: Path, etcd: EtcdServer) -> Iterator[Gateway]:
    """One gateway on an etcd, serving. `folder` gets its log."""
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
