"""Reads the history of acquired ranges from the store, while the ranges are already served."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from functools import partial

from tenantry.base.backoff import Backoff
from tenantry.base.tasks import restarting
from tenantry.base.time_slices import in_slices, turns
from tenantry.storage import resource_version
from tenantry.storage.history import History
from tenantry.storage.keys import interval
from tenantry.storage.load import ParseHead, events_of
from tenantry.storage.range import Range
from tenantry.storage.store import Compacted, Damaged, Store, StoreError

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""How many ranges are backfilled at the same time. For each of them the store reads every revision of all ranges, so more would
not be faster."""
FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 1.0


class Backfills:
    """Reads the history of the ranges that a shard acquired, in the background.

    A read that needs older history waits for `Range.backfilled`. Other reads and writes do not wait.

    `revisions`: how many revisions of the store are read.
    """

    def __init__(self, store: Store, parse_head: ParseHead, revisions: int) -> None:
        self._store = store
        self._parse_head = parse_head
        self._revisions = revisions
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[Range, asyncio.Task[None]] = {}

    def begin(self, range_: Range, revision: int, first: int) -> None:
        """Starts the backfill of a range. `revision`: where the range was loaded. `first`: the oldest revision that can concern
        it."""
        range_.expect_backfill()
        task = restarting(partial(self._run, range_, revision, first), name=f"backfill of range {range_.name}", ends=True)
        self._tasks[range_] = task
        task.add_done_callback(lambda _: self._ended(range_))

    def end(self, range_: Range) -> None:
        """Stops the backfill of a released range. Its history stays as it is."""
        if (task := self._tasks.get(range_)) is not None:
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, range_: Range, revision: int, first: int) -> None:
        backoff = Backoff(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, jitter=0.0)
        async with self._turn:
            while True:
                try:
                    await backfill_range(self._store, range_, self._parse_head, revision, self._revisions, first)
                    return
                except Damaged as error:
                    # The objects are intact. Only clients that resume a watch have to list again.
                    logger.error(
                        "cannot read the history of range %s: the store is damaged", range_.name, extra={"error": str(error)}
                    )
                    return
                except StoreError as error:
                    about = {"error": str(error)}
                    logger.warning("cannot read the history of range %s, retrying", range_.name, extra=about)
                await backoff.pause()

    def _ended(self, range_: Range) -> None:
        range_.backfill_ended()
        del self._tasks[range_]


async def backfill_range(
    store: Store, range_: Range, parse_head: ParseHead, revision: int, revisions: int, first: int = 1
) -> None:
    """Adds to a range that was loaded at `revision` the history of up to `revisions` revisions before, as far as the store has
    it.

    `first`: the revision that created the range. Reading older revisions would find nothing of it and cost the store as much.
    """
    since = max(1, revision - revisions + 1)
    try:
        histories = await _histories(store, range_, parse_head, max(since, first), revision)
    except Compacted as compacted:
        since = compacted.revision
        if since > revision:
            return
        try:
            histories = await _histories(store, range_, parse_head, since, revision)
        except Compacted:
            # The store compacts faster than this reads. Only clients that resume a watch from before the load have to list again.
            return
    oldest = resource_version.end_of_revision(store.cell, since - 1)
    async for resource in in_slices(tuple(histories), 1):
        range_.backfill_resource(resource, histories[resource])
    range_.backfill_complete(histories, oldest)


async def _histories(store: Store, range_: Range, parse_head: ParseHead, since: int, until: int) -> dict[str, History]:
    """Reads the events from `since` to `until`, both included. Returns a history for each resource, bounded as every history."""
    found: dict[str, History] = {}
    oldest = resource_version.end_of_revision(store.cell, since - 1)
    start, end = interval(range_.start, range_.end)
    # A watch reports progress when it has shown everything, so this loop ends in a quiet range too.
    async with aclosing(store.watch(start, end, from_revision=since)) as watch:
        async for batch in watch:
            if batch.revision <= until:
                for event in events_of(store.cell, batch, parse_head):
                    range_.append_backfill(found, event, oldest)
                await turns.rest()
            if batch.revision >= until:
                break
    return found
