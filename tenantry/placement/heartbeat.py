"""Renews the lease of a shard's session in time, also while the event loop is busy."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from tenantry.base.tasks import essential, fatal
from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.store import LeaseGone, Store, StoreError

logger = logging.getLogger(__name__)

RENEWALS = 4
"""Keepalives during the TTL of a lease: three may fail before it expires."""
MARGIN = 0.1
"""A shard stops reading this part of the TTL before the store may end the lease, because clocks run at different speeds."""

OpenStore = Callable[[], Awaitable[Store]]


class RenewedLease(NamedTuple):
    """The lease to renew. `proves`: an acknowledged renewal proves that the shard still owns its ranges."""

    lease: int
    proves: bool


class Heartbeat:
    """Renews the lease of the present session. `guard` gets the time at which each acknowledged keepalive was sent.

    With `open_store` it has its own thread, event loop and connection, so that a shard whose loop computes for seconds does not
    lose its ranges. Without it, it runs on the loop that called `start` and uses `store` (SQLite, which serves one process).
    `ttl_seconds`: of the lease. `gone(lease)` is called on the loop that called `start`, when the lease has expired.
    """

    def __init__(
        self,
        store: Store,
        guard: ReadGuard,
        *,
        ttl_seconds: float,
        gone: Callable[[int], None],
        open_store: OpenStore | None = None,
    ) -> None:
        self._store = store
        self._guard = guard
        self._ttl_seconds = ttl_seconds
        self._gone = gone
        self._open_store = open_store
        self._renewed: RenewedLease | None = None
        self._owner_loop: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False

    def start(self) -> None:
        self._owner_loop = asyncio.get_running_loop()
        if self._open_store is None:
            self._task = essential(self._beat(self._store), name="heartbeat")
            return
        self._thread = threading.Thread(target=self._run, args=(self._open_store,), name="heartbeat", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Stops the renewal. Returns when it has ended."""
        self._renewed = None
        # The thread sets `_task` and then reads this flag. So either the thread sees the flag, or this call sees the task.
        self._stopping = True
        if self._thread is None:
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
        else:
            if self._loop is not None and self._task is not None:
                with suppress(RuntimeError):  # the thread's loop has ended
                    self._loop.call_soon_threadsafe(self._task.cancel)
            await asyncio.to_thread(self._thread.join)

    def renew(self, lease: int, *, proves: bool) -> None:
        """Renews this lease from now on. May be called from any thread: it assigns one reference."""
        self._renewed = RenewedLease(lease, proves)

    def acknowledged(self, sent_at: float) -> None:
        """Extends the time in which reads are allowed. `sent_at`: when an acknowledged keepalive was sent (monotonic seconds)."""
        self._guard.renewed(sent_at, self._ttl_seconds, self._ttl_seconds * MARGIN)

    def _run(self, open_store: OpenStore) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            try:
                runner.run(self._own(open_store))
            except asyncio.CancelledError:
                return
            except Exception as error:  # without renewals the process must not go on
                self._on_owner_loop(fatal, "the heartbeat ended", error)

    async def _own(self, open_store: OpenStore) -> None:
        self._task = asyncio.current_task()
        if self._stopping:
            return
        while True:
            try:
                store = await open_store()
                break
            except StoreError as error:
                logger.warning("the heartbeat cannot connect to the store, retrying", extra={"error": str(error)})
                await asyncio.sleep(self._ttl_seconds / RENEWALS)
        try:
            await self._beat(store)
        finally:
            await store.close()

    async def _beat(self, store: Store) -> None:
        interval = self._ttl_seconds / RENEWALS
        due = time.monotonic()
        while True:
            due = max(due + interval, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            renewed = self._renewed
            if renewed is None:
                continue
            sent_at = time.monotonic()
            try:
                await store.keep_alive(renewed.lease)
            except LeaseGone:
                if self._renewed == renewed:
                    self._renewed = None
                    self._guard.deadline = 0.0
                    self._on_owner_loop(self._gone, renewed.lease)
            except StoreError as error:
                logger.warning("cannot renew the session lease, retrying", extra={"error": str(error)})
            else:
                if renewed.proves and self._renewed == renewed:
                    self.acknowledged(sent_at)

    def _on_owner_loop(self, callback: Callable[..., None], *args: object) -> None:
        assert self._owner_loop is not None
        with suppress(RuntimeError):  # the shard's loop has ended
            self._owner_loop.call_soon_threadsafe(callback, *args)
