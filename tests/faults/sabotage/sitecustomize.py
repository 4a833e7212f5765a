"""Python imports this first in every process that has its directory in PYTHONPATH: it takes one protection from the product.

`TENANTRY_SABOTAGE`: "fences" has shards commit without comparing the fences of ranges, "reads" has them answer reads although
nothing proves that they are still the owners, "views" has processes of views answer without asking the store how far it is, and
"events" has them lose what the store tells them now and then.
"""

import asyncio
import os
from collections.abc import Sequence
from itertools import count

from tenantry.storage.etcd.store import EtcdStore
from tenantry.storage.followed_range import FollowedRange
from tenantry.storage.keys import FENCES, JOURNAL
from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.store import Batch, Compare, Delete, Put
from views.present_revision import PresentRevision

WINDOW_SECONDS = 0.05
"""Between a commit's begin and its sending. In nature it is microseconds, and a round in hundreds stops a shard within them."""

LOST_EVERY = 20
"""Batches of a range."""

_commit = EtcdStore.commit
_changed = FollowedRange._changed
_batches = count(1)


async def _unfenced(self: EtcdStore, compares: Sequence[Compare], puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
    if any(compare.key.startswith(JOURNAL.encode()) for compare in compares):
        compares = [compare for compare in compares if not compare.key.startswith(FENCES.encode())]
        await asyncio.sleep(WINDOW_SECONDS)
    return await _commit(self, compares, puts, deletes)


async def _whatever(self: PresentRevision) -> int:
    return 0


def _lossy(self: FollowedRange, batch: Batch) -> None:
    _changed(self, Batch(batch.revision, []) if batch.events and next(_batches) % LOST_EVERY == 0 else batch)


match os.environ.get("TENANTRY_SABOTAGE"):
    case "fences":
        EtcdStore.commit = _unfenced  # type: ignore[method-assign]
    case "reads":
        ReadGuard.alive = property(lambda self: True)  # type: ignore[method-assign, assignment]
    case "views":
        PresentRevision.read = _whatever  # type: ignore[method-assign]
    case "events":
        FollowedRange._changed = _lossy  # type: ignore[method-assign]
