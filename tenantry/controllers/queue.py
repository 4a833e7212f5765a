"""The work queue of one controller."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from tenantry.base.fair_queue import FairQueue, Owners
from tenantry.base.shares import Shares
from tenantry.storage.range import Range

K = TypeVar("K", bound=Hashable)

KEYS_MAX = 400_000
"""Maximum number of waiting keys of one work queue. Logical clusters share it."""
ESTIMATED_SECONDS = 0.001
"""The assumed time of a reconciliation until its real time is known."""
_UNLIMITED = 1 << 30


class WorkQueue(Generic[K]):
    """Keys to reconcile (client-go: `workqueue`).

    A key waits once, even if it is added several times, and is never processed twice at a time. A key that is added while it is
    processed is dirty: it waits again when its processing is done.

    Logical clusters take turns by the time that their keys took. A cluster gets at most half of the workers, or half of those
    that the other clusters leave. So neither many nor slow keys of one cluster delay the keys of another.

    The number of waiting keys is limited and shared in the same way. A key above the limit is dropped, and its cluster
    overflows: the workers list the cluster again when none of its keys waits any more (`to_relist`).
    """

    def __init__(
        self,
        cluster_of: Callable[[K], str],
        *,
        keys_max: int = KEYS_MAX,
        workers: int = _UNLIMITED,
        range_of: Callable[[str], Range | None] = lambda cluster: None,
    ) -> None:
        """`cluster_of(key)`: the logical cluster whose share a key uses. `keys_max`: limit of waiting keys. `workers`: how many
        keys may be processed at a time. `range_of(cluster)`: its range; called only while a range is paused."""
        self.cluster_of = cluster_of
        self._range_of = range_of
        self._keys_max = keys_max
        self._paused: dict[Range, dict[K, None]] = {}
        """The keys that were added for each paused range."""
        self._waiting: FairQueue[K] = FairQueue()
        self._dirty: set[K] = set()
        """Keys that wait, and keys that were added again while they are processed."""
        self._processing: dict[K, Owners] = {}
        self._room = Shares("reconcile_keys", keys_max)
        self._workers = Shares("reconcile_workers", workers)
        self._getters: deque[asyncio.Future[None]] = deque()
        self._woken = 0
        """Getters that were woken and have not run yet. One is enough: it wakes the next one if more keys wait."""
        self._refused = False
        """Whether a getter found only keys that have to wait until another key is done."""
        self.overflowed: set[str] = set()
        """The logical clusters whose keys were dropped."""
        self.relist_all = False
        """A listing failed, so everything is listed again when the queue is empty."""

    def __len__(self) -> int:
        """The number of waiting keys."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether no key waits or is processed."""
        return not self._waiting and not self._processing

    @property
    def getters(self) -> int:
        """The number of workers that wait for a key."""
        return sum(not getter.done() for getter in self._getters)

    @property
    def largest(self) -> int:
        """The number of waiting keys of the logical cluster that has the most."""
        return self._room.largest

    def add(self, key: K) -> None:
        if self._paused and self._kept_aside(key):
            return
        dirty = self._dirty
        if key in dirty:
            return
        if key in self._processing:
            dirty.add(key)
            return
        owners = (self.cluster_of(key),)
        room = self._room
        # `Shares.take`, inlined because this runs for each event of a range.
        if not room.fits(owners):
            room.refused += 1
            self.overflowed.add(owners[0])
            return
        room.hold(owners)
        dirty.add(key)
        self._waiting.push(owners, key)
        if not self._woken:
            self._wake_getter()

    async def get(self) -> K:
        """Waits for the next key: of the cluster that may use another worker and whose keys took the least time."""
        while (found := self._waiting.pop(self._may_process, cost=0.0)) is None:
            self._refused = bool(self._waiting)
            await self._wake_up()
        owners, key = found
        if self._waiting:
            self._waiting.charge(owners, ESTIMATED_SECONDS)
            if not self._woken:
                self._wake_getter()
        self._room.give(owners)
        self._workers.hold(owners)
        self._dirty.discard(key)
        self._processing[key] = owners
        return key

    def done(self, key: K, seconds: float = ESTIMATED_SECONDS) -> None:
        """Marks a key that `get` returned as processed. `seconds`: the time it took. Raises KeyError for any other key."""
        owners = self._processing.pop(key)
        self._workers.give(owners)
        self._waiting.charge(owners, seconds - ESTIMATED_SECONDS)
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key)
        if self._refused:
            self._refused = False
            self._wake_getter()

    def pause(self, range_: Range) -> None:
        """Sets the keys of a range aside until `resume`, so that none of them is processed while the range is listed."""
        self._paused.setdefault(range_, {})

    def resume(self, range_: Range) -> Iterable[K]:
        """Ends `pause`. Returns the keys that were added meanwhile; the caller adds them again."""
        return self._paused.pop(range_, {})

    def to_relist(self) -> set[str]:
        """Removes and returns the overflowed logical clusters of which no key waits any more."""
        found = {cluster for cluster in self.overflowed if not self._waiting.waits((cluster,))}
        self.overflowed -= found
        return found

    def _kept_aside(self, key: K) -> bool:
        cluster = self.cluster_of(key)
        range_ = self._range_of(cluster)
        if range_ is None or (aside := self._paused.get(range_)) is None:
            return False
        if len(aside) < self._keys_max:
            aside[key] = None
        else:
            self.overflowed.add(cluster)
        return True

    def _may_process(self, owners: Owners, key: K) -> bool:
        return self._workers.fits(owners)

    async def _wake_up(self) -> None:
        """Returns when there may be a key for this getter."""
        getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except asyncio.CancelledError:
            if not getter.cancelled():
                # It was woken and then cancelled before it ran, so another getter is woken.
                self._woken -= 1
                self._wake_getter()
            raise
        self._woken -= 1

    def _wake_getter(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                self._woken += 1
                getter.set_result(None)
                return
