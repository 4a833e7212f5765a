"""Registers a process of views in the store, as long as it lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from tenantry.base.backoff import Backoff
from tenantry.base.tasks import restarting
from tenantry.placement.map_rows import decode, encode
from tenantry.placement.view_rows import ViewNameRow, ViewProcessRow, view_name_key, view_process_key
from tenantry.storage.keys import VIEW_PROCESSES, prefix_end
from tenantry.storage.store import Compare, CompareFailed, Delete, LeaseGone, Put, Store, StoreError

logger = logging.getLogger(__name__)

RENEWALS = 4
"""Keepalives during the TTL of the lease: three may fail before it expires."""
RETRY_SECONDS = 0.2


class ViewRegistration:
    """The leased key of one process, and the names of its views, which have no lease: after a crash, requests for these views
    wait for a process that serves them, and do not fall on shards.

    The lease is renewed by the loop that serves the views. So a process whose views block it is not asked any more.

    `row`: what to register. `why_not()`: why the process is not ready, empty where it is. `ttl_seconds`: of the lease.
    """

    def __init__(
        self, store: Store, uid: str, row: ViewProcessRow, *, why_not: Callable[[], str] = lambda: "", ttl_seconds: float = 5.0
    ) -> None:
        self._store = store
        self._uid = uid
        self._row = row
        self._why_not = why_not
        self._ttl_seconds = ttl_seconds
        self._lease = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when the process is registered. Raises StoreError."""
        await self._register()
        self._task = restarting(self._renew, name="the registration of views")

    async def drain(self) -> None:
        """Says that the process is about to end, so that others get new requests. Where there is no other one for each view, it
        goes on serving until `stop`. Raises StoreError."""
        if set(self._row.views) <= await _served(self._store, without=self._uid):
            self._row = replace(self._row, state="draining")
            await self._put()

    async def stop(self) -> None:
        """Ends the registration. Where no other process serves a view of this one, shards serve it from now on, as far as they
        have it."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            # First, so that there is no moment at which requests find neither a process nor a shard. Once more after it, because
            # two processes that end at one time each take the other one for the one that stays.
            await forget_views(self._store, self._row.views, without=self._uid)
            await self._store.revoke_lease(self._lease)
            await forget_views(self._store, self._row.views)
        except StoreError as error:
            logger.warning("cannot end the registration of views; it expires by itself", extra={"error": str(error)})

    async def _register(self) -> None:
        self._lease = await self._store.grant_lease(self._ttl_seconds)
        await self._put()

    async def _put(self) -> None:
        row = self._row = replace(self._row, why=self._why_not())
        puts = [Put(view_process_key(self._uid), encode(row), 0, self._lease)]
        puts += [Put(view_name_key(view), encode(ViewNameRow(self._uid))) for view in row.views]
        await self._store.commit([], puts, [])

    async def _renew(self) -> None:
        backoff = Backoff.steady(RETRY_SECONDS)
        while True:
            await asyncio.sleep(self._ttl_seconds / RENEWALS)
            try:
                await self._store.keep_alive(self._lease)
                if self._why_not() != self._row.why:
                    await self._put()
            except LeaseGone:
                logger.error("the registration of views expired; registering again")
                await self._again(backoff)
            except StoreError as error:
                logger.warning("cannot renew the registration of views, retrying", extra={"error": str(error)})

    async def _again(self, backoff: Backoff) -> None:
        while True:
            try:
                await self._register()
                return
            except StoreError as error:
                logger.warning("cannot register the views, retrying", extra={"error": str(error)})
            await backoff.pause()


async def _served(store: Store, *, without: str = "") -> set[str]:
    """The views that living processes serve and go on serving. `without`: the uid of a process that does not count. Raises
    StoreError."""
    prefix = VIEW_PROCESSES.encode()
    page = await store.read(prefix, prefix_end(prefix))
    served: set[str] = set()
    for kv in page.kvs:
        try:
            row = decode(kv.value, ViewProcessRow)
        except ValueError:
            # Gateways and shards skip it, too.
            continue
        if kv.key != view_process_key(without) and row.state != "draining":
            served.update(row.views)
    return served


async def forget_views(store: Store, views: Sequence[str], *, without: str = "") -> list[str]:
    """Gives these views back to the shards, but for those that a living process serves. `without`: the uid of a process that does
    not count. Returns those that it gave back. Raises StoreError."""
    forgotten: list[str] = []
    for view in views:
        key = view_name_key(view)
        # Read before the processes: one that registers meanwhile puts it again, and the transaction fails.
        name = await store.read(key, key + b"\0")
        if not name.kvs or view in await _served(store, without=without):
            continue
        try:
            await store.commit([Compare(key, name.kvs[0].mod_revision)], [], [Delete(key)])
        except CompareFailed:
            continue
        forgotten.append(view)
    return forgotten
