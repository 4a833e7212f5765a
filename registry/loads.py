"""The loads of ranges, as the shards report them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tenantry.placement.map_rows import LoadRow, RangeLoad, decode
from tenantry.storage.follower import Follower, gathered
from tenantry.storage.keys import LOADS, prefix_end
from tenantry.storage.store import Batch, KeyValue, Store

logger = logging.getLogger(__name__)

OBJECTS_IN_TENANT = 10
"""So many objects weigh as much as one tenant without any, or as one request in a second."""
EMPTY_WEIGHT = 10.0
"""The weight of a range that holds nothing: it will fill, and moving it is not free."""
_NOTHING = RangeLoad()


def weight(tenants: int, objects: int, requests: float) -> float:
    """Of a range with so many tenants and objects that answers so many requests in a second; positive."""
    return EMPTY_WEIGHT + tenants + objects / OBJECTS_IN_TENANT + requests


class Loads:
    """Follows `/loads/`. A range whose owner is gone keeps its last load."""

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
            logger.error("a load cannot be read and is left out", extra={"key": kv.key.decode(), "error": str(error)})
