"""The workers of one controller. They take keys from its work queue, reconcile them and schedule retries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Generic, TypeVar

from tenantry.base.backoff import KeyedBackoff
from tenantry.base.tasks import call, call_each, raised, restarting
from tenantry.controllers.clock import Clock
from tenantry.controllers.controller import Controller, Retry
from tenantry.controllers.delay_queue import DelayQueue
from tenantry.controllers.listing import Listings
from tenantry.controllers.metrics import DONE, ERROR, RETRY, controller_metrics
from tenantry.controllers.queue import WorkQueue
from tenantry.controllers.ranges import OwnedRanges
from tenantry.storage.cell import NotOwned, Stale
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

FIRST_RETRY_SECONDS = 0.005
LAST_RETRY_SECONDS = 30.0
SLICE_SECONDS = 0.002
"""How long a worker may use the loop without a pause, so that a long queue does not delay requests."""


class Workers(Generic[K]):
    """Runs one controller over the ranges that `acquire` gets.

    `expected_errors` are logged in one line, other errors with a traceback. After any error the key is retried.
    """

    def __init__(
        self,
        controller: Controller[K],
        ranges: OwnedRanges,
        delayed: DelayQueue,
        clock: Clock,
        expected_errors: tuple[type[Exception], ...],
    ) -> None:
        self.controller = controller
        self._ranges = ranges
        self._delayed = delayed
        self._clock = clock
        self._expected_errors = expected_errors
        self._count = 2 * controller.workers if controller.workers > 1 else 1
        self._queue = WorkQueue(controller.cluster_of, workers=self._count, range_of=ranges.owned)
        self._listings = Listings(controller.name, self._queue)
        self._backoff = KeyedBackoff[K](FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
        self._tasks: set[asyncio.Task[None]] = set()
        controller.attach(self._queue, self._listings)

    def start(self) -> None:
        self._listings.start()
        for number in range(self._count):
            self._tasks.add(restarting(self._work, name=f"{self.controller.name}-{number}"))

    def stop(self) -> set[asyncio.Task[None]]:
        """Cancels the workers and the running listing. Returns their tasks, which the caller has to await."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        listing = self._listings.stop()
        return tasks if listing is None else tasks | {listing}

    @property
    def idle(self) -> bool:
        """Whether nothing waits or runs. Retries that are not due do not count."""
        return self._queue.idle and self._listings.idle

    @property
    def ended(self) -> str:
        """The name of a worker that ended without `stop`; empty if there is none."""
        return next((task.get_name() for task in self._tasks if task.done()), "")

    def acquire(self, range_: Range) -> Callable[[], None]:
        """Follows the events of a range and lists it. Returns the function to call when the range is released."""
        controller = self.controller
        resources = controller.resources
        changed = self._changed()
        stops = [range_.subscribe(changed, resource) for resource in ((None,) if resources is None else resources)]
        self._listings.add_range(range_, partial(controller.initial_keys, range_), partial(controller.wait_for_sync, range_))
        return partial(self._release, range_, stops)

    def _release(self, range_: Range, stops: Sequence[Callable[[], None]]) -> None:
        call_each(stops, "the end of a controller's subscription")
        self._listings.discard_range(range_)
        call(self.controller.released, f"controller {self.controller.name}, on the release of a range,", range_)

        def is_of_range(key: K) -> bool:
            return self.controller.cluster_of(key) in range_

        self._backoff.reset_where(is_of_range)
        self._delayed.discard(self._queue, is_of_range)

    def _changed(self) -> Callable[[Sequence[RecordEvent]], None]:
        """The subscriber of a range's events. It runs for each event, so it has its constants in local variables."""
        controller, keys, add = self.controller, self.controller.keys, self._queue.add

        def changed(events: Sequence[RecordEvent]) -> None:
            for event in events:
                try:
                    for key in keys(event):
                        add(key)
                except Exception:  # one object may cause any error; the events of other tenants still come
                    raised(f"controller {controller.name}, for an event of {event.key},")
                    for key in controller.fallback_keys(event.key):
                        add(key)

        return changed

    async def _work(self) -> None:
        queue, clock, metrics = self._queue, self._clock, controller_metrics.of(self.controller.name)
        loop = asyncio.get_running_loop()
        yielded = loop.time()
        while True:
            key = await queue.get()
            if loop.time() - yielded > SLICE_SECONDS:
                await asyncio.sleep(0)
                yielded = loop.time()
            started = clock.now()
            try:
                outcome = await self._reconcile(key)
            finally:
                took = clock.now() - started
                queue.done(key, took)
            metrics.seconds.observe(took)
            metrics.outcomes[outcome] += 1
            metrics.queue_depth = len(queue)
            if queue.overflowed and (clusters := queue.to_relist()):
                metrics.overflows += len(clusters)
                self._relist(frozenset(clusters))
            if queue.relist_all and not queue:
                queue.relist_all = False
                self._relist()

    async def _reconcile(self, key: K) -> str:
        """Reconciles a key and returns the outcome: DONE, RETRY or ERROR."""
        controller, cluster = self.controller, self.controller.cluster_of(key)
        range_ = self._ranges.owned(cluster)
        if range_ is None:
            self._backoff.reset(key)
            return DONE
        try:
            try:
                await controller.reconcile(range_, key)
            finally:
                if not range_.owned and self._ranges.owned(cluster) is None:
                    # The range was released during the call. Drop what the controller recorded about it since then.
                    controller.released(range_)
        except Retry as retry:
            self._retry(key, self._backoff.next_seconds(key) if retry.after_seconds is None else retry.after_seconds)
            return RETRY
        except (Stale, NotOwned):
            # A conflict with another writer: the first retry is immediate. Later ones use the back-off, because a controller that
            # expects a state that never comes would retry forever without a pause.
            is_first = not self._backoff.failures(key)
            seconds = self._backoff.next_seconds(key)
            self._retry(key, 0.0 if is_first else seconds)
            return RETRY
        except self._expected_errors as error:
            logger.info("reconcile failed, retrying", extra={"controller": controller.name, "key": str(key), "error": str(error)})
            self._retry(key, self._backoff.next_seconds(key))
            return ERROR
        except Exception:  # one object may cause any error; it must not end a worker, which serves all tenants
            logger.exception("reconciler failed", extra={"controller": controller.name, "key": str(key)})
            self._retry(key, self._backoff.next_seconds(key))
            return ERROR
        self._backoff.reset(key)
        return DONE

    def _retry(self, key: K, seconds: float) -> None:
        if self._tasks:
            self._delayed.add_after(self._queue, key, seconds)

    def _relist(self, clusters: frozenset[str] | None = None) -> None:
        """Lists the keys of some logical clusters again (None: of all)."""
        cluster_of, initial_keys = self.controller.cluster_of, self.controller.initial_keys

        def keys(range_: Range) -> Iterable[K | None]:
            for key in initial_keys(range_):
                yield key if key is not None and (clusters is None or cluster_of(key) in clusters) else None

        for range_ in list(self._ranges.ranges.values()):
            self._listings.add(("relist", range_.name, clusters), partial(keys, range_))
