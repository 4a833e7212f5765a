"""The session of a shard: a key with a lease that says that the shard lives. While the lease is confirmed, reads are served
from memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from tenantry.base.tasks import restarting
from tenantry.placement.heartbeat import Heartbeat, OpenStore
from tenantry.placement.map import ShardInfo
from tenantry.placement.map_rows import LoadRow, RangeLoad, SessionRow, encode, load_key, session_key
from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.store import LeaseGone, Put, Store, StoreError

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.2


class Session:
    """The session of one shard.

    `guard`: each acknowledged keepalive extends it, from the time at which the keepalive was sent.
    `ttl_seconds`: of the lease.
    `seen(revision)`: waits until the map has reached a revision. The map then shows what other shards acquired while there was
    no session. From then on, no shard acquires a range of this one without its consent.
    `lost()`: the lease expired, so other shards may own the ranges: release all of them. A new session starts, and ranges whose
    fences still name this shard can be acquired again.
    `doubted()`: no keepalive was acknowledged in time. Reads are refused until one is.
    `open_store`: opens a connection for the heartbeat; without it, the heartbeat uses `store` and the present event loop.
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
        """Marks the session as draining: the registry moves the ranges to other shards. Raises StoreError."""
        self._draining = True
        await self._write()

    async def report(self, loads: Mapping[str, RangeLoad]) -> None:
        """Puts the loads of the ranges by name, for the registry's balancing. Raises StoreError."""
        await self._store.commit([], [Put(load_key(self._info.uid), encode(LoadRow(dict(loads))), 0, self._lease)], [])

    async def stop(self) -> None:
        """Ends the session: the registry gives the remaining ranges to other shards. Reads are refused from now on."""
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
            logger.warning("cannot revoke the session lease; it expires by itself", extra={"error": str(error)})

    async def _begin(self) -> None:
        sent_at = time.monotonic()
        lease = self._lease = await self._store.grant_lease(self._ttl_seconds)
        # The lease is renewed at once, but it confirms ownership only when `seen` has returned.
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
        logger.error("the session of shard %s expired; starting a new one", self._info.name)
        self._lost()
        self._beginning = restarting(self._again, name=f"new session {self._info.name}", ends=True)

    async def _again(self) -> None:
        while True:
            try:
                await self._begin()
                return
            except LeaseGone:
                logger.warning("the new session expired before it was usable, retrying")
            except StoreError as error:
                logger.warning("cannot create a session, retrying", extra={"error": str(error)})
            await asyncio.sleep(RETRY_SECONDS)

    async def _watch_proof(self) -> None:
        """Calls `doubted` when the lease was not confirmed in time."""
        alive = True
        while True:
            left = self._guard.deadline - time.monotonic()
            if left > 0:
                alive = True
                await asyncio.sleep(left)
                continue
            if alive:
                alive = False
                logger.warning("the session lease of shard %s was not renewed in time; refusing reads", self._info.name)
                self._doubted()
            await asyncio.sleep(self._ttl_seconds / 8)
