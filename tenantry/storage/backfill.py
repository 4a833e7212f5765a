"""The recent past of ranges that were taken from another shard: read from the store while they are served already."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from tenantry.base.tasks import restarting
from tenantry.storage.load import ParseHead, seed_range
from tenantry.storage.range import Range
from tenantry.storage.store import Damaged, Store, StoreError

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""The store reads all that was written meanwhile for each of them, and more would only finish later."""
FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 1.0


class Seeding:
    """Whoever needs the past waits for it (`Range.past`); reads of the present and writes do not.

    `revisions`: how far back it goes.
    """

    def __init__(self, store: Store, parse_head: ParseHead, revisions: int) -> None:
        self._store = store
        self._parse_head = parse_head
        self._revisions = revisions
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[Range, asyncio.Task[None]] = {}

    def begin(self, range_: Range, revision: int, first: int) -> None:
        """For a range that was loaded at `revision` and in which nothing is older than `first`."""
        range_.awaits_past()
        task = restarting(partial(self._seed, range_, revision, first), name=f"past of range {range_.name}", ends=True)
        self._tasks[range_] = task
        task.add_done_callback(lambda _: self._ended(range_))

    def end(self, range_: Range) -> None:
        """The range is given up: nobody gets a past from here."""
        if (task := self._tasks.get(range_)) is not None:
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _seed(self, range_: Range, revision: int, first: int) -> None:
        delay = FIRST_RETRY_SECONDS
        async with self._turn:
            while True:
                try:
                    await seed_range(self._store, range_, self._parse_head, revision, self._revisions, first)
                    return
                except Damaged as error:
                    # Watches that resume list again; the objects themselves are whole.
                    logger.error("the past of range %s is damaged", range_.name, extra={"error": str(error)})
                    return
                except StoreError as error:
                    about = {"error": str(error)}
                    logger.warning("the past of range %s cannot be read; trying again", range_.name, extra=about)
                await asyncio.sleep(delay)
                delay = min(2 * delay, LAST_RETRY_SECONDS)

    def _ended(self, range_: Range) -> None:
        range_.past_ended()
        del self._tasks[range_]
