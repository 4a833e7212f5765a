"""Watchers of a version to which a webhook converts.

    WatchFeed ──events──► queue ──► Converter ──► WatcherGroup.dispatch: matched, encoded and sent in order

Events that need no conversion are sent at once where none waits. A bookmark never overtakes an event: while events wait, it has
the version before the first of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence

from tenantry.apiserver.conversion.converter import VersionConverter
from tenantry.apiserver.verbs.selection import Selection
from tenantry.apiserver.watch_events import Encoder
from tenantry.apiserver.watcher_groups import WatchChange, Watcher, WatcherGroup, WatchStart
from tenantry.base.tasks import awaited, raised
from tenantry.kube.status import StatusError
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent

WAITING_BYTES_MAX = 8 << 20
"""Above that, the watchers of a group end, and resume from the last event that they got."""
_EVENT_BYTES = 500
_TOGETHER = 100
"""Events that are converted together."""


class ConvertedGroup(WatcherGroup):
    """For the rest see `WatcherGroup`. The definition of `encoder` and `selection` is that of `stored_in`. `end`: ends the
    watchers of a group that cannot go on."""

    def __init__(
        self,
        key: Hashable,
        range_: Range,
        encoder: Encoder,
        selection: Selection,
        namespace: str,
        after: int,
        converter: VersionConverter,
        end: Callable[[WatcherGroup], None],
    ) -> None:
        super().__init__(key, range_, encoder, selection, namespace, after)
        self._converter = converter
        self._end = end
        self._filters = selection.has_selectors
        self._waiting: deque[RecordEvent] = deque()
        self._waiting_bytes = 0
        self._since: dict[Watcher, int] = {}
        """The versions from which on watchers get events, of those that joined while older ones were waiting."""
        self._task: asyncio.Task[None] | None = None

    def join(self, watcher: Watcher) -> None:
        super().join(watcher)
        if self._waiting:
            self._since[watcher] = self._range.version

    async def begin(self, start: WatchStart) -> Iterable[WatchChange | None]:
        """Raises StatusError 500 where an object cannot be converted."""
        if start.events is not None:
            return map(self.change, await self._converted(start.events))
        if not start.initial:
            return ()
        found = list(start.candidates.now())
        return self._added(await self._converter.shown(found))

    def dispatch(self, events: Iterable[RecordEvent]) -> None:
        if self.failed:
            return
        mine = [event for event in events if self._concerns(event)]
        if not self._waiting and not any(
            self._converter.is_elsewhere(record) for event in mine for record in self._needed(event)
        ):
            super().dispatch(mine)
            return
        for event in mine:
            self._waiting.append(event)
            self._waiting_bytes += _weight(event)
        if self._waiting_bytes > WAITING_BYTES_MAX:
            self._end(self)
        elif self._task is None and self._waiting:
            self._task = awaited(self._send_waiting(), name="converted-watch")

    def bookmark(self) -> bytes | None:
        if not self._waiting or self.failed:
            return super().bookmark()
        version = self._waiting[0].version - 1
        return None if version < self._after else self.encoder.bookmark(version)

    def fail(self) -> None:
        # Its watchers may take long to leave.
        self._waiting.clear()
        self._waiting_bytes = 0
        self._since.clear()
        super().fail()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _concerns(self, event: RecordEvent) -> bool:
        return event.version > self._after and (not self._namespace or event.key.namespace == self._namespace)

    def _needed(self, event: RecordEvent) -> Iterable[Record]:
        """The records that are looked at: the previous one, where it is shown or matched."""
        if event.record is not None:
            yield event.record
        if event.previous is not None and (event.record is None or self._filters):
            yield event.previous

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting[at] for at in range(min(len(self._waiting), _TOGETHER))]
                made = await self._converted(batch)
                if self.failed:
                    return
                for event in made:
                    self._send(event)
                for event in batch:
                    self._waiting.popleft()
                    self._waiting_bytes -= _weight(event)
            self._since.clear()
        except StatusError:
            # Upstream ends the watches of a type, too. What is wrong is told to those who watch or list again.
            self._end(self)
        except Exception:  # a filter or an encoder may raise any error
            raised("sending a converted event to watchers, which are ended")
            self._end(self)
        finally:
            self._task = None

    def _send(self, event: RecordEvent) -> None:
        """Sends an event to those who joined before it happened."""
        late = [watcher for watcher, since in self._since.items() if since >= event.version and watcher in self.watchers]
        for watcher in late:
            del self.watchers[watcher]
        super().dispatch((event,))
        for watcher in late:
            self.watchers[watcher] = None

    async def _converted(self, events: Sequence[RecordEvent]) -> Sequence[RecordEvent]:
        wanted: list[Record] = []
        for event in events:
            if self._concerns(event):
                wanted += self._needed(event)
        shown = await self._converter.shown(wanted)
        made = {id(before): after for before, after in zip(wanted, shown, strict=True)}
        return [
            RecordEvent(
                event.key,
                event.version,
                _found(made, event.record),
                _found(made, event.previous),
            )
            for event in events
        ]


def _found(made: dict[int, Record], record: Record | None) -> Record | None:
    return None if record is None else made.get(id(record), record)


def _weight(event: RecordEvent) -> int:
    return _EVENT_BYTES + sum(len(record.value) for record in (event.record, event.previous) if record is not None)
