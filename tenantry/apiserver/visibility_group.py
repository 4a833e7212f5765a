"""Groups of watchers whose filter may give another answer without a write, because a visibility decides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence

from tenantry.apiserver.verbs.candidates import Candidates
from tenantry.apiserver.verbs.selection import Selection
from tenantry.apiserver.visibility import Visibility
from tenantry.apiserver.watch_events import ADDED, DELETED, MODIFIED, Encoder
from tenantry.apiserver.watcher_groups import WatchChange, WatcherGroup, WatchStart
from tenantry.base.tasks import restarting
from tenantry.base.time_slices import in_slices, turns
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent

logger = logging.getLogger(__name__)

_PIECE = 64
_WAITING_MAX = 1024
"""Batches of events that wait for their turn. Watchers of a group with more of them are ended, and resume in slices of their
own."""


class VisibilityGroup(WatcherGroup):
    """It remembers which records it has shown, and compares them with what is visible when the visibility changes.

    Where a single record may take long (`Visibility.in_slices`), events wait in a queue of the group, and its task works on
    them one by one, with rests.

    `shared_key`: what groups that send the same have in common; None where no other does. `synced`: called when the group has
    shown what is visible, at its beginning and after each change of the visibility.
    """

    def __init__(
        self,
        key: Hashable,
        shared_key: Hashable | None,
        range_: Range,
        encoder: Encoder,
        selection: Selection,
        namespace: str,
        cluster: str | None,
        visibility: Visibility,
        synced: Callable[[VisibilityGroup], None],
    ) -> None:
        super().__init__(key, range_, encoder, selection, namespace, 0)
        self.shared_key = shared_key
        self.shown: dict[Key, Record] = {}
        self._arrived_meanwhile: list[Sequence[RecordEvent]] | None = []
        """Events that arrived while records are being compared, to be dispatched afterwards. None while nothing is being
        compared."""
        self._comparing: asyncio.Task[None] | None = None
        self._cluster = cluster
        self._selection = selection
        self._resource = selection.definition.storage_key
        self._candidates = Candidates(range_, selection, cluster, namespace or None)
        self._adds = visibility.adds
        self._in_slices = visibility.in_slices
        self._scheduled = False
        self._by_name = cluster is not None and not selection.definition.namespaced
        self._changed_meanwhile: set[str] = set()
        """Names of which the visibility changed while records were being compared."""
        self._synced = synced
        self._stop = visibility.subscribe(self._changed)

    @property
    def is_synced(self) -> bool:
        """Whether its watchers have been sent all that is visible now: it does not compare, and need not."""
        return self._arrived_meanwhile is None and not self._scheduled

    def change(self, event: RecordEvent) -> WatchChange | None:
        return self._change(event, self.shown)

    async def begin(self, start: WatchStart) -> Iterable[WatchChange | None]:
        """Loads what is visible at the start, for the first watcher. Works in slices; events that arrive meanwhile are dispatched
        afterwards. Where the selection was another one at the start, changes of visibility follow, too. Raises TooOld where it
        is not known any more."""
        events = start.events
        records = list(start.candidates.now() if events is None else start.candidates.at(start.version))
        chosen, _ = await (start.then or self._selection).choose(records)
        self.shown = {record.key: record for record in chosen}
        self._scheduled |= start.then is not None
        changes: Sequence[WatchChange] = ()
        if events is not None and self._in_slices:
            changes = [change async for event in in_slices(events, 1) if (change := self.change(event)) is not None]
        elif events is not None:
            changes = [change for event in events if (change := self.change(event)) is not None]
        elif start.initial:
            changes = [(ADDED, record, record.version) for record in chosen]
        self._go_on()
        if self._scheduled or self._arrived_meanwhile is not None:
            self._compare_soon()
        else:
            self._synced(self)
        return changes

    def continued(self, start: WatchStart) -> Iterable[WatchChange | None] | None:
        """The first changes for a watcher that joins now, after other ones: from what the group has shown. None where it cannot
        join, because the group is not synced or the watcher was shown something else at its version."""
        if not self.is_synced or start.then is not None or (self._in_slices and start.events):
            return None
        if start.events is not None:
            return self._replayed(start.events)
        if not start.initial:
            return ()
        return _shown_of(list(start.candidates.now()), self.shown.copy())

    def bookmark(self) -> bytes | None:
        """None also where what became visible is not sent yet: who resumed from the bookmark would never get it."""
        return super().bookmark() if self._arrived_meanwhile is None and not self._scheduled else None

    def dispatch(self, events: Iterable[RecordEvent]) -> None:
        waiting = self._arrived_meanwhile
        if waiting is not None:
            waiting.append(tuple(events))
            if self._in_slices and len(waiting) > _WAITING_MAX:
                for watcher in list(self.watchers):
                    watcher.finish()
        elif self._in_slices:
            self._arrived_meanwhile = [tuple(events)]
            self._compare_soon()
        else:
            super().dispatch(events)

    def move_to(self, other: VisibilityGroup) -> bool:
        """Moves the watchers to a group that sends the same, if their watchers were shown the same until now."""
        if not (self.is_synced and other.is_synced and self.shown == other.shown):
            return False
        for watcher in self.watchers:
            other.join(watcher)
        self.watchers.clear()
        return True

    def close(self) -> None:
        self._stop()
        if self._comparing is not None:
            self._comparing.cancel()

    def _change(self, event: RecordEvent, shown: dict[Key, Record]) -> WatchChange | None:
        if self._namespace and event.key.namespace != self._namespace:
            return None
        record, match = event.record, self._match
        if record is not None and match is not None and not match(record):
            record = None
        previous = shown.pop(event.key, None)
        if record is not None:
            shown[event.key] = record
            added = previous is None and (self._adds or event.previous is None)
            return (ADDED if added else MODIFIED), record, event.version
        return None if previous is None else (DELETED, previous, event.version)

    def _replayed(self, events: Sequence[RecordEvent]) -> Sequence[WatchChange] | None:
        """What these last events meant for a watcher that saw the same objects before them. None where that ends with other
        objects than the group has shown."""
        match, shown = self._match, self.shown
        mine: dict[Key, Record] = {}
        seen: set[Key] = set()
        changes: list[WatchChange] = []
        for event in events:
            if event.key not in seen:
                seen.add(event.key)
                if event.previous is not None and (match is None or match(event.previous)):
                    mine[event.key] = event.previous
            change = self._change(event, mine)
            if change is not None:
                changes.append(change)
        if any(mine.get(key) is not shown.get(key) for key in seen if not self._namespace or key.namespace == self._namespace):
            return None
        return changes

    def _go_on(self) -> None:
        if self._in_slices and self._arrived_meanwhile:
            # The task works on them.
            return
        early, self._arrived_meanwhile = self._arrived_meanwhile, None
        for events in early or ():
            super().dispatch(events)
        names, self._changed_meanwhile = self._changed_meanwhile, set()
        self._compare_named(names)

    def _changed(self, names: Collection[str] | None = None, /) -> None:
        if names is not None and self._by_name and len(names) <= _PIECE:
            if self._arrived_meanwhile is None:
                try:
                    self._compare_named(names)
                except Exception:  # the watchers list again, as below
                    self._failed()
                return
            if len(self._changed_meanwhile) <= _PIECE:
                self._changed_meanwhile.update(names)
                return
        if not self._scheduled:
            self._scheduled = True
            if self._arrived_meanwhile is None:
                self._compare_soon()

    def _compare_soon(self) -> None:
        if self._comparing is not None:
            return
        self._comparing = restarting(self._compare, name="compare what a watch shows", ends=True)

    async def _compare(self) -> None:
        try:
            while self.watchers and (self._scheduled or self._arrived_meanwhile is not None):
                if self._arrived_meanwhile is not None:
                    await self._catch_up(self._arrived_meanwhile)
                else:
                    self._scheduled = False
                    await self._compare_once()
        except Exception:  # the watchers list again, which is better than a watch without events
            self._failed()
            return
        self._comparing = None
        self._synced(self)

    async def _catch_up(self, waiting: list[Sequence[RecordEvent]]) -> None:
        """Works on the events that wait, and on those that arrive meanwhile, in slices."""
        while waiting and self.watchers:
            events = waiting[0]
            for event in events:
                super().dispatch((event,))
                await turns.rest()
            del waiting[0]
        self._go_on()

    def _failed(self) -> None:
        logger.exception("comparing a watch with what is visible failed; its watchers are ended")
        # It is not synced any more, so no watcher joins it.
        self._arrived_meanwhile = []
        self.fail()

    async def _compare_once(self) -> None:
        self._arrived_meanwhile = []
        version = self._range.version
        found, _ = await self._selection.choose(self._candidates.now())
        now = {record.key: record for record in found}
        changes = [(DELETED, record, version) for key, record in self.shown.items() if key not in now]
        changes += [(ADDED, record, record.version) for key, record in now.items() if key not in self.shown]
        self.shown = now
        step = _PIECE if not self._in_slices else 1
        for at in range(0, len(changes), step):
            self._send_changes(changes[at : at + step])
            await turns.rest()
        self._go_on()
        if changes and self._arrived_meanwhile is None:
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
                watcher.sink.send(self.encoder.framed(line))

    def _send_changes(self, changes: Sequence[WatchChange]) -> None:
        lines = b"".join([self.encoder.event(*change) for change in changes])
        self.send(lines, lambda: b"".join(self._with_columns(changes)))


def _shown_of(records: Sequence[Record], shown: Mapping[Key, Record]) -> Iterator[WatchChange | None]:
    for record in records:
        yield (ADDED, record, record.version) if record.key in shown else None
