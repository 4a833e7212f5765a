"""Reports the load of a shard's ranges to the registry: tenants, objects, and requests per second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from tenantry.base.tasks import restarting
from tenantry.placement.map_rows import RangeLoad
from tenantry.placement.session import Session
from tenantry.storage.range import Range
from tenantry.storage.store import StoreError

AGAIN_SECONDS = 60.0
"""An unchanged report is repeated after this time, because a new session has none."""

logger = logging.getLogger(__name__)


@asynccontextmanager
async def reporting_loads(
    ranges: Mapping[str, Range], tenants: Callable[[str], int], session: Session, interval_seconds: float
) -> AsyncIterator[None]:
    """Reports every `interval_seconds` in the context. `ranges`: those of the shard. `tenants`: how many a range has, by its
    name."""
    task = restarting(partial(_report, ranges, tenants, session, interval_seconds), name="report loads")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _report(ranges: Mapping[str, Range], tenants: Callable[[str], int], session: Session, interval_seconds: float) -> None:
    """Runs until cancelled. After a failed report, the next one has all values again."""
    loop = asyncio.get_running_loop()
    reported: dict[str, RangeLoad] | None = None
    reported_at = 0.0
    seen: dict[Range, int] = {}
    since = loop.time()
    while True:
        await asyncio.sleep(interval_seconds)
        now = loop.time()
        now_owned = dict(ranges)
        loads = {
            name: RangeLoad(
                tenants=tenants(name),
                objects=range_.size,
                requests=round((range_.requests - seen.get(range_, 0)) / (now - since), 1),
            )
            for name, range_ in now_owned.items()
        }
        seen, since = {range_: range_.requests for range_ in now_owned.values()}, now
        if loads == reported and now - reported_at < AGAIN_SECONDS:
            continue
        try:
            await session.report(loads)
            reported, reported_at = loads, now
        except StoreError as error:
            logger.warning("cannot report the loads, retrying", extra={"error": str(error)})
