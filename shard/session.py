"""A shard's session: the leased key that says it lives. While that is proved, its reads may be answered from memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.store import LeaseGone, Put, Store, StoreError
from tenantry.tenancy.directory import ShardInfo
from tenantry.tenancy.map_rows import LoadRow, RangeLoad, SessionRow, encode, load_key, session_key

logger = logging.getLogger(__name__)

RENEWALS = 4
"""Keepalives in the life of a lease: three may fail before it ends."""
MARGIN = 0.1
"""The part of the lease's life by which a shard stops reading earlier than the store may end it: clocks run differently fast."""


class Session:
    """The session of one shard. `guard` is renewed by each acknowledged keepalive, from the moment when it was sent.

    `seen(revision)` returns when the shard has seen the map of ranges at that revision: what others took while there was no
    session is known by then, and from then on nobody takes anything from this shard unasked.
    `lost` is called when the lease ended although the shard lives: from then on others may own its ranges, so it has to give up
    what it holds; then the session begins anew, and what the fences still say is its own can be taken up again.
    """

    def __init__(
        self,
        store: Store,
        info: ShardInfo,
        guard: ReadGuard,
        *,
        ttl_seconds: float = 2.0,
        seen: Callable[[int], Awaitable[None]],
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._info = info
        self._guard = guard
        self._ttl_seconds = ttl_seconds
        self._seen = seen
        self._lost = lost
        self._lease = 0
        self._draining = False
        self._task: asyncio.Task[None] | None = None
        guard.deadline = 0.0

    def __repr__(self) -> str:
        return f"<Session {self._info.name} {self._info.uid} lease={self._lease} draining={self._draining}>"

    async def start(self) -> None:
        """Returns when the session is in the store. Raises Unavailable, Indeterminate."""
        await self._begin()
        self._task = asyncio.create_task(self._keep(), name=f"session {self._info.name}")

    async def drain(self) -> None:
        """Says that the ranges should go elsewhere. Raises Unavailable, Indeterminate."""
        self._draining = True
        await self._write()

    async def report(self, loads: Mapping[str, RangeLoad]) -> None:
        """What the ranges hold, for the registry's balance. Raises StoreError."""
        await self._store.commit([], [Put(load_key(self._info.uid), encode(LoadRow(dict(loads))), 0, self._lease)], [])

    async def stop(self) -> None:
        """Ends the session now; whatever the shard still owns goes to others. Reads are refused from here on."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._guard.deadline = 0.0
        try:
            await self._store.revoke_lease(self._lease)
        except StoreError as error:
            logger.warning("the session ends when its time is over", extra={"error": str(error)})

    async def _begin(self) -> None:
        sent_at = time.monotonic()
        self._lease = await self._store.grant_lease(self._ttl_seconds)
        await self._seen(await self._write())
        self._renewed(sent_at)

    async def _write(self) -> int:
        info = self._info
        row = SessionRow(info.name, info.url, self._lease, "draining" if self._draining else "serving")
        return await self._store.commit([], [Put(session_key(info.uid), encode(row), 0, self._lease)], [])

    def _renewed(self, sent_at: float) -> None:
        self._guard.renewed(sent_at, self._ttl_seconds, self._ttl_seconds * MARGIN)

    async def _keep(self) -> None:
        gone = False
        while True:
            await asyncio.sleep(self._ttl_seconds / RENEWALS)
            sent_at = time.monotonic()
            try:
                if gone:
                    await self._begin()
                    gone = False
                    continue
                await self._store.keep_alive(self._lease)
                self._renewed(sent_at)
            except LeaseGone:
                logger.error("the session of shard %s has ended; it begins anew", self._info.name)
                self._guard.deadline = 0.0
                if not gone:
                    self._lost()
                gone = True
            except StoreError as error:
                logger.warning("the session could not be renewed", extra={"error": str(error)})
