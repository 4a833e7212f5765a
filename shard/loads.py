"""What a shard's ranges hold and how busy they are, told to the registry now and then."""

from __future__ import annotations

import asyncio
import logging

from shard.process import Shard
from tenantry.storage.range import Range
from tenantry.storage.store import StoreError
from tenantry.tenancy.map_rows import RangeLoad

logger = logging.getLogger(__name__)


async def report_loads(shard: Shard, interval_seconds: float) -> None:
    """Until cancelled. A report that fails is made up for by the next one."""
    loop = asyncio.get_running_loop()
    seen: dict[Range, int] = {}
    since = loop.time()
    while True:
        await asyncio.sleep(interval_seconds)
        now = loop.time()
        held = dict(shard.cell.ranges)
        loads = {
            name: RangeLoad(
                tenants=shard.tenants(name),
                objects=range_.size,
                requests=round((range_.requests - seen.get(range_, 0)) / (now - since), 1),
            )
            for name, range_ in held.items()
        }
        seen, since = {range_: range_.requests for range_ in held.values()}, now
        try:
            await shard.session.report(loads)
        except StoreError as error:
            logger.warning("the loads could not be reported", extra={"error": str(error)})
