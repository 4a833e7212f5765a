"""Python imports this first in every process that has its directory in PYTHONPATH: it takes one protection from the product.

`TENANTRY_SABOTAGE`: "fences" has shards commit without comparing the fences of ranges, "reads" has them answer reads although
nothing proves that they are still the owners.
"""

import asyncio
import os
from collections.abc import Sequence

from tenantry.storage.etcd.store import EtcdStore
from tenantry.storage.keys import FENCES, JOURNAL
from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.store import Compare, Delete, Put

WINDOW_SECONDS = 0.05
"""Between a commit's begin and its sending. In nature it is microseconds, and a round in hundreds stops a shard within them."""

_commit = EtcdStore.commit


async def _unfenced(self: EtcdStore, compares: Sequence[Compare], puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
    if any(compare.key.startswith(JOURNAL.encode()) for compare in compares):
        compares = [compare for compare in compares if not compare.key.startswith(FENCES.encode())]
        await asyncio.sleep(WINDOW_SECONDS)
    return await _commit(self, compares, puts, deletes)


match os.environ.get("TENANTRY_SABOTAGE"):
    case "fences":
        EtcdStore.commit = _unfenced  # type: ignore[method-assign]
    case "reads":
        ReadGuard.alive = property(lambda self: True)  # type: ignore[method-assign, assignment]
