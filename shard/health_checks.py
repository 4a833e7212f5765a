"""The health checks of a shard for `/readyz`, and the metrics of its store."""

from __future__ import annotations

import time
from collections.abc import Callable

from tenantry.apiserver.endpoints.health import Health
from tenantry.base.metrics import Metrics
from tenantry.controllers.runner import ControllerRunner
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell
from tenantry.storage.store import Indeterminate, StoreError, Unavailable

REMEMBERED_SECONDS = 10.0
"""How long a failed write keeps the store check failing."""


def add_checks(
    name: str,
    cell: Cell,
    catalog: Catalog,
    runner: ControllerRunner,
    *,
    ready: Callable[[], bool],
    health: Health,
    metrics: Metrics,
) -> None:
    """Adds the checks `<name>-store`, `<name>-catalog` and `<name>-controllers`, and counts the store's transactions. `name`: of
    the shard. `ready`: whether it has started."""
    store = StoreCheck(cell)
    cell.writes.subscribe(store.written)
    cell.writes.subscribe(lambda seconds, changes, error: metrics.store_commit(seconds, changes) if error is None else None)

    def follows() -> str | None:
        if not ready():
            return "starting"
        return None if catalog.following else "the catalog does not get the changes of other shards"

    def controllers() -> str | None:
        broken = runner.broken
        return f"not running: {broken}" if broken else None

    metrics.shares += cell.waiting
    metrics.gauge(
        "tenantry_storage_refused_writes",
        "Number of writes that were refused because their logical cluster reached its limit of objects or bytes.",
        lambda: cell.refused_growth,
    )
    health.add(f"{name}-store", store.check)
    health.add(f"{name}-catalog", follows)
    health.add(f"{name}-controllers", controllers)


class StoreCheck:
    """Passes if all ranges may be read, and the last write did not fail because of the store within REMEMBERED_SECONDS.

    The failure is forgotten after that: a shard without requests has no write that could succeed. `clock`: monotonic seconds.
    """

    def __init__(self, cell: Cell, clock: Callable[[], float] = time.monotonic) -> None:
        self._cell = cell
        self._clock = clock
        self._failure: tuple[float, str] | None = None

    def written(self, seconds: float, changes: int, error: StoreError | None) -> None:
        self._failure = (self._clock(), str(error)) if isinstance(error, Unavailable | Indeterminate) else None

    def check(self) -> str | None:
        if self._failure is not None and self._clock() - self._failure[0] < REMEMBERED_SECONDS:
            return f"the last write failed: {self._failure[1]}"
        unreadable = [name for name, range_ in self._cell.ranges.items() if not range_.readable]
        return f"ranges that may not be read: {', '.join(unreadable)}" if unreadable else None
