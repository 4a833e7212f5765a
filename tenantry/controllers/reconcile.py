"""Reconcilers that work a range: one bounded queue and a few workers each, however many tenants there are.

A controller names the resources whose changes concern it and maps each change to keys; its `reconcile` brings one key in order.
Errors and `Retry` go to one heap of due times for all controllers. There is no resync: at start, and when a range is gained,
everything there is gets queued once, and from then on events say what changed.

What has no bound (a range, the consumers of an export) is gone through in slices of the loop's turns (`Walks`). No key of a range
is worked on before its controller has seen all of it, so what a controller notes meanwhile may be relied upon.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram

from tenantry.base.fair_queue import FairQueue, Owners
from tenantry.base.shares import Shares
from tenantry.base.slices import in_slices
from tenantry.base.tasks import FAILURES, call, call_each, raised, restarting
from tenantry.kube.status import StatusError
from tenantry.storage.cell import Cell, NotOwned, Stale
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.005
LAST_RETRY_SECONDS = 30.0
SLICE_SECONDS = 0.002
"""How long a worker keeps the loop while keys need no waiting: a long queue must not delay requests."""
QUEUE_LIMIT = 400_000
"""Keys waiting in one controller, shared among tenants. Of a tenant that has more it forgets single keys, and lists all of its
own again once none of them waits any more."""
DUE_AT_ONCE = 128
"""Retries that are queued in one turn of the loop."""
GUESSED_SECONDS = 0.001
"""What one reconciliation is taken for until it is over."""

RECONCILES = Counter("tenantry_reconciles", "Reconciliations by outcome.", ("controller", "outcome"))
DEPTH = Gauge("tenantry_reconcile_queue_depth", "Keys that wait for a reconciler.", ("controller",))
SECONDS = Histogram(
    "tenantry_reconcile_seconds", "Time of one reconciliation.", ("controller",), buckets=(0.001, 0.01, 0.1, 1, 10)
)


LISTED_AGAIN = Counter(
    "tenantry_reconcile_overflows", "Tenants of which a controller forgot keys, because too many waited.", ("controller",)
)


class Retry(Exception):
    """Raised by `reconcile`: not done yet, look again. `after_seconds` None takes the next step of the back-off."""

    def __init__(self, after_seconds: float | None = None, why: str = "") -> None:
        super().__init__(why or "not done yet")
        self.after_seconds = after_seconds


class Clock(Protocol):
    """Time, so that tests need not wait for it."""

    def now(self) -> float:
        """Seconds, monotonic."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Runs the callback at that time; returns how to cancel."""
        ...


class LoopClock:
    """The event loop's own: of the one in which it is first asked."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        return self._of_loop().time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        return self._of_loop().call_at(when, callback).cancel

    def _of_loop(self) -> asyncio.AbstractEventLoop:
        # To look for the loop costs a system call.
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        return loop


class Controller:
    """Base of every reconciler; subclasses set `name` and what they watch, and write `reconcile`.

    `resources` are storage keys of resources (`<group|core>/<plural>[:<identity>]`); they are read when the runner starts, so a
    property may look up identities. None: every resource.
    """

    name = ""
    workers = 4
    """How many keys of one tenant are worked on at a time; of several, twice as many. 1: one at a time, whosever they are."""

    @property
    def resources(self) -> Sequence[str] | None:
        raise NotImplementedError

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        """The keys that an event concerns. The base: the object itself. Must be quick, whatever its cluster holds: it runs
        inside the commit's callbacks. What concerns many keys is one key of its own, whose `reconcile` goes through them, or a
        `walk`."""
        return (event.key,)

    async def prepared(self, range_: Range) -> None:
        """Returns when what this controller reads besides a range is complete. Called before `initial_keys`."""

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        """What to look at when a range is gained. The base: every object of `resources`.

        It is gone through in slices, while the range changes: an iteration that is lazy, with None for each thing that it looks
        at and that concerns nobody. Events are told from before its beginning, and none of its keys is worked on before its end.
        """
        for resource in self.resources or ():
            for record in range_.each(resource):
                yield record.key

    def lost(self, range_: Range) -> None:
        """Forget what was kept of a range: it is another shard's from now on. The base keeps nothing."""

    async def reconcile(self, range_: Range, key: Key) -> None:
        """Bring one key in order. Never runs twice at a time for one key. Raise `Retry` to be called again."""
        raise NotImplementedError

    def enqueue(self, key: Key) -> None:
        """Look at a key soon, for reasons that no event of `resources` tells (the catalog, another range)."""
        self._queue.add(key)

    def walk(self, what: Hashable, keys: Callable[[], Iterable[Key | None]]) -> None:
        """Look at many keys soon: `keys()` is an iteration as `initial_keys`, which is gone through in slices. `what` says what
        for: what is asked for again before it began is gone through once, and once more where it is under way."""
        self._walks.ask(what, keys)

    _queue: Queue
    _walks: Walks


