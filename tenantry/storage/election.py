"""Leader election: the process that owns a leased key leads. An election is a convenience, not a proof.

A leader that has lost its lease may not know it for a moment. So the work of a leader must be correct when two processes do it:
it must compare in every transaction.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any

from tenantry.base.backoff import Backoff
from tenantry.base.tasks import awaited, restarting
from tenantry.storage.keys import ELECTION
from tenantry.storage.store import Compare, CompareFailed, Indeterminate, LeaseGone, Put, Store, StoreError

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5


class Election:
    """Campaigns for `/election/<service>` with the value `identity`, until `stop`. Runs `lead` while elected, and cancels it when
    the lease is lost. If `lead` ends or raises, the process stops leading and campaigns again."""

    def __init__(
        self,
        store: Store,
        service: str,
        identity: str,
        lead: Callable[[], Coroutine[Any, Any, None]],
        *,
        ttl_seconds: float = 2.0,
    ) -> None:
        self._store = store
        self._key = f"{ELECTION}{service}".encode()
        self._identity = identity
        self._lead = lead
        self._ttl_seconds = ttl_seconds
        # Steady: there is no leader in a pause.
        self._backoff = Backoff.steady(RETRY_SECONDS)
        self._task: asyncio.Task[None] | None = None
        self.leading = False

    def __repr__(self) -> str:
        return f"<Election {self._key.decode()} {self._identity} leading={self.leading}>"

    def start(self) -> None:
        self._task = restarting(self._campaign, name=f"election {self._key.decode()}")

    async def stop(self) -> None:
        """Stops leading and revokes the lease, so that another process does not have to wait until the lease expires."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def leader(self) -> str:
        """The identity of the leader, empty if there is none. Raises Unavailable."""
        page = await self._store.read(self._key, self._key + b"\0")
        return page.kvs[0].value.decode() if page.kvs else ""

    async def _campaign(self) -> None:
        while True:
            try:
                await self._once()
            except StoreError as error:
                logger.warning("campaign for %s failed, retrying", self._key.decode(), extra={"error": str(error)})
                await self._backoff.pause()

    async def _once(self) -> None:
        """Runs one campaign and, if it succeeds, one term."""
        await self._vacant()
        sent_at = time.monotonic()
        lease = await self._store.grant_lease(self._ttl_seconds)
        try:
            if await self._win(lease):
                await self._term(lease, sent_at)
        finally:
            with suppress(StoreError):
                await self._store.revoke_lease(lease)

    async def _vacant(self) -> None:
        """Returns when there is no leader."""
        page = await self._store.read(self._key, self._key + b"\0")
        if not page.kvs:
            return
        async with aclosing(self._store.watch(self._key, self._key + b"\0", from_revision=page.revision + 1)) as batches:
            async for batch in batches:
                if batch.events and batch.events[-1].deleted:
                    return

    async def _win(self, lease: int) -> bool:
        try:
            await self._store.commit([Compare(self._key, 0)], [Put(self._key, self._identity.encode(), 0, lease)], [])
        except (CompareFailed, Indeterminate):
            # Another process was first, or the answer was lost. In the second case the key, if it is ours, is deleted with its
            # lease.
            return False
        return True

    async def _term(self, lease: int, sent_at: float) -> None:
        logger.info("became leader", extra={"election": self._key.decode(), "identity": self._identity})
        self.leading = True
        work = awaited(self._lead(), name=f"leader {self._key.decode()}")
        try:
            await self._hold(lease, sent_at, work)
        finally:
            self.leading = False
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            logger.info("stopped leading", extra={"election": self._key.decode(), "identity": self._identity})
        if not work.cancelled() and (error := work.exception()) is not None:
            logger.error("the work of the leader failed, campaigning again", exc_info=error)
            await self._backoff.pause()

    async def _hold(self, lease: int, sent_at: float, work: asyncio.Task[None]) -> None:
        """Renews the lease until it is lost or the work ends."""
        deadline = sent_at + self._ttl_seconds
        while True:
            await asyncio.wait([work], timeout=self._ttl_seconds / 4)
            if work.done():
                return
            sent_at = time.monotonic()
            if sent_at >= deadline:
                return
            try:
                async with asyncio.timeout(deadline - sent_at):
                    await self._store.keep_alive(lease)
            except (LeaseGone, TimeoutError):
                return
            except StoreError as error:
                logger.warning("failed to renew the leader's lease", extra={"error": str(error)})
            else:
                deadline = sent_at + self._ttl_seconds
