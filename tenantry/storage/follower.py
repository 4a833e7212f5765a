"""Follows a part of the store: reads it once, then watches it, and opens the watch again when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing

from tenantry.base.backoff import Backoff
from tenantry.base.broadcast import Broadcast
from tenantry.base.signal import Signal
from tenantry.base.tasks import restarting
from tenantry.storage.store import Batch, Compacted, KeyValue, Page, Store, StoreError, Unavailable

logger = logging.getLogger(__name__)

PAGE_KEYS = 10_000
"""Keys in one page. It is large because etcd counts the rest of the interval for every page."""
FIRST_RETRY_SECONDS = 0.02
LAST_RETRY_SECONDS = 1.0
ASKED_AGAIN_SECONDS = 0.05
"""A watch that is being opened hears no request for progress, so it is repeated."""

Load = Callable[[AsyncIterator[Page]], Awaitable[None]]
"""Receives everything at one revision, in pages of at most `PAGE_KEYS`. It is called again if the revision that the watch needs
was compacted, or if the revision that it reads was compacted meanwhile."""


def gathered(loaded: Callable[[Sequence[KeyValue], int], None]) -> Load:
    """A `Load` for small data: it calls `loaded(kvs, revision)` once, with everything."""

    async def load(pages: AsyncIterator[Page]) -> None:
        kvs: list[KeyValue] = []
        revision = 0
        async for page in pages:
            kvs.extend(page.kvs)
            revision = page.revision
        loaded(kvs, revision)

    return load


class Follower:
    """Calls `load` with everything, then `changed(batch)` for every later batch: in order, each once, and none during a load.
    Events come without the state before them, which a subscriber has if it needs it.

    `changed` must not block. If it raises, everything is loaded again, because the state of the subscriber may be inconsistent.

    `parts`: intervals of keys in ascending order. They are read one by one, and watched as one interval from the first to the
    last, so that the writes of one transaction to several parts arrive together. Keys between the parts are delivered too; ignore
    them.
    `name`: for the log. `progress`: whether `progressed` is called; what it costs is told there.
    """

    def __init__(
        self,
        store: Store,
        parts: Sequence[tuple[bytes, bytes]],
        *,
        load: Load,
        changed: Callable[[Batch], None],
        name: str,
        progress: bool = False,
    ) -> None:
        self._store = store
        self._parts = parts
        self._receive = load
        self._changed = changed
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._revision = 0
        """The last revision that was delivered."""
        self._complete = False
        """False before the first load, and if everything has to be loaded again."""
        self._loading = asyncio.Lock()
        self._ask: Broadcast[[]] | None = Broadcast("a watch that is asked for progress") if progress else None
        self._advances = Signal()

    @property
    def following(self) -> bool:
        """Whether the watch runs, or is being opened again."""
        return self._task is not None and not self._task.done()

    @property
    def revision(self) -> int:
        """The revision up to which everything was delivered. Later changes may be delivered too."""
        return self._revision

    async def start(self) -> None:
        """Starts following. Returns when everything up to now was delivered. Raises Unavailable, Damaged."""
        if not await self._load():
            # `reached` loaded it earlier, so it may be behind.
            first = self._parts[0][0]
            await self.reached((await self._store.read(first, first + b"\0", limit=1)).revision)
        self._task = restarting(self._follow, name=f"follow {self._name}")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def reached(self, revision: int) -> None:
        """Returns when everything up to a revision of the store was delivered. May be called before `start`. Raises StoreError.

        Opens a watch of its own: etcd sends progress notifications to a quiet watch only every 10 minutes.
        """
        while self._revision < revision:
            try:
                await self._load()
                async with aclosing(self._watch()) as batches:
                    async for batch in batches:
                        await self._deliver(batch)
                        if self._revision >= revision:
                            break
            except Compacted:
                self._complete = False

    async def progressed(self, revision: int) -> None:
        """As `reached` after `start`, in a round trip: it asks the watch that runs. The caller limits the wait, which does not
        end while the store is away. Raises Unavailable when the follower is stopped. An etcd that does not report progress when
        it is asked (`etcd/server_version.py`) sends all keys of the store to a follower that was made for this."""
        assert self._ask is not None, "made without progress"
        while self._revision < revision:
            if not self.following:
                raise Unavailable(f"{self._name} is not followed any more")
            self._ask.send()
            await self._advances.wait(ASKED_AGAIN_SECONDS)

    def ask_progress(self) -> None:
        """Begins what a later `progressed` waits for, for a caller that asks several followers at one time."""
        assert self._ask is not None, "made without progress"
        self._ask.send()

    async def _load(self) -> bool:
        """Loads everything, unless it is loaded and nothing was missed since. Returns whether it loaded. Raises StoreError."""
        async with self._loading:
            if self._complete:
                return False
            backoff = Backoff.steady(FIRST_RETRY_SECONDS)
            while not self._complete:
                try:
                    revision = await self._read()
                except Compacted:
                    # The revision was compacted while it was read. Start again at a newer one.
                    await backoff.pause()
                else:
                    self._revision = max(self._revision, revision)
                    self._complete = True
                    self._advances.send()
            return True

    async def _read(self) -> int:
        revision: int | None = None

        async def pages() -> AsyncGenerator[Page, None]:
            nonlocal revision
            for start, end in self._parts:
                while True:
                    page = await self._store.read(start, end, revision=revision, limit=PAGE_KEYS)
                    revision = page.revision
                    yield page
                    if not page.more:
                        break
                    start = page.kvs[-1].key + b"\0"

        async with aclosing(pages()) as reading:
            await self._receive(reading)
        assert revision is not None, "a load takes all pages"
        return revision

    async def _follow(self) -> None:
        backoff = Backoff(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, jitter=0.0)
        while True:
            try:
                await self._load()
                async with aclosing(self._watch()) as batches:
                    async for batch in batches:
                        backoff.reset()
                        await self._deliver(batch)
            except Compacted:
                self._complete = False
            except StoreError as error:
                logger.warning("the watch of %s failed, retrying", self._name, extra={"error": str(error)})
            await backoff.pause()

    def _watch(self) -> AsyncGenerator[Batch, None]:
        start, end = self._parts[0][0], self._parts[-1][1]
        return self._store.watch(start, end, from_revision=self._revision + 1, asked=self._ask, previous=False)

    async def _deliver(self, batch: Batch) -> None:
        if self._loading.locked():
            async with self._loading:
                pass
        # Two watches may show the same batch, and a member of etcd that lags may show older ones than the member before it.
        if batch.revision <= self._revision:
            return
        try:
            self._changed(batch)
        except Exception:  # raised again: the batch may be applied in part, so everything is read again
            self._complete = False
            raise
        self._revision = batch.revision
        if self._ask is not None:
            self._advances.send()
