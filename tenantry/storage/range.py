"""A range in memory: the objects of the clusters in `[start, end)`, their history, and who watches them."""

from __future__ import annotations

import asyncio
import builtins
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from tenantry.storage.history import History, HistoryLimits, TooOld
from tenantry.storage.index import Index, in_key_order
from tenantry.storage.keys import Key
from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.record import Record, RecordEvent
from tenantry.storage.subscriptions import EventCallback, Subscriptions

__all__ = ["AppliedVersion", "EventCallback", "Range", "TooOld"]


class AppliedVersion:
    """The version of the last commit that a cell applied to memory, shared by its ranges."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Range:
    """The objects of one range. Read on the loop and synchronously; changed only by `load`, `backfill` and `apply`.

    `version` is the resourceVersion at which the range is loaded. `applied` is the cell's: its owner's commits to other ranges
    carry this range's version on, because nobody else writes it.
    """

    def __init__(
        self,
        name: str,
        start: str,
        end: str,
        *,
        version: int = 0,
        applied: AppliedVersion | None = None,
        guard: ReadGuard | None = None,
        limits: HistoryLimits | None = None,
    ) -> None:
        self.name = name
        self.start = start
        self.end = end
        self.owned = True
        self.requests = 0
        """How many requests were answered from it."""
        self._floor = version
        self._history_start = version
        self._applied = applied if applied is not None else AppliedVersion()
        self._guard = guard if guard is not None else ReadGuard()
        self._limits = limits if limits is not None else HistoryLimits()
        self._index = Index()
        self._histories: dict[str, History] = {}
        """By resource; what was written last comes last."""
        self._history_bytes = 0
        self._forgotten = 0
        """Up to which version events may be missing from resources that have no history (any more)."""
        self._backfill: asyncio.Event | None = None
        self._subscriptions = Subscriptions()

    def __repr__(self) -> str:
        return f"<Range {self.name} [{self.start}, {self.end}) version={self.version} owned={self.owned}>"

    def __contains__(self, cluster: str) -> bool:
        return self.start <= cluster < self.end

    @property
    def version(self) -> int:
        """The resourceVersion of the range now: that of the last commit applied anywhere in the cell by this shard."""
        applied = self._applied.value
        return applied if applied > self._floor else self._floor

    @property
    def readable(self) -> bool:
        """Memory may be served: this shard owns the range and its session is provably alive."""
        return self.owned and self._guard.alive

    @property
    def size(self) -> int:
        """How many objects it holds."""
        return self._index.size

    def usage(self, cluster: str) -> tuple[int, int]:
        """How many objects a cluster has, and how many bytes their values are. Kept as they come and go."""
        return self._index.usage(cluster)

    def get(self, key: Key) -> Record | None:
        return self._index.get(key)

    def list(self, resource: str, cluster: str | None = None, namespace: str | None = None) -> Sequence[Record]:
        """In the order of keys. Not a copy: do not change it, do not keep it over an await."""
        return self._index.list(resource, cluster, namespace)

    def each(self, resource: str | None = None, cluster: str | None = None, namespace: str | None = None) -> Iterator[Record]:
        """The same (None: all), in no order and one at a time: to be gone through in slices. Each record is as it is when it
        comes; what was added since the beginning may be missing; subscribers get it."""
        return self._index.each(resource, cluster, namespace)

    def list_at(self, version: int, resource: str, cluster: str | None = None, namespace: str | None = None) -> Sequence[Record]:
        """As it was at a version. Raises TooOld."""
        later = [
            event
            for event in self.events_after(version, resource, cluster)
            if namespace is None or event.key.namespace == namespace
        ]
        now = self._index.list(resource, cluster, namespace)
        if not later:
            return now
        before: dict[Key, Record | None] = {}
        for event in later:
            before.setdefault(event.key, event.previous)
        # What did not change since is copied in runs, which takes next to nothing however long they are.
        then: builtins.list[Record] = []
        start = 0
        for key in sorted(before, key=in_key_order):
            end = bisect_left(now, in_key_order(key), start, key=_place)
            then += now[start:end]
            record = before[key]
            if record is not None:
                then.append(record)
            start = end + 1 if end < len(now) and now[end].key == key else end
        then += now[start:]
        return then

    def count(self, resource: str, cluster: str | None = None, namespace: str | None = None) -> int:
        return self._index.count(resource, cluster, namespace)

    def has_any(self, resource: str, cluster: str, namespace: str | None = None) -> bool:
        return self._index.has_any(resource, cluster, namespace)

    def clusters(self, resource: str | None = None) -> Iterable[str]:
        """The clusters that hold any object (of the resource), in order."""
        return self._index.clusters() if resource is None else tuple(self._index.clusters_in_order(resource))

    def resources(self, cluster: str) -> Iterable[str]:
        """The resource keys of which the cluster holds objects, in order."""
        return self._index.resources(cluster)

    def oldest(self, resource: str) -> int:
        """The oldest version that history can follow on from."""
        history = self._histories.get(resource)
        return self._histories_start if history is None else history.oldest

    async def backfilled(self, version: int) -> None:
        """Returns when history goes back to a version, or never will. The range may have been released meanwhile."""
        if version < self._history_start and self._backfill is not None:
            await self._backfill.wait()

    def events_after(self, version: int, resource: str, cluster: str | None = None) -> Sequence[RecordEvent]:
        """History, oldest first. Raises TooOld."""
        history = self._histories.get(resource)
        if history is None:
            if version < self._histories_start:
                raise TooOld(self._histories_start)
            return ()
        events = history.after(version)
        return events if cluster is None else [event for event in events if event.key.cluster == cluster]

    def subscribe(self, callback: EventCallback, resource: str | None = None, cluster: str | None = None) -> Callable[[], None]:
        """Calls back, on the loop and without waiting, with the events of each commit that concern the resource and cluster
        (None: all), after memory shows them. Returns how to stop. A callback that raises is logged and stays subscribed."""
        return self._subscriptions.add(callback, resource, cluster)

    def load(self, records: Iterable[Record]) -> None:
        """Takes records into memory without history, and without calling subscribers: the objects that a range begins with."""
        put = self._index.put
        for record in records:
            put(record)

    def loaded(self, version: int) -> None:
        """All of the range was loaded as it was at `version`; history begins there."""
        self._floor = version
        self._history_start = version

    def expect_backfill(self) -> None:
        """Earlier history comes: `backfilled` waits until `backfill_ended`."""
        self._backfill = asyncio.Event()

    def backfill_ended(self) -> None:
        """History goes back as far as it ever will."""
        if self._backfill is not None:
            self._backfill.set()
            self._backfill = None

    def backfill(self, events: Iterable[RecordEvent], oldest: int) -> None:
        """Puts the store's history before what happened since the range was loaded: `events` in the order of versions,
        complete after version `oldest` and up to the load. A history that has dropped events since then stays as it is."""
        histories: dict[str, History] = {}
        for event in events:
            self.append_backfill(histories, event, oldest)
        for resource, history in histories.items():
            self.backfill_resource(resource, history)
        self.backfill_complete(histories, oldest)

    def append_backfill(self, histories: dict[str, History], event: RecordEvent, oldest: int) -> None:
        """Adds the next event to the histories that `backfill_resource` gets, which are complete after version `oldest`."""
        resource = event.key.resource
        if resource not in histories:
            histories[resource] = History(oldest, self._limits)
        histories[resource].append(event)

    def backfill_resource(self, resource: str, earlier: History) -> None:
        """`backfill` of one resource. Commits may come in between; `backfill_complete` comes after all resources."""
        history = self._history(resource)
        if history.oldest == self._history_start:
            before = history.bytes
            history.prepend(earlier)
            self._history_bytes += history.bytes - before

    def backfill_complete(self, resources: Collection[str], oldest: int) -> None:
        """`backfill_resource` got all that happened after version `oldest`, which was to these resources alone."""
        for resource, history in self._histories.items():
            if resource not in resources and history.oldest == self._history_start:
                history.oldest = oldest
        self._histories = dict(sorted(self._histories.items(), key=lambda entry: entry[1].newest))
        self._history_start = oldest
        self._forget()

    def apply(self, events: Sequence[RecordEvent]) -> None:
        """Makes memory show committed events, which come in the order of versions. `dispatch` calls the subscribers."""
        index = self._index
        for event in events:
            if event.record is None:
                index.remove(event.key)
            else:
                index.put(event.record)
            self._remember(event)
        self._forget()

    def follow(self, events: Sequence[RecordEvent], version: int) -> None:
        """Applies events that another owner committed, up to and with `version`, and calls the subscribers."""
        self.apply(events)
        self._floor = version
        self.dispatch(events)

    def advance(self, version: int) -> None:
        """Nothing of the range changed up to a version, which its owner proved by comparing its fence."""
        self._floor = max(self._floor, version)

    def freeze(self) -> None:
        """This shard does not own the range any more, so what it commits to others says nothing about this one."""
        self._floor = self.version
        self._applied = AppliedVersion()
        self.owned = False

    def dispatch(self, events: Sequence[RecordEvent]) -> None:
        """Calls the subscribers with events that memory shows."""
        self._subscriptions.dispatch(events)

    @property
    def _histories_start(self) -> int:
        """What the history of a resource that has none reaches back to."""
        return max(self._history_start, self._forgotten)

    def _history(self, resource: str) -> History:
        history = self._histories.get(resource)
        if history is None:
            history = self._histories[resource] = History(self._histories_start, self._limits)
        return history

    def _remember(self, event: RecordEvent) -> None:
        resource, histories = event.key.resource, self._histories
        history = histories.pop(resource, None)
        if history is None:
            history = History(self._histories_start, self._limits)
        # Behind the others: the order is that of the last writes.
        histories[resource] = history
        self._history_bytes += history.append(event)

    def _forget(self) -> None:
        """Drops histories, those that were not written for longest first, until the rest is within the limits of a range."""
        limits = self._limits
        while len(self._histories) > limits.resources or self._history_bytes > limits.range_bytes:
            history = self._histories.pop(next(iter(self._histories)))
            self._history_bytes -= history.bytes
            self._forgotten = max(self._forgotten, history.newest)


def _place(record: Record) -> tuple[str, str, str]:
    return in_key_order(record.key)
