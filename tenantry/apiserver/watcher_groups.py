"""Watchers, and groups of watchers that get the same events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence

from tenantry.apiserver.verbs.selection import Selection
from tenantry.apiserver.visibility import Visibility
from tenantry.apiserver.watch_events import ADDED, DELETED, MODIFIED, Encoder
from tenantry.base.tasks import restarting
from tenantry.base.time_slices import turns
from tenantry.http.messages import Sink, frame
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent

logger = logging.getLogger(__name__)

WatchChange = tuple[bytes, Record, int]
"""Type, content and version of an event."""

_PIECE = 64


class Watcher:
    """One watch stream. `pending` is a list while the initial events are being sent; later events wait in it. Then it is None."""

    __slots__ = ("alarm", "bookmarks", "dropped", "needs_columns", "pending", "pending_bytes", "sink")

    def __init__(self, sink: Sink, *, bookmarks: bool, needs_columns: bool) -> None:
        self.sink = sink
        self.bookmarks = bookmarks
        self.needs_columns = needs_columns
        self.pending: list[bytes] | None = []
        self.pending_bytes = 0
        self.alarm: asyncio.Timeout | None = None
        self.dropped = False

    def release(self) -> None:
        """Called when the initial events are sent: sends what is pending, and from now on sends events at once."""
        waiting, self.pending = self.pending, None
        for framed in waiting or ():
            self.sink.send(framed)

    def finish(self) -> None:
        """Ends the stream cleanly, as when its timeout is reached."""
        if self.alarm is not None and not self.alarm.expired():
            self.alarm.reschedule(asyncio.get_running_loop().time())

    def cut(self) -> None:
        """Closes the connection of a client that does not read."""
        self.dropped = True
        self.sink.abort()


class WatcherGroup:
    """Watchers of one collection with the same encoding and filter. They get no events with a version up to `after`."""

    def __init__(self, range_: Range, encoder: Encoder, selection: Selection, namespace: str, after: int) -> None:
        self.encoder = encoder
        self.name = selection.name
        self.watchers: dict[Watcher, None] = {}
        self._range = range_
        self._match = selection.matcher()
        self._namespace = namespace
        self._after = after

    def dispatch(self, events: Iterable[RecordEvent]) -> None:
        """Sends events to the watchers, as far as they match."""
        found = [change for event in events if (change := self.change(event)) is not None]
        if not found:
            return
        encode = self.encoder.event
        self.send(b"".join([encode(*change) for change in found]), lambda: b"".join(self._with_columns(found)))

    def change(self, event: RecordEvent) -> tuple[bytes, Record, int] | None:
        """What an event is for this group: type, content and version. None where it does not concern the group. An object that
        stops matching is DELETED, with its last content that matched."""
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
        """Writes `payload`, one or several lines, to every watcher. `with_columns` makes the same payload for watchers that need
        the columns: those at the first event of a stream of Tables."""
        framed = frame(payload)
        slow: list[Watcher] | None = None
        tables = self.encoder.has_columns
        for watcher in self.watchers:
            mine = framed
            if tables and watcher.needs_columns and with_columns is not None:
                watcher.needs_columns = False
                mine = frame(with_columns())
            if watcher.pending is not None:
                watcher.pending.append(mine)
                watcher.pending_bytes += len(mine)
                late = watcher.pending_bytes > watcher.sink.buffer_limit_bytes
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
        """The line of a bookmark at the current version. None while the range has not reached the version that the watchers wait
        for."""
        version = self._range.version
        return None if version < self._after else self.encoder.bookmark(version)

    def close(self) -> None:
        """Called when the last watcher has left."""

    def _with_columns(self, found: Sequence[tuple[bytes, Record, int]]) -> Iterable[bytes]:
        for index, (kind, record, version) in enumerate(found):
            yield self.encoder.event(kind, record, version, columns=index == 0)


class VisibilityGroup(WatcherGroup):
    """A group with a visibility that may change without a write. It remembers which records it has shown and compares."""

    def __init__(
        self, range_: Range, encoder: Encoder, selection: Selection, namespace: str, cluster: str | None, visibility: Visibility
    ) -> None:
        super().__init__(range_, encoder, selection, namespace, 0)
        self.shown: dict[Key, Record] = {}
        self._arrived_meanwhile: list[Sequence[RecordEvent]] | None = []
        """Events that arrived while records are being compared, to be dispatched afterwards. None while nothing is being
        compared."""
        self._comparing: asyncio.Task[None] | None = None
        self._cluster = cluster
        self._selection = selection
        self._resource = selection.definition.storage_key
        self._adds = visibility.adds
        self._scheduled = False
        self._by_name = cluster is not None and not selection.definition.namespaced
        self._changed_meanwhile: set[str] = set()
        """Names of which the visibility changed while records were being compared."""
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
    ) -> Sequence[WatchChange]:
        """Loads what the watcher sees at the start, and returns the first changes to send. Works in slices; events that arrive
        meanwhile are dispatched afterwards.

        `records` are those at the version where the watch begins. `events` is the history since then, and the changes are what
        these events mean. `events` is None where the watch begins with the current state, and the changes are then all selected
        records. `then` is the selection at the beginning, where it differs from the current one. In this case changes of
        visibility follow, too.
        """
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
        return super().bookmark() if self._arrived_meanwhile is None else None

    def dispatch(self, events: Iterable[RecordEvent]) -> None:
        if self._arrived_meanwhile is None:
            super().dispatch(events)
        else:
            self._arrived_meanwhile.append(tuple(events))

    def close(self) -> None:
        self._stop()
        if self._comparing is not None:
            self._comparing.cancel()

    def _go_on(self) -> None:
        early, self._arrived_meanwhile = self._arrived_meanwhile, None
        for events in early or ():
            super().dispatch(events)
        names, self._changed_meanwhile = self._changed_meanwhile, set()
        self._compare_named(names)

    def _changed(self, names: Collection[str] | None = None, /) -> None:
        if names is not None and self._by_name and len(names) <= _PIECE:
            if self._arrived_meanwhile is None:
                self._compare_named(names)
                return
            if len(self._changed_meanwhile) <= _PIECE:
                self._changed_meanwhile.update(names)
                return
        if not self._scheduled:
            self._scheduled = True
            if self._arrived_meanwhile is None:
                self._compare_soon()

    def _compare_soon(self) -> None:
        self._comparing = restarting(self._compare, name="compare what a watch shows", ends=True)

    async def _compare(self) -> None:
        try:
            while self._scheduled and self.watchers:
                self._scheduled = False
                await self._compare_once()
        except Exception:  # the watchers list again, which is better than a watch without events
            logger.exception("comparing a watch with what is visible failed; its watchers are ended")
            for watcher in list(self.watchers):
                watcher.finish()

    async def _compare_once(self) -> None:
        self._arrived_meanwhile = []
        version = self._range.version
        found, _ = await self._selection.choose(self._range.list(self._resource, self._cluster, self._namespace or None))
        now = {record.key: record for record in found}
        changes = [(DELETED, record, version) for key, record in self.shown.items() if key not in now]
        changes += [(ADDED, record, record.version) for key, record in now.items() if key not in self.shown]
        self.shown = now
        for at in range(0, len(changes), _PIECE):
            self._send_changes(changes[at : at + _PIECE])
            await turns.rest()
        self._go_on()
        if changes:
            self._send_bookmark()

    def _compare_named(self, names: Collection[str]) -> None:
        """Compares a few objects, at once. So a change that concerns one object costs a watcher no more than an event does."""
        cluster, version, match = self._cluster, self._range.version, self._match
        changes: list[WatchChange] = []
        if cluster is None:
            return
        for name in sorted(names):
            key = Key(cluster, self._resource, "", name)
            before, record = self.shown.get(key), self._range.get(key)
            if record is None or (match is not None and not match(record)):
                if before is not None:
                    del self.shown[key]
                    changes.append((DELETED, before, version))
            elif before is None:
                self.shown[key] = record
                changes.append((ADDED, record, record.version))
        if changes:
            self._send_changes(changes)
            self._send_bookmark()

    def _send_bookmark(self) -> None:
        """An object that came into sight has the version of its last write. Without a bookmark its watcher would resume from
        there."""
        for watcher in self.watchers:
            if watcher.bookmarks and watcher.pending is None and (line := super().bookmark()) is not None:
                watcher.sink.send(frame(line))

    def _send_changes(self, changes: Sequence[tuple[bytes, Record, int]]) -> None:
        lines = b"".join([self.encoder.event(*change) for change in changes])
        self.send(lines, lambda: b"".join(self._with_columns(changes)))
