"""From the commits of a range to its watchers.

    Range ──events──► WatchFeed (resource, cluster) ──► WatcherGroup (encoding, filter) ──one framed chunk──► each Watcher's sink

An event is matched, encoded and framed once for each group, however many watch. There is no task, queue or timer for a watcher:
a group writes to its watchers' sinks in one loop, and one timer for each range sends the bookmarks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Sequence

from tenantry.apiserver.scope import Visibility
from tenantry.apiserver.verbs.selection import Selection
from tenantry.apiserver.watch_events import ADDED, DELETED, MODIFIED, Encoder
from tenantry.apiserver.work import turns
from tenantry.base.tasks import restarting
from tenantry.http.messages import Sink, frame
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent

log = logging.getLogger(__name__)

Change = tuple[bytes, Record, int]
"""Type, content and version of an event."""

_PIECE = 64
BOOKMARK_SECONDS = 10
"""How often each watcher that asked gets a bookmark (kube-apiserver: about once a minute). A range's new owner has the platform's
last few thousand commits, whosever they are: a watcher that was told nothing for a minute could not resume on a busy platform."""


class Watcher:
    """One stream. `held` is a list while the initial events are still being sent: what happens meanwhile waits there."""

    __slots__ = ("alarm", "bookmarks", "dropped", "held", "held_bytes", "needs_columns", "sink")

    def __init__(self, sink: Sink, *, bookmarks: bool, needs_columns: bool) -> None:
        self.sink = sink
        self.bookmarks = bookmarks
        self.needs_columns = needs_columns
        self.held: list[bytes] | None = []
        self.held_bytes = 0
        self.alarm: asyncio.Timeout | None = None
        self.dropped = False

    def release(self) -> None:
        """The initial events are out: send what waited, and from now on everything at once."""
        waiting, self.held = self.held, None
        for framed in waiting or ():
            self.sink.send(framed)

    def finish(self) -> None:
        """Let the stream end in good order, as when its time is over."""
        if self.alarm is not None and not self.alarm.expired():
            self.alarm.reschedule(asyncio.get_running_loop().time())

    def cut(self) -> None:
        """Cut the connection of a client that does not read."""
        self.dropped = True
        self.sink.abort()


class WatcherGroup:
    """Watchers of one collection with the same encoding and filter. `after`: events up to this version are not for them."""

    def __init__(self, range_: Range, encoder: Encoder, selection: Selection, namespace: str, after: int) -> None:
        self.encoder = encoder
        self.name = selection.name
        self.watchers: dict[Watcher, None] = {}
        self._range = range_
        self._match = selection.matcher()
        self._namespace = namespace
        self._after = after

    def dispatch(self, events: Iterable[RecordEvent]) -> None:
        """Sends what the events mean to this group."""
        found = [change for event in events if (change := self.change(event)) is not None]
        if not found:
            return
        encode = self.encoder.event
        self.send(b"".join([encode(*change) for change in found]), lambda: b"".join(self._with_columns(found)))

    def change(self, event: RecordEvent) -> tuple[bytes, Record, int] | None:
        """The type, content and version that an event has here; None where it is none. An object that stops matching is DELETED
        with its last matching content."""
        if self._namespace and event.key.namespace != self._namespace:
            return None
        version = event.version
        if version <= self._after:
            return None
        record, previous, match = event.record, event.previous, self._match
        if match is not None:
            if record is not None and not match(record):
                record = None
            if previous is not None and not match(previous):
                previous = None
        if record is not None:
            return (ADDED if previous is None else MODIFIED), record, version
        return None if previous is None else (DELETED, previous, version)

    def send(self, payload: bytes, with_columns: Callable[[], bytes] | None = None) -> None:
        """Writes lines to every watcher. `with_columns` makes them for the first event in a stream of Tables."""
        framed = frame(payload)
        slow: list[Watcher] | None = None
        tables = self.encoder.has_columns
        for watcher in self.watchers:
            mine = framed
            if tables and watcher.needs_columns and with_columns is not None:
                watcher.needs_columns = False
                mine = frame(with_columns())
            if watcher.held is not None:
                watcher.held.append(mine)
                watcher.held_bytes += len(mine)
                late = watcher.held_bytes > watcher.sink.buffer_limit_bytes
            else:
                sink = watcher.sink
                sink.send(mine)
                late = sink.buffered_bytes > sink.buffer_limit_bytes
            if late:
                slow = [watcher] if slow is None else [*slow, watcher]
        for watcher in slow or ():
            del self.watchers[watcher]
            watcher.cut()

    def bookmark(self) -> bytes | None:
        """The bookmark line of now, None while the watchers wait for a version to come."""
        version = self._range.version
        return None if version < self._after else self.encoder.bookmark(version)

    def close(self) -> None:
        """Nobody watches any more."""

    def _with_columns(self, found: Sequence[tuple[bytes, Record, int]]) -> Iterable[bytes]:
        for index, (kind, record, version) in enumerate(found):
            yield self.encoder.event(kind, record, version, columns=index == 0)


class SeenGroup(WatcherGroup):
    """A group whose visibility may change without any write: it remembers what it showed, and compares."""

    def __init__(
        self, range_: Range, encoder: Encoder, selection: Selection, namespace: str, cluster: str | None, visibility: Visibility
    ) -> None:
        super().__init__(range_, encoder, selection, namespace, 0)
        self.shown: dict[Key, Record] = {}
        self._early: list[Sequence[RecordEvent]] | None = []
        """What came while records are looked through, to be looked at after them; None while nothing is."""
        self._comparing: asyncio.Task[None] | None = None
        self._cluster = cluster
        self._selection = selection
        self._resource = selection.definition.storage_key
        self._adds = visibility.adds
        self._scheduled = False
        self._stop = visibility.subscribe(self._changed)

    def change(self, event: RecordEvent) -> tuple[bytes, Record, int] | None:
        if self._namespace and event.key.namespace != self._namespace:
            return None
        record, match = event.record, self._match
        if record is not None and match is not None and not match(record):
            record = None
        previous = self.shown.pop(event.key, None)
        if record is not None:
            self.shown[event.key] = record
            added = previous is None and (self._adds or event.previous is None)
            return (ADDED if added else MODIFIED), record, event.version
        return None if previous is None else (DELETED, previous, event.version)

    async def begin(
        self, records: Sequence[Record], events: Iterable[RecordEvent] | None, then: Selection | None = None
    ) -> Sequence[Change]:
        """Takes up what is shown of the records that were there when history begins, in slices, and returns what a watcher gets
        first: what the events since mean, or without events that all this is there. What comes meanwhile follows, and is held
        back by it. `then`: what was selected when history begins, where that was something else; what changed without a write
        follows too."""
        chosen, _ = await (then or self._selection).choose(records)
        self.shown = {record.key: record for record in chosen}
        self._scheduled |= then is not None
        if events is None:
            changes = [(ADDED, record, record.version) for record in self.shown.values()]
        else:
            changes = [change for event in events if (change := self.change(event)) is not None]
        self._go_on()
        if self._scheduled:
            self._compare_soon()
        return changes

    def bookmark(self) -> bytes | None:
        return super().bookmark() if self._early is None else None

    def dispatch(self, events: Iterable[RecordEvent]) -> None:
        if self._early is None:
            super().dispatch(events)
        else:
            self._early.append(tuple(events))

    def close(self) -> None:
        self._stop()
        if self._comparing is not None:
            self._comparing.cancel()

    def _go_on(self) -> None:
        early, self._early = self._early, None
        for events in early or ():
            super().dispatch(events)

    def _changed(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            if self._early is None:
                self._compare_soon()

    def _compare_soon(self) -> None:
        self._comparing = restarting(self._compare, name="compare what a watch shows", ends=True)

    async def _compare(self) -> None:
        try:
            while self._scheduled and self.watchers:
                self._scheduled = False
                await self._compare_once()
        except Exception:  # its watchers list again, which is better than to be told nothing more
            log.exception("a watch could not be brought up to date")
            for watcher in list(self.watchers):
                watcher.finish()

    async def _compare_once(self) -> None:
        self._early = []
        version = self._range.version
        found, _ = await self._selection.choose(self._range.list(self._resource, self._cluster, self._namespace or None))
        now = {record.key: record for record in found}
        changes = [(DELETED, record, version) for key, record in self.shown.items() if key not in now]
        changes += [(ADDED, record, record.version) for key, record in now.items() if key not in self.shown]
        self.shown = now
        for at in range(0, len(changes), _PIECE):
            self._tell(changes[at : at + _PIECE])
            await turns.rest()
        self._go_on()

    def _tell(self, changes: Sequence[tuple[bytes, Record, int]]) -> None:
        lines = b"".join([self.encoder.event(*change) for change in changes])
        self.send(lines, lambda: b"".join(self._with_columns(changes)))


class WatchFeed:
    """The subscription of all groups that watch one resource of one cluster (None: of all in the range)."""

    def __init__(self, range_: Range, resource: str, cluster: str | None) -> None:
        self._groups: dict[Hashable, WatcherGroup] = {}
        self._wide: dict[WatcherGroup, None] = {}
        self._named: dict[str, list[WatcherGroup]] = {}
        self._stop = range_.subscribe(self._arrived, resource, cluster)

    def find(self, key: Hashable) -> WatcherGroup | None:
        return self._groups.get(key)

    def add(self, key: Hashable, group: WatcherGroup) -> None:
        self._groups[key] = group
        if group.name:
            self._named.setdefault(group.name, []).append(group)
        else:
            self._wide[group] = None

    def remove(self, key: Hashable) -> bool:
        """Whether nothing is left."""
        group = self._groups.pop(key)
        if group.name:
            same = self._named[group.name]
            same.remove(group)
            if not same:
                del self._named[group.name]
        else:
            del self._wide[group]
        group.close()
        if not self._groups:
            self._stop()
        return not self._groups

    @property
    def groups(self) -> Iterable[WatcherGroup]:
        return self._groups.values()

    def _arrived(self, events: Sequence[RecordEvent]) -> None:
        for group in list(self._wide):
            group.dispatch(events)
        if self._named:
            mine: dict[WatcherGroup, list[RecordEvent]] = {}
            for event in events:
                for group in self._named.get(event.key.name, ()):
                    mine.setdefault(group, []).append(event)
            for group, found in mine.items():
                group.dispatch(found)


class Hub:
    """All watches of one range."""

    def __init__(self, range_: Range) -> None:
        self._range = range_
        self._feeds: dict[tuple[str, str | None], WatchFeed] = {}
        self._slots: list[dict[Watcher, WatcherGroup]] = [{} for _ in range(BOOKMARK_SECONDS)]
        self._slot = 0
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    def join(
        self, watcher: Watcher, encoder: Encoder, selection: Selection, namespace: str, cluster: str | None, after: int
    ) -> tuple[WatcherGroup, Callable[[], None]]:
        """Puts a watcher into its group; events from now on reach it. Returns the group, and how to leave it."""
        resource = selection.definition.storage_key
        feed = self._feeds.get((resource, cluster))
        if feed is None:
            feed = self._feeds[resource, cluster] = WatchFeed(self._range, resource, cluster)
        visibility = selection.visibility
        key: Hashable
        group: WatcherGroup | None = None
        if visibility is not None:
            key = watcher
            group = SeenGroup(self._range, encoder, selection, namespace, cluster, visibility)
            feed.add(key, group)
        else:
            key = (encoder, selection.labels, selection.fields, namespace, after)
            group = feed.find(key)
            if group is None:
                group = WatcherGroup(self._range, encoder, selection, namespace, after)
                feed.add(key, group)
        joined = group
        joined.watchers[watcher] = None
        if not self._range.owned:
            watcher.finish()
        slot = self._slots[self._slot]
        if watcher.bookmarks:
            slot[watcher] = joined
            self._waiting += 1
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(1.0, self._tick)

        def leave() -> None:
            joined.watchers.pop(watcher, None)
            if slot.pop(watcher, None) is not None:
                self._waiting -= 1
                if not self._waiting and self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
            if not joined.watchers and feed.find(key) is joined and feed.remove(key):
                del self._feeds[resource, cluster]
                if not self._feeds and self._range.watches is self:
                    self._range.watches = None

        return joined, leave

    def end(self) -> None:
        """Ends every stream in good order: the range is served elsewhere from now on."""
        for feed in list(self._feeds.values()):
            for group in list(feed.groups):
                for watcher in list(group.watchers):
                    watcher.finish()

    @property
    def watchers(self) -> int:
        return sum(len(group.watchers) for feed in self._feeds.values() for group in feed.groups)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(1.0, self._tick)
        self._slot = (self._slot + 1) % BOOKMARK_SECONDS
        made: dict[WatcherGroup, bytes | None] = {}
        for watcher, group in self._slots[self._slot].items():
            if watcher.held is not None or watcher.dropped:
                continue
            if group not in made:
                line = group.bookmark()
                made[group] = None if line is None else frame(line)
            framed = made[group]
            if framed is not None:
                watcher.sink.send(framed)


def hub_of(range_: Range) -> Hub:
    """The hub of a range, for who joins it; it exists while anybody watches."""
    hub = range_.watches
    if not isinstance(hub, Hub):
        hub = range_.watches = Hub(range_)
    return hub


def end_watches(range_: Range) -> None:
    """Ends every stream of a range in good order: it is served elsewhere from now on."""
    if isinstance(range_.watches, Hub):
        range_.watches.end()