class Queue:
    """Keys to do, each once: a key that is added while it is being worked on is done again afterwards.

    Tenants take turns by the time that their keys took, and one of them has at most half of the `workers`, or of those that the
    others left: a hundred thousand dirty keys of one delay no other's, nor do reconciliations that hang.
    """

    def __init__(
        self,
        limit: int = QUEUE_LIMIT,
        workers: int = 1 << 30,
        range_of: Callable[[str], Range | None] = lambda cluster: None,
    ) -> None:
        """`range_of(cluster)`: the range of a key, where one is held back."""
        self._limit = limit
        self._range_of = range_of
        self._held_back: dict[Range, dict[Key, None]] = {}
        self._waiting: FairQueue[Key] = FairQueue()
        self._known: set[Key] = set()
        self._active: set[Key] = set()
        self._again: set[Key] = set()
        self._keys = Shares("reconcile_keys", limit)
        self._busy = Shares("reconcile_workers", workers)
        self._wake: deque[asyncio.Future[None]] = deque()
        self.overflowed = False
        """Something has to be listed again when the queue is empty."""
        self.forgotten: set[str] = set()
        """The tenants of which keys were not taken."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._active

    def hold_back(self, range_: Range) -> None:
        """Keeps the keys of a range aside from now on, until `released`."""
        self._held_back.setdefault(range_, {})

    def released(self, range_: Range) -> Iterable[Key]:
        """Keeps the keys of a range aside no longer. Those that were are to be added."""
        return self._held_back.pop(range_, {})

    def add(self, key: Key) -> None:
        if self._held_back and (range_ := self._range_of(key.cluster)) is not None and range_ in self._held_back:
            aside = self._held_back[range_]
            if len(aside) < self._limit:
                aside[key] = None
            else:
                self.forgotten.add(key.cluster)
            return
        if key in self._known:
            return
        if key in self._active:
            self._again.add(key)
            return
        owners = (key.cluster,)
        if not self._keys.take(owners):
            self.forgotten.add(key.cluster)
            return
        self._known.add(key)
        self._waiting.push(owners, key)
        self._tell()

    async def take(self) -> Key:
        """The next key of a tenant that may have another worker: that whose keys took the least time."""
        while (found := self._waiting.pop(self._may_work, cost=0.0)) is None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wake.append(future)
            await future
        owners, key = found
        self._waiting.charge(owners, GUESSED_SECONDS)
        self._keys.give(owners)
        self._busy.hold(owners)
        self._known.discard(key)
        self._active.add(key)
        return key

    def done(self, key: Key, seconds: float = GUESSED_SECONDS) -> None:
        """The work on a key is over, and took so long."""
        owners = (key.cluster,)
        self._active.discard(key)
        self._busy.give(owners)
        self._waiting.charge(owners, seconds - GUESSED_SECONDS)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        if self._waiting:
            self._tell()

    def lacking(self) -> set[str]:
        """The tenants of which keys were not taken, and of which none waits any more: they are to be listed again."""
        found = {cluster for cluster in self.forgotten if not self._waiting.waits((cluster,))}
        self.forgotten -= found
        return found

    @property
    def largest(self) -> int:
        """The keys that wait of the tenant with the most."""
        return self._keys.largest

    def _may_work(self, owners: Owners, key: Key) -> bool:
        return self._busy.fits(owners)

    def _tell(self) -> None:
        while self._wake:
            future = self._wake.popleft()
            if not future.done():
                future.set_result(None)
                return


class Walks:
    """What one controller goes through from end to end, in slices: one thing after the other, each once however often it is
    asked for before it begins."""

    def __init__(self, name: str, queue: Queue) -> None:
        self._name = name
        self._queue = queue
        self._wanted: dict[Hashable, Callable[[], Iterable[Key | None]]] = {}
        self._before: dict[Hashable, tuple[Callable[[], Awaitable[None]], Range]] = {}
        self._under_way: Hashable = None
        self._task: asyncio.Task[None] | None = None
        self._running = False

    @property
    def idle(self) -> bool:
        return not self._wanted and self._task is None

    def start(self) -> None:
        self._running = True
        self._begin()

    def stop(self) -> asyncio.Task[None] | None:
        """What is under way ends; its task, to be waited for."""
        self._running = False
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    def ask(self, what: Hashable, keys: Callable[[], Iterable[Key | None]]) -> None:
        self._wanted[what] = keys
        self._begin()

    def gain(self, range_: Range, keys: Callable[[], Iterable[Key | None]], prepared: Callable[[], Awaitable[None]]) -> None:
        """The same for a range that comes; no key of it is worked on before the end."""
        self._queue.hold_back(range_)
        self._before[range_] = prepared, range_
        self.ask(range_, keys)

    def lose(self, range_: Range) -> None:
        self._wanted.pop(range_, None)
        self._before.pop(range_, None)
        self._queue.released(range_)
        if self._under_way is range_:
            self._under_way = None

    def _begin(self) -> None:
        if self._running and self._wanted and self._task is None:
            self._task = restarting(self._work, name=f"{self._name}-walks", ends=True)

    async def _work(self) -> None:
        while self._wanted:
            what = next(iter(self._wanted))
            keys = self._wanted.pop(what)
            self._under_way = what
            try:
                if (before := self._before.get(what)) is not None:
                    await before[0]()
                await self._add(what, keys())
            except Exception:  # a walk serves every tenant: whatever one object provokes must not end those that follow
                FAILURES.inc()
                log.exception("controller %s stumbled over what it goes through", self._name)
                self._queue.overflowed = True
            if (before := self._before.pop(what, None)) is not None:
                await self._add(what, self._queue.released(before[1]))
        self._under_way = None
        self._task = None

    async def _add(self, what: Hashable, keys: Iterable[Key | None]) -> None:
        async for key in in_slices(keys):
            if self._under_way is not what:
                return
            if key is not None:
                self._queue.add(key)


def _workers(controller: Controller) -> int:
    return 2 * controller.workers if controller.workers > 1 else 1


class RangeFollowing(Protocol):
    """Tells of the ranges that the shard holds."""

    def follow(self, acquired: Callable[[Range], Callable[[], None]]) -> Callable[[], None]:
        """Calls `acquired` for every range that is and will be held; what it returns is called when the range is released.
        Returns how to stop."""
        ...


class ControllerRunner:
    """Runs controllers over every range that the shard holds."""

    def __init__(
        self, cell: Cell, ranges: RangeFollowing, controllers: Iterable[Controller] = (), *, clock: Clock | None = None
    ) -> None:
        self._cell = cell
        self._ranges = ranges
        self._clock = clock or LoopClock()
        self._controllers: list[Controller] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._heap: list[tuple[float, int, Controller, Key]] = []
        self._planned: dict[tuple[str, Key], tuple[float, int]] = {}
        """What of the heap counts, by controller and key: one due time each, with the number of its entry."""
        self._numbers = itertools.count()
        self._failures: dict[tuple[str, Key], int] = {}
        self._cancel_timer: Callable[[], None] | None = None
        self._timer_due = 0.0
        self._stop_following: Callable[[], None] | None = None
        self._running = False
        self.add(*controllers)

    def add(self, *controllers: Controller) -> None:
        """Raises RuntimeError once running."""
        if self._running:
            raise RuntimeError("controllers are added before the runner starts; add them where the host is wired")
        for controller in controllers:
            if not controller.name:
                raise ValueError(f"{type(controller).__name__} has no name; set `name` on the class")
            controller._queue = Queue(workers=_workers(controller), range_of=self._range_of)
            controller._walks = Walks(controller.name, controller._queue)
            self._controllers.append(controller)

    async def start(self) -> None:
        self._running = True
        self._stop_following = self._ranges.follow(self._follow)
        for controller in self._controllers:
            controller._walks.start()
            for number in range(_workers(controller)):
                self._tasks.add(restarting(partial(self._work, controller), name=f"{controller.name}-{number}"))

    async def stop(self) -> None:
        """Returns when no worker runs any more."""
        self._running = False
        if self._stop_following is not None:
            self._stop_following()
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        tasks |= {walk for controller in self._controllers if (walk := controller._walks.stop()) is not None}
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def idle(self) -> bool:
        """Nothing is queued or under way (retries that are not due do not count)."""
        return all(c._queue.idle and c._walks.idle for c in self._controllers)

    @property
    def broken(self) -> str:
        """The name of a worker that ended, which none ever should; empty when all is well."""
        if not self._running:
            return "all: not started"
        return next((task.get_name() for task in self._tasks if task.done()), "")

    def _follow(self, range_: Range) -> Callable[[], None]:
        stops: list[Callable[[], None]] = []
        for controller in self._controllers:
            resources = controller.resources
            callback = self._callback(controller)
            stops.extend(range_.subscribe(callback, resource) for resource in ((None,) if resources is None else resources))
            controller._walks.gain(range_, partial(controller.initial_keys, range_), partial(controller.prepared, range_))

        def stop() -> None:
            call_each(stops, "the end of a controller's subscription")
            for controller in self._controllers:
                controller._walks.lose(range_)
                call(controller.lost, f"controller {controller.name}, told of a lost range,", range_)
            for table in (self._failures, self._planned):
                for place in [place for place in table if place[1].cluster in range_]:
                    del table[place]
            self._tidy()

        return stop

    def _range_of(self, cluster: str) -> Range | None:
        try:
            return self._cell.range_of(cluster)
        except NotOwned:
            return None

    def _list_again(self, controller: Controller, lacking: frozenset[str] | None = None) -> None:
        """Queues all that there is once more (of some clusters)."""

        def of(range_: Range) -> Iterable[Key | None]:
            for key in controller.initial_keys(range_):
                yield key if key is not None and (lacking is None or key.cluster in lacking) else None

        for range_ in list(self._cell.ranges.values()):
            controller._walks.ask(("again", range_.name, lacking), partial(of, range_))

    def _callback(self, controller: Controller) -> Callable[[Sequence[RecordEvent]], None]:
        def changed(events: Sequence[RecordEvent]) -> None:
            for event in events:
                try:
                    for key in controller.keys(event):
                        controller._queue.add(key)
                except Exception:
                    raised(f"controller {controller.name}, told of {event.key},")
                    controller._queue.add(event.key)

        return changed

    async def _work(self, controller: Controller) -> None:
        queue = controller._queue
        depth = DEPTH.labels(controller.name)
        seconds = SECONDS.labels(controller.name)
        outcomes = {o: RECONCILES.labels(controller.name, o) for o in ("done", "retry", "error")}
        loop = asyncio.get_running_loop()
        yielded = loop.time()
        while True:
            key = await queue.take()
            if loop.time() - yielded > SLICE_SECONDS:
                await asyncio.sleep(0)
                yielded = loop.time()
            started = self._clock.now()
            try:
                outcome = await self._once(controller, key)
            finally:
                queue.done(key, self._clock.now() - started)
            seconds.observe(self._clock.now() - started)
            outcomes[outcome].inc()
            depth.set(len(queue))
            if queue.forgotten and (lacking := queue.lacking()):
                LISTED_AGAIN.labels(controller.name).inc(len(lacking))
                self._list_again(controller, frozenset(lacking))
            if queue.overflowed and not queue:
                queue.overflowed = False
                self._list_again(controller)

    async def _once(self, controller: Controller, key: Key) -> str:
        try:
            range_ = self._cell.range_of(key.cluster)
        except NotOwned:
            self._failures.pop((controller.name, key), None)
            return "done"
        try:
            try:
                await controller.reconcile(range_, key)
            finally:
                if not range_.owned and not self._cell.owns(key.cluster):
                    # What it noted of the range since it was told of the loss has no other way out.
                    controller.lost(range_)
        except Retry as retry:
            if retry.after_seconds is None:
                self._back_off(controller, key)
            else:
                self._later(controller, key, retry.after_seconds)
            return "retry"
        except (Stale, NotOwned):
            # At once where somebody was quicker. What expects something that never comes true would be busy for ever.
            self._back_off(controller, key, first_seconds=0.0)
            return "retry"
        except StatusError as error:
            log.info("not reconciled", extra={"controller": controller.name, "key": str(key), "error": error.message})
            self._back_off(controller, key)
            return "error"
        except Exception:  # a worker serves every tenant: whatever one object provokes must not end it
            log.exception("reconciler failed", extra={"controller": controller.name, "key": str(key)})
            self._back_off(controller, key)
            return "error"
        self._failures.pop((controller.name, key), None)
        return "done"

    def _back_off(self, controller: Controller, key: Key, *, first_seconds: float = FIRST_RETRY_SECONDS) -> None:
        failures = self._failures.get((controller.name, key), 0)
        self._failures[(controller.name, key)] = failures + 1
        seconds = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 20), LAST_RETRY_SECONDS) if failures else first_seconds
        self._later(controller, key, seconds)

    def _later(self, controller: Controller, key: Key, seconds: float) -> None:
        if not self._running:
            return
        due, place = self._clock.now() + seconds, (controller.name, key)
        planned = self._planned.get(place)
        if planned is not None and planned[0] <= due:
            return
        number = next(self._numbers)
        self._planned[place] = due, number
        heapq.heappush(self._heap, (due, number, controller, key))
        self._tidy()
        self._arm()

    def _tidy(self) -> None:
        """Keeps the heap in proportion to what is planned: entries that no longer count would wait for their time in it."""
        if len(self._heap) > 2 * len(self._planned) + 64:
            self._heap = [entry for entry in self._heap if self._counts(entry)]
            heapq.heapify(self._heap)

    def _counts(self, entry: tuple[float, int, Controller, Key]) -> bool:
        return self._planned.get((entry[2].name, entry[3]), (0.0, -1))[1] == entry[1]

    def _arm(self) -> None:
        if not self._heap:
            return
        due = self._heap[0][0]
        if self._cancel_timer is not None:
            if self._timer_due <= due:
                return
            self._cancel_timer()
        self._timer_due = due
        self._cancel_timer = self._clock.call_at(due, self._due)

    def _due(self) -> None:
        self._cancel_timer = None
        now, left = self._clock.now(), DUE_AT_ONCE
        while self._heap and self._heap[0][0] <= now and left:
            left -= 1
            entry = heapq.heappop(self._heap)
            if self._counts(entry):
                _, _, controller, key = entry
                del self._planned[controller.name, key]
                controller._queue.add(key)
        self._arm()
