"""The checks of a shard, and its metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from shard.health_checks import REMEMBERED_SECONDS, StoreCheck, add_checks
from tenantry.apiserver.endpoints.health import Health
from tenantry.apiserver.request import Request
from tenantry.base.metrics import Metrics
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.memory import MemoryStore
from tenantry.storage.record import Change
from tenantry.storage.store import CompareFailed, TooLarge, Unavailable
from tests.support.ranges import cell_on


async def cell_with(store: MemoryStore) -> Cell:
    cell = cell_on(store)
    await cell.acquire("root", "r", "t")
    return cell


async def test_the_store_is_well_while_it_writes_and_ranges_can_be_read() -> None:
    now = 0.0
    cell = await cell_with(MemoryStore())
    check = StoreCheck(cell, clock=lambda: now)
    assert check.check() is None
    check.written(0.1, 1, TooLarge("one client's fault"))
    assert check.check() is None
    check.written(0.1, 1, Unavailable("disk full"))
    assert check.check() == "the last write failed: disk full"
    now = REMEMBERED_SECONDS
    assert check.check() is None
    check.written(0.1, 1, Unavailable("disk full"))
    check.written(0.1, 1, None)
    assert check.check() is None
    cell.guard.deadline = 0.0
    assert check.check() == "ranges that may not be read: root"
    await cell.close()


async def test_named_checks_and_the_counts_of_commits() -> None:
    started = False
    cell = await cell_with(MemoryStore())
    catalog: Any = SimpleNamespace(following=True)
    runner: Any = SimpleNamespace(broken="")
    health, metrics = Health(), Metrics()
    add_checks("shard-1", cell, catalog, runner, ready=lambda: started, health=health, metrics=metrics)

    def answer(path: str) -> tuple[int, str]:
        response = health.serve(Request("GET", path), path)
        return response.status, bytes(response.body).decode()

    assert answer("/readyz")[0] == 500
    assert answer("/readyz/shard-1-catalog") == (500, "internal server error: starting\n")
    started = True
    assert answer("/readyz")[0] == 200
    runner.broken = "garbage-collector-0"
    assert answer("/readyz/shard-1-controllers") == (500, "internal server error: not running: garbage-collector-0\n")
    runner.broken, catalog.following = "", False
    assert answer("/readyz/shard-1-catalog")[0] == 500
    assert answer("/livez")[0] == 200

    key = Key("root", "core/configmaps", "default", "x")
    await cell.commit([Change(key, b"{}", None, None)])
    cell.writes.send(0.1, 1, CompareFailed("root", None))
    text = metrics.text().decode()
    assert "tenantry_store_changes_total 1.0" in text
    assert "tenantry_store_commit_duration_seconds_count 1.0" in text
    assert "tenantry_reconciles_total" in text
    await cell.close()
