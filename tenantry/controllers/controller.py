"""What a controller is to the runtime: a name, the events that concern it, and a function that reconciles one key."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from tenantry.controllers.listing import Listings
from tenantry.controllers.queue import WorkQueue
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent

K = TypeVar("K", bound=Hashable)


class Retry(Exception):
    """Raised by `reconcile`: not done yet, call again after `after_seconds`; None: after the next pause of the key's back-off."""

    def __init__(self, after_seconds: float | None = None, why: str = "") -> None:
        super().__init__(why or "not done yet")
        self.after_seconds = after_seconds


class Controller(ABC, Generic[K]):
    """Base of all controllers. A key is what one call of `reconcile` brings in order, and may be of any hashable type: an object
    (`ObjectController`), a logical cluster (`ClusterController`), or a type of the controller's own.

    Several workers call `reconcile` for different keys at a time. One controller works all ranges of a shard.

    It is made before it is added to a runner, and `ControllerRunner.add` attaches the queue. So a constructor must not call
    `enqueue` and `enqueue_all`; what it subscribes to calls them later.
    """

    name = ""
    """Of its metrics and log entries, unique in a shard."""
    workers = 4
    """How many keys of one logical cluster are reconciled at a time; of several, twice as many. 1: one at a time, whosever they
    are."""

    _queue: WorkQueue[K]
    _listings: Listings[K]

    def attach(self, queue: WorkQueue[K], listings: Listings[K]) -> None:
        """Called by the runtime, once, when the controller is added: where `enqueue` and `enqueue_all` lead to."""
        self._queue = queue
        self._listings = listings

    @property
    @abstractmethod
    def resources(self) -> Sequence[str] | None:
        """The resources whose events concern it, as they stand in keys of the store: `<group|core>/<plural>[:<identity>]`. None:
        every resource. Read when a range is acquired."""

    @abstractmethod
    def cluster_of(self, key: K) -> str:
        """The logical cluster whose share of queue and workers a key takes. The key is reconciled by the owner of the range that
        holds this cluster."""

    @abstractmethod
    def keys(self, event: RecordEvent) -> Iterable[K]:
        """The keys that an event concerns.

        It runs inside the commit's callbacks, and must be quick whatever the cluster holds. What concerns many keys is one key of
        its own, whose `reconcile` goes through them, or an `enqueue_all`.
        """

    def fallback_keys(self, key: Key) -> Iterable[K]:
        """The keys to look at where `keys` raised for an event of the object `key`. By default none."""
        return ()

    @abstractmethod
    def initial_keys(self, range_: Range) -> Iterable[K | None]:
        """The keys to look at when a range is acquired.

        It is gone through in slices while the range changes, so it is a lazy iteration, with None for each thing that it looks at
        and that concerns nobody. Events come from before its beginning. No key of the range is reconciled before its end, so what
        the controller notes meanwhile may be relied upon.
        """

    async def wait_for_sync(self, range_: Range) -> None:
        """Returns when what this controller reads besides a range is complete. Called before `initial_keys`."""

    def released(self, range_: Range) -> None:
        """Another shard owns the range from now on: drop what was kept of it. By default nothing is."""

    @abstractmethod
    async def reconcile(self, range_: Range, key: K) -> None:
        """Brings one key in order; `range_` holds its cluster. Never runs twice at a time for one key. Raise `Retry` to be called
        again; any other error is logged and retried after a pause that grows."""

    def enqueue(self, key: K) -> None:
        """Reconciles a key soon, for reasons that are no event of `resources` (the catalog, another range)."""
        self._queue.add(key)

    def enqueue_all(self, purpose: Hashable, keys: Callable[[], Iterable[K | None]]) -> None:
        """Reconciles many keys soon: `keys()` is gone through in slices, as `initial_keys` is. What is asked for again for the
        same `purpose` before it began is gone through once; what is under way, once more."""
        self._listings.add(purpose, keys)
