"""The base class of controllers: a name, the events that concern it, and a function that reconciles one key."""

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
    """Raised by `reconcile` to be called again.

    `after_seconds`: when; None: after the next pause of the key's back-off. `why`: the reason.
    """

    def __init__(self, after_seconds: float | None = None, why: str = "") -> None:
        super().__init__(why or "not done yet")
        self.after_seconds = after_seconds


class Controller(ABC, Generic[K]):
    """Base class of all controllers.

    A key identifies what one call of `reconcile` processes. It may have any hashable type: an object (`ObjectController`), a
    logical cluster (`ClusterController`), or the controller's own type. Several workers call `reconcile` concurrently for
    different keys. One controller serves all ranges of a shard.
    """

    name = ""
    """The name in metrics and log entries. It is unique in a shard."""
    workers = 4
    """How many keys of one logical cluster are reconciled concurrently. For several clusters together it is twice as many.

    1: one key at a time for all clusters.
    """

    _queue: WorkQueue[K]
    _listings: Listings[K]

    def attach(self, queue: WorkQueue[K], listings: Listings[K]) -> None:
        """Sets the queue of `enqueue` and the listings of `enqueue_all`. The runtime calls it before everything else."""
        self._queue = queue
        self._listings = listings

    @property
    @abstractmethod
    def resources(self) -> Sequence[str] | None:
        """The resources whose events the controller gets, as in keys of the store: `<group|core>/<plural>[:<identity>]`.

        None: all resources. It is read when a range is acquired.
        """

    @abstractmethod
    def cluster_of(self, key: K) -> str:
        """The logical cluster of a key. The key uses its share of the queue and of the workers, and is reconciled by the owner of
        its range."""

    @abstractmethod
    def keys(self, event: RecordEvent) -> Iterable[K]:
        """The keys that an event concerns.

        It runs in the callbacks of a commit, so its time must not depend on the size of the cluster. For an event that concerns
        many keys, return one key whose `reconcile` iterates over them, or call `enqueue_all`.
        """

    def fallback_keys(self, key: Key) -> Iterable[K]:
        """The keys to reconcile if `keys` raised an error for an event of the object `key`. By default none."""
        return ()

    @abstractmethod
    def initial_keys(self, range_: Range) -> Iterable[K | None]:
        """The keys to reconcile when a range is acquired.

        It runs in slices while the range changes, so it has to be lazy. It yields None for each item that it examines and that
        is no key. Events arrive from before its beginning. No key of the range is reconciled before its end, so `reconcile` may
        rely on what this method records.
        """

    async def wait_for_sync(self, range_: Range) -> None:
        """Waits until the data that this controller reads outside of a range is complete. Called before `initial_keys`."""

    def released(self, range_: Range) -> None:
        """Called when the shard has released a range: drop the data about it. By default it does nothing."""

    @abstractmethod
    async def reconcile(self, range_: Range, key: K) -> None:
        """Reconciles one key. `range_`: the range of its cluster. It never runs twice at a time for one key.

        Raise `Retry` to be called again. Any other error is logged, and the key is retried with exponential back-off.
        """

    def enqueue(self, key: K) -> None:
        """Reconciles a key soon. For causes other than events of `resources`, such as the catalog or another range."""
        self._queue.add(key)

    def enqueue_all(self, purpose: Hashable, keys: Callable[[], Iterable[K | None]]) -> None:
        """Reconciles many keys soon. `keys()` is iterated in slices, as `initial_keys`.

        Several calls with the same `purpose` before the iteration begins cause one iteration. A call during the iteration causes
        another one.
        """
        self._listings.add(purpose, keys)
