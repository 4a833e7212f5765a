"""A range in memory: the objects of the clusters in `[start, end)`, their history, and their subscribers."""

from __future__ import annotations

import asyncio
import builtins
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from tenantry.storage.history import History, HistoryLimits, TooOld
from tenantry.storage.index import Index, in_key_order
from tenantry.storage.keys import Key
from tenantry.storage.marked import MarkedKeys
from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.record import Record, RecordEvent
from tenantry.storage.selector_index import NAME, SelectorIndexes
from tenantry.storage.subscriptions import EventCallback, Subscriptions

__all__ = ["AppliedVersion", "EventCallback", "Range", "TooOld"]


class AppliedVersion:
    """The version of the last commit that a shard applied to memory. All ranges of the shard share it."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Range:
    """The objects of one range. Reads are synchronous, on the event loop. Only `load`, `backfill` and `apply` change it.

    `base`: the range from which this one is computed, None for the ranges of the map. Its watches end with those of its base.

    `version`: the resourceVersion at which the range is loaded. `applied`: the version of the owner's last commit to any of its
    ranges. No other shard writes this range, so it is also the version of this range.

    `marks`: resource → a text of some of its values, for `marked`.
    """

    base: Range | None = None

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
        marks: Mapping[str, bytes] | None = None,
    ) -> None:
        self.name = name
        self.start = start
        self.end = end
        self.owned = True
        self.requests = 0
        """How many requests this range has answered."""
        self._floor = version
        self._history_start = version
        self._applied = applied if applied is not None else AppliedVersion()
        self._guard = guard if guard is not None else ReadGuard()
        self._limits = limits if limits is not None else HistoryLimits()
        self._index = Index()
        self._selectors = SelectorIndexes(self._index)
        self._marked = MarkedKeys(marks or {})
        self._histories: dict[str, History] = {}
        """Histories by resource, the least recently written first."""
        self._history_bytes = 0
        self._forgotten = 0
        """The newest version of all dropped histories. A resource without a history may lack events up to it."""
        self._backfill: asyncio.Event | None = None
        self._subscriptions = Subscriptions()

    def __repr__(self) -> str:
        return f"<Range {self.name} [{self.start}, {self.end}) version={self.version} owned={self.owned}>"

    def __contains__(self, cluster: str) -> bool:
        return self.start <= cluster < self.end

    @property
    def version(self) -> int:
        """The present resourceVersion of the range: that of the last commit that this shard applied to any of its ranges."""
        applied = self._applied.value
        return applied if applied > self._floor else self._floor

    @property
    def readable(self) -> bool:
        """Whether reads may be answered from memory: this shard owns the range and its session is provably alive."""
        return self.owned and self._guard.alive

    @property
    def size(self) -> int:
        """The number of objects."""
        return self._index.size

    def usage(self, cluster: str) -> tuple[int, int]:
        """The number of objects of a cluster, and the bytes of their values. Both are counters, so this is cheap."""
        return self._index.usage(cluster)

    def get(self, key: Key) -> Record | None:
        return self._index.get(key)

    def list(self, resource: str, cluster: str | None = None, namespace: str | None = None) -> Sequence[Record]:
        """The records in the order of keys (None: all). This is not a copy: do not change it, and do not keep it over an
        await."""
        return self._index.list(resource, cluster, namespace)

    def each(self, resource: str | None = None, cluster: str | None = None, namespace: str | None = None) -> Iterator[Record]:
        """As `list`, unordered and lazy, for use in slices. Each record is the current one. Records that are added during the
        iteration may be missing; subscribers get their events."""
        return self._index.each(resource, cluster, namespace)

    def named(
        self, resource: str, name: str, cluster: str | None = None, namespace: str | None = None
    ) -> Sequence[Record] | None:
        """The records with a name, in the order of keys (None: of all clusters or namespaces). None where neither few places nor
        an index (`prepare`) make that cheap."""
        found = self._index.named(resource, name, cluster, namespace)
        return found if found is not None else self.labelled(resource, NAME, (name,), cluster, namespace)

    def labelled(
        self,
        resource: str,
        label: str,
        values: Iterable[str] | None,
        cluster: str | None = None,
        namespace: str | None = None,
    ) -> Sequence[Record] | None:
        """The records with one of these values of a label (distinct; None: with any value), in the order of keys. None where
        there is no index (`prepare`), or where there are too many for it."""
        keys = self._selectors.find((resource, cluster, namespace), label, values)
        if keys is None:
            return None
        get = self._index.get
        return [record for key in sorted(keys, key=in_key_order) if (record := get(key)) is not None]

    def marked(self, resource: str, cluster: str) -> Sequence[Record]:
        """The records of a cluster whose value has the mark of their resource, in the order of keys. Raises KeyError where the
        resource has none (`marks`)."""
        get = self._index.get
        return [record for key in self._marked.of(resource, cluster) if (record := get(key)) is not None]

    def is_indexed(self, resource: str, label: str, cluster: str | None = None, namespace: str | None = None) -> bool:
        """Whether `labelled` has an index for a label."""
        return self._selectors.has((resource, cluster, namespace), label)

    async def prepare(self, resource: str, label: str, cluster: str | None = None, namespace: str | None = None) -> None:
        """Called before `labelled` or `named` (`label` is `selector_index.NAME`): makes an index in slices if this is asked
        for repeatedly and worthwhile."""
        await self._selectors.prepare((resource, cluster, namespace), label)

    def list_at(
        self,
        version: int,
        resource: str,
        cluster: str | None = None,
        namespace: str | None = None,
        now: Sequence[Record] | None = None,
    ) -> Sequence[Record]:
        """As `list`, at a version of the past. `now`: some of the present records, in the order of keys. Then the result has
        those that did not change since, and all records as they were that did change. Raises TooOld."""
        later = [
            event
            for event in self.events_after(version, resource, cluster)
            if namespace is None or event.key.namespace == namespace
        ]
        if now is None:
            now = self._index.list(resource, cluster, namespace)
        if not later:
            return now
        before: dict[Key, Record | None] = {}
        for event in later:
            before.setdefault(event.key, event.previous)
        # Records that did not change since are copied in slices, which is fast.
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

    def having(self, resources: Iterable[str], cluster: str) -> tuple[str, ...]:
        """Finds the resources of which a cluster has an object, in the order in which they are given."""
        return self._index.having(resources, cluster)

    def clusters(self, resource: str | None = None) -> Iterable[str]:
        """The clusters that have any object, or any object of the resource, in order."""
        return self._index.clusters() if resource is None else tuple(self._index.clusters_in_order(resource))

    def resources(self, cluster: str) -> Iterable[str]:
        """The resources (`Key.resource`) of which the cluster has objects, in order."""
        return self._index.resources(cluster)

    def oldest(self, resource: str) -> int:
        """The oldest version that a watch of the resource can resume from."""
        history = self._histories.get(resource)
        return self._histories_start if history is None else history.oldest

    async def reached(self, version: int) -> None:
        """Returns after an event that shows that the range has reached a version. The caller limits the wait, and looks once more
        after it: the version also grows without events."""
        arrived = asyncio.Event()

        def look(_: object) -> None:
            if self.version >= version:
                arrived.set()

        stop = self.subscribe(look)
        try:
            await arrived.wait()
        finally:
            stop()

    async def backfilled(self, version: int) -> None:
        """Returns when the history goes back to a version, or when the backfill has ended. The range may have been released
        meanwhile."""
        if version < self._history_start and self._backfill is not None:
            await self._backfill.wait()

    def events_after(self, version: int, resource: str, cluster: str | None = None) -> Sequence[RecordEvent]:
        """The events with a higher version, oldest first. `cluster` None: of all clusters. Raises TooOld."""
        history = self._histories.get(resource)
        if history is None:
            if version < self._histories_start:
                raise TooOld(self._histories_start)
            return ()
        events = history.after(version)
        return events if cluster is None else [event for event in events if event.key.cluster == cluster]

    def subscribe(self, callback: EventCallback, resource: str | None = None, cluster: str | None = None) -> Callable[[], None]:
        """Subscribes to the events of a resource and cluster (None: all). Returns a function that unsubscribes.

        `callback` gets the events of each commit after memory shows them. It runs on the event loop and must not block. If it
        raises, the error is logged and it stays subscribed."""
        return self._subscriptions.add(callback, resource, cluster)

    def load(self, records: Iterable[Record]) -> None:
        """Adds the records that a range begins with. They have no history, and subscribers are not called."""
        self._selectors.clear()
        put, marked = self._index.put, self._marked
        for record in records:
            put(record)
            if record.key.resource in marked.marks:
                marked.put(record)

    def loaded(self, version: int) -> None:
        """Called when all records were loaded, as they were at `version`. The history begins there."""
        self._floor = version
        self._history_start = version

    def expect_backfill(self) -> None:
        """Makes `backfilled` wait until `backfill_ended` is called."""
        self._backfill = asyncio.Event()

    def backfill_ended(self) -> None:
        """Called when no more history will be read."""
        if self._backfill is not None:
            self._backfill.set()
            self._backfill = None

    def backfill(self, events: Iterable[RecordEvent], oldest: int) -> None:
        """Puts the store's history before the events since the load. `events`: all events after version `oldest` and up to the
        load, in the order of versions. A history that has dropped events since the load is not changed."""
        histories: dict[str, History] = {}
        for event in events:
            self.append_backfill(histories, event, oldest)
        for resource, history in histories.items():
            self.backfill_resource(resource, history)
        self.backfill_complete(histories, oldest)

    def append_backfill(self, histories: dict[str, History], event: RecordEvent, oldest: int) -> None:
        """Adds the next event to `histories`, the arguments for `backfill_resource`. They are complete after version `oldest`."""
        resource = event.key.resource
        if resource not in histories:
            histories[resource] = History(oldest, self._limits)
        histories[resource].append(event)

    def backfill_resource(self, resource: str, earlier: History) -> None:
        """`backfill` for one resource. Commits may be applied between the resources. Call `backfill_complete` after the last
        one."""
        history = self._history(resource)
        if history.oldest == self._history_start:
            before = history.bytes
            history.prepend(earlier)
            self._history_bytes += history.bytes - before

    def backfill_complete(self, resources: Collection[str], oldest: int) -> None:
        """Ends a backfill by resource. `resources`: all resources that have events after version `oldest` and before the load."""
        for resource, history in self._histories.items():
            if resource not in resources and history.oldest == self._history_start:
                history.oldest = oldest
        self._histories = dict(sorted(self._histories.items(), key=lambda entry: entry[1].newest))
        self._history_start = oldest
        self._forget()

    def apply(self, events: Sequence[RecordEvent]) -> None:
        """Applies committed events to memory, in the order of versions. It does not call the subscribers: `dispatch` does."""
        index, marked = self._index, self._marked
        for event in events:
            if event.record is None:
                index.remove(event.key)
            else:
                index.put(event.record)
            if event.key.resource in marked.marks:
                marked.put(event.record) if event.record is not None else marked.remove(event.key)
            self._remember(event)
        if self._selectors.made:
            self._selectors.apply(events)
        self._forget()

    def follow(self, events: Sequence[RecordEvent], version: int) -> None:
        """Applies the events that another owner committed up to `version`, included, and calls the subscribers."""
        self.apply(events)
        self._floor = version
        self.dispatch(events)

    def advance(self, version: int) -> None:
        """Raises the version: nothing in the range changed up to it. A commit that compared the fence of the range proves
        that."""
        self._floor = max(self._floor, version)

    def freeze(self) -> None:
        """Marks the range as not owned. From now on the shard's other commits do not raise its version."""
        self._floor = self.version
        self._applied = AppliedVersion()
        self.owned = False
        self._selectors.clear()

    def dispatch(self, events: Sequence[RecordEvent]) -> None:
        """Calls the subscribers with events that were applied."""
        self._subscriptions.dispatch(events)

    @property
    def _histories_start(self) -> int:
        """The oldest version of a resource that has no history."""
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
        """Drops histories, the least recently written first, until the rest is within the limits of a range."""
        limits = self._limits
        while len(self._histories) > limits.resources or self._history_bytes > limits.range_bytes:
            history = self._histories.pop(next(iter(self._histories)))
            self._history_bytes -= history.bytes
            self._forgotten = max(self._forgotten, history.newest)


def _place(record: Record) -> tuple[str, str, str]:
    return in_key_order(record.key)
