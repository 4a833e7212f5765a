"""A shard's session: the leased key that says that it lives. While that is proved, reads may be answered from memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from tenantry.base.backoff import Backoff
from tenantry.base.tasks import restarting
from tenantry.placement.heartbeat import Heartbeat, OpenStore
from tenantry.placement.map import ShardInfo
from tenantry.placement.map_rows import LoadRow, RangeLoad, SessionRow, encode, load_key, session_key
from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.store import LeaseGone, Put, Store, StoreError

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.2


class Session:
    """The session of one shard. `guard` is renewed by each acknowledged keepalive, from the moment when it was sent.

    `seen(revision)` returns when the shard has seen the map of ranges at that revision: what others acquired while there was
    no session is known by then, and from then on nobody acquires anything of this shard unasked.
    `lost` is called when the lease ended although the shard lives: from then on others may own its ranges, so it has to
    release all of them; then the session begins anew, and those whose fences still name it can be acquired again.
    `doubted` is called when the session was not proved in time, so that reads are refused: it may be alive, and may be lost.
    `open_store` makes a connection for the heartbeat alone; without one it shares `store` and the loop.
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
        doubted: Callable[[], None] = lambda: None,
        open_store: OpenStore | None = None,
    ) -> None:
        self._store = store
        self._info = info
        self._guard = guard
        self._ttl_seconds = ttl_seconds
        self._seen = seen
        self._lost = lost
        self._doubted = doubted
        self._heartbeat = Heartbeat(store, guard, ttl_seconds=ttl_seconds, gone=self._gone, open_store=open_store)
        self._lease = 0
        self._draining = False
        self._beginning: asyncio.Task[None] | None = None
        self._proof_watch: asyncio.Task[None] | None = None
        guard.deadline = 0.0

    def __repr__(self) -> str:
        return f"<Session {self._info.name} {self._info.uid} lease={self._lease} draining={self._draining}>"

    async def start(self) -> None:
        """Returns when the session is in the store. Raises Unavailable, Indeterminate."""
        self._heartbeat.start()
        await self._begin()
        self._proof_watch = restarting(self._watch_proof, name=f"session {self._info.name}")

    async def drain(self) -> None:
        """Writes that the ranges should go to other shards. Raises StoreError."""
        self._draining = True
        await self._write()

    async def report(self, loads: Mapping[str, RangeLoad]) -> None:
        """What the ranges hold, for the registry's balance. Raises StoreError."""
        await self._store.commit([], [Put(load_key(self._info.uid), encode(LoadRow(dict(loads))), 0, self._lease)], [])

    async def stop(self) -> None:
        """Ends the session now; whatever the shard still owns goes to others. Reads are refused from here on."""
        tasks = [task for task in (self._beginning, self._proof_watch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._heartbeat.stop()
        self._guard.deadline = 0.0
        if not self._lease:
            return
        try:
            await self._store.revoke_lease(self._lease)
        except StoreError as error:
            logger.warning("the session ends when its time is over", extra={"error": str(error)})

    async def _begin(self) -> None:
        sent_at = time.monotonic()
        lease = self._lease = await self._store.grant_lease(self._ttl_seconds)
        # It is kept alive at once, but proves nothing before it is known what others have acquired.
        self._heartbeat.renew(lease, proves=False)
        await self._seen(await self._write())
        self._heartbeat.renew(lease, proves=True)
        self._heartbeat.acknowledged(sent_at)

    async def _write(self) -> int:
        info = self._info
        row = SessionRow(info.name, info.url, self._lease, "draining" if self._draining else "serving")
        return await self._store.commit([], [Put(session_key(info.uid), encode(row), 0, self._lease)], [])

    def _gone(self, lease: int) -> None:
        if lease != self._lease or (self._beginning is not None and not self._beginning.done()):
            return
        logger.error("the session of shard %s has ended; it begins anew", self._info.name)
        self._lost()
        self._beginning = restarting(self._again, name=f"new session {self._info.name}", ends=True)

    async def _again(self) -> None:
        backoff = Backoff.steady(RETRY_SECONDS)
        while True:
            try:
                await self._begin()
                return
            except LeaseGone:
                logger.warning("a session ended before it began; trying again")
            except StoreError as error:
                logger.warning("no session can be begun; trying again", extra={"error": str(error)})
            await backoff.pause()

    async def _watch_proof(self) -> None:
        """Notices when the proof ran out."""
        alive = True
        while True:
            left = self._guard.deadline - time.monotonic()
            if left > 0:
                alive = True
                await asyncio.sleep(left)
                continue
            if alive:
                alive = False
                logger.warning("the session of shard %s is not proved; reads are refused", self._info.name)
                self._doubted()
            await asyncio.sleep(self._ttl_seconds / 8)
