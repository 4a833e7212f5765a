"""Workers: each takes a key from the queue, does it, and puts it back for another attempt where that failed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from tenantry.base.tasks import restarting
from tenantry_sync_agent import metrics
from tenantry_sync_agent.api_client import ApiError, Unreachable
from tenantry_sync_agent.election import NotLeading
from tenantry_sync_agent.followed import cancelled
from tenantry_sync_agent.steps import Blocked, Stale
from tenantry_sync_agent.work_queue import WorkQueue

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

QUEUE_KEYS_MAX = 10_000
_BLOCKED_PAUSE_SECONDS = 30.0
"""Before it is looked whether what blocks an object is gone, of which no watch tells."""
_NOT_LEADING_PAUSE_SECONDS = 1.0
_EXPECTED = frozenset({404, 409, 410, 429})
"""Another writer was faster, or the server is busy: the next attempt is better."""


class Workers(Generic[K]):
    """`sync`: does all that there is to do for a key. It raises Blocked, Stale, NotLeading, ApiError or Unreachable where it has
    to be called again. `name`: of the tasks."""

    def __init__(self, sync: Callable[[K], Awaitable[None]], *, number: int, name: str) -> None:
        self.queue: WorkQueue[K] = WorkQueue(QUEUE_KEYS_MAX)
        self._sync = sync
        self._number = number
        self._name = name
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks += [restarting(self._work, name=f"{self._name}-{number}") for number in range(self._number)]

    async def stop(self) -> None:
        await cancelled(self._tasks)
        self._tasks.clear()
        self.queue.stop()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            began = time.monotonic()
            try:
                pause = await self._attempt(key)
            except BaseException:
                self.queue.retry(key)
                raise
            if pause is None:
                self.queue.done(key)
            else:
                self.queue.retry(key, pause)
            metrics.RECONCILE.observe(time.monotonic() - began)

    async def _attempt(self, key: K) -> float | None:
        """None when it is done, or the shortest pause in seconds before the next attempt."""
        try:
            await self._sync(key)
        except Blocked:
            return _BLOCKED_PAUSE_SECONDS
        except Stale:
            return 0.0
        except NotLeading:
            # The work ends with the lease.
            return _NOT_LEADING_PAUSE_SECONDS
        except ApiError as error:
            metrics.FAILURES.labels(error.reason or str(error.code)).inc()
            (logger.debug if error.code in _EXPECTED else logger.warning)("%s: %s", key, error)
            return 0.0
        except Unreachable as error:
            metrics.FAILURES.labels("Unreachable").inc()
            logger.warning("%s: %s", key, error)
            return 0.0
        except Exception as error:  # an object of a tenant may have any form, and must not keep a worker from the others
            metrics.FAILURES.labels(type(error).__name__).inc()
            logger.exception("%s cannot be synced", key)
            return 0.0
        return None
