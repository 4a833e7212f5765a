"""The loads of the ranges, as reported by the shards."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tenantry.placement.map_rows import LoadRow, RangeLoad, decode
from tenantry.storage.follower import Follower, gathered
from tenantry.storage.keys import LOADS, prefix_end
from tenantry.storage.store import Batch, KeyValue, Store

logger = logging.getLogger(__name__)

OBJECTS_IN_TENANT = 10
"""This number of objects weighs as much as one empty tenant or one request per second."""
EMPTY_WEIGHT = 10.0
"""The weight of an empty range: it will get tenants, and a move has a cost."""
_NOTHING = RangeLoad()


def weight(tenants: int, objects: int, requests: float) -> float:
    """The load of a range: EMPTY_WEIGHT + tenants + objects / OBJECTS_IN_TENANT + requests per second."""
    return EMPTY_WEIGHT + tenants + objects / OBJECTS_IN_TENANT + requests


class Loads:
    """Follows the reports under `/loads/`. A range whose owner is gone keeps its last load."""

    def __init__(self, store: Store) -> None:
        self._ranges: dict[str, RangeLoad] = {}
        prefix = LOADS.encode()
        self._follower = Follower(
            store, [(prefix, prefix_end(prefix))], load=gathered(self._loaded), changed=self._changed, name="the loads of ranges"
        )

    async def start(self) -> None:
        await self._follower.start()

    async def stop(self) -> None:
        await self._follower.stop()

    def of(self, range_name: str) -> RangeLoad:
        return self._ranges.get(range_name, _NOTHING)

    def weight(self, range_name: str) -> float:
        load = self.of(range_name)
        return weight(load.tenants, load.objects, load.requests)

    def _loaded(self, kvs: Sequence[KeyValue], _: int) -> None:
        for kv in kvs:
            self._take(kv)

    def _changed(self, batch: Batch) -> None:
        for event in batch.events:
            if not event.deleted:
                self._take(event.kv)

    def _take(self, kv: KeyValue) -> None:
        try:
            self._ranges.update(decode(kv.value, LoadRow).ranges)
        except ValueError as error:
            logger.error("skipping an unreadable load report", extra={"key": kv.key.decode(), "error": str(error)})
