"""Watchers, and groups of watchers that get the same events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tenantry.apiserver.verbs.candidates import Candidates
from tenantry.apiserver.verbs.selection import Selection
from tenantry.apiserver.watch_events import ADDED, DELETED, MODIFIED, Encoder
from tenantry.http.messages import Sink
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent

WatchChange = tuple[bytes, Record, int]
"""Type, content and version of an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchStart:
    """Where a watch begins: with the current state, which is sent if `initial`; or at `version`, with the history since then.

    `events`: that history, None for the current state. `then`: the selection at that version, None where it has not changed
    since.
    """

    candidates: Candidates
    initial: bool
    version: int = 0
    events: Sequence[RecordEvent] | None = None
    then: Selection | None = None


class Watcher:
    """One watch stream. `pending` is a list while the initial events are being sent; later events wait in it. Then it is None."""

    __slots__ = ("alarm", "bookmarks", "dropped", "group", "needs_columns", "pending", "pending_bytes", "sink")

    def __init__(self, sink: Sink, *, bookmarks: bool, needs_columns: bool) -> None:
        self.sink = sink
        self.group: WatcherGroup | None = None
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
    """Watchers of one collection with the same encoding and filter. They get no events with a version up to `after`.

    `key`: the group in its feed. Groups with equal keys send equal events.
    """

    def __init__(self, key: Hashable, range_: Range, encoder: Encoder, selection: Selection, namespace: str, after: int) -> None:
        self.key = key
        self.encoder = encoder
        self.name = selection.name
        self.watchers: dict[Watcher, None] = {}
        self._range = range_
        self.failed = False
        self._match = selection.matcher()
        self._namespace = namespace
        self._after = after

    def join(self, watcher: Watcher) -> None:
        """From now on the watcher gets what the group sends."""
        self.watchers[watcher] = None
        watcher.group = self

    async def begin(self, start: WatchStart) -> Iterable[WatchChange | None]:
        """The first changes for a watcher that has just joined: what is sent later continues them. None stands for a record that
        is not shown."""
        if start.events is not None:
            return map(self.change, start.events)
        return self._added(list(start.candidates.now())) if start.initial else ()

    def dispatch(self, events: Iterable[RecordEvent]) -> None:
        """Sends events to the watchers, as far as they match."""
        found = [change for event in events if (change := self.change(event)) is not None]
        if not found:
            return
        encode = self.encoder.event
        self.send(b"".join([encode(*change) for change in found]), lambda: b"".join(self._with_columns(found)))

    def fail(self) -> None:
        """Ends the watchers, since an event could not be matched or encoded. They get nothing after the last event before it, so
        that they resume from there."""
        self.failed = True
        watchers = list(self.watchers)
        self.watchers.clear()
        for watcher in watchers:
            watcher.finish()

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
        framed = self.encoder.framed(payload)
        slow: list[Watcher] | None = None
        tables = self.encoder.has_columns
        for watcher in self.watchers:
            mine = framed
            if tables and watcher.needs_columns and with_columns is not None:
                watcher.needs_columns = False
                mine = self.encoder.framed(with_columns())
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
        for, and after a failure."""
        version = self._range.version
        return None if version < self._after or self.failed else self.encoder.bookmark(version)

    def close(self) -> None:
        """Called when the last watcher has left."""

    def _added(self, records: Sequence[Record]) -> Iterator[WatchChange | None]:
        match = self._match
        for record in records:
            yield (ADDED, record, record.version) if match is None or match(record) else None

    def _with_columns(self, found: Sequence[tuple[bytes, Record, int]]) -> Iterable[bytes]:
        for index, (kind, record, version) in enumerate(found):
            yield self.encoder.event(kind, record, version, columns=index == 0)
