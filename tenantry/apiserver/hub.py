"""Sends the commits of a range to its watchers.

    Range ──events──► WatchFeed (resource, cluster) ──► WatcherGroup (encoding, filter) ──one framed chunk──► each Watcher's sink

An event is matched, encoded and framed once for each group, however many watchers the group has. There is no task and no queue
between a group and a watcher: the group writes to its watchers' sinks in one loop, and one timer for each range sends the
bookmarks, also of the ranges that are computed from it.

Watchers with equal visibilities (`Visibility.key`) are in one group, too. One that begins where that group cannot continue, since
it resumes from the past or the group is comparing, is in a group of its own until both have shown the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence

from tenantry.apiserver.conversion.converted_group import ConvertedGroup
from tenantry.apiserver.conversion.converter import VersionConverter
from tenantry.apiserver.verbs.selection import Selection
from tenantry.apiserver.visibility import Visibility
from tenantry.apiserver.visibility_group import VisibilityGroup
from tenantry.apiserver.watch_events import Encoder
from tenantry.apiserver.watcher_groups import WatchChange, Watcher, WatcherGroup, WatchStart
from tenantry.base.tasks import raised
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent

BOOKMARK_SECONDS = 10
"""How often each watcher that asked for bookmarks gets one (kube-apiserver: about once a minute). The history that a new owner of
a range has is the platform's last few thousand commits, of all ranges together. On a busy platform, a watcher without a bookmark
for a minute could not resume."""


class WatchFeed:
    """The subscription to one resource of one cluster (None: of all clusters in the range), for all groups that watch it."""

    def __init__(self, range_: Range, resource: str, cluster: str | None) -> None:
        self._groups: dict[Hashable, WatcherGroup] = {}
        self._wide: dict[WatcherGroup, None] = {}
        self._named: dict[str, list[WatcherGroup]] = {}
        self._separate: dict[Hashable, dict[VisibilityGroup, None]] = {}
        """By the key of the group that they would be in: groups that could not join it yet."""
        self._stop = range_.subscribe(self._arrived, resource, cluster)

    def find(self, key: Hashable) -> WatcherGroup | None:
        return self._groups.get(key)

    def add(self, group: WatcherGroup) -> None:
        self._groups[group.key] = group
        if group.name:
            self._named.setdefault(group.name, []).append(group)
        else:
            self._wide[group] = None
        if isinstance(group, VisibilityGroup) and group.shared_key is not None and group.key != group.shared_key:
            self._separate.setdefault(group.shared_key, {})[group] = None

    def remove(self, group: WatcherGroup) -> bool:
        """Removes a group. Returns whether no group is left."""
        del self._groups[group.key]
        if group.name:
            same = self._named[group.name]
            same.remove(group)
            if not same:
                del self._named[group.name]
        else:
            del self._wide[group]
        if isinstance(group, VisibilityGroup):
            self._no_longer_separate(group)
        group.close()
        if not self._groups:
            self._stop()
        return not self._groups

    def synced(self, group: VisibilityGroup) -> None:
        """Called when a group has shown what is visible: puts the watchers of equal groups into one, as far as they are
        synced."""
        key = group.shared_key
        if key is None or (key not in self._separate and group.key == key):
            return
        shared = self._groups.get(key)
        if shared is None:
            if not group.watchers:
                return
            self._no_longer_separate(group)
            del self._groups[group.key]
            group.key = key
            self._groups[key] = shared = group
        assert isinstance(shared, VisibilityGroup)
        for separate in list(self._separate.get(key, ())):
            if separate.move_to(shared):
                self.remove(separate)

    @property
    def groups(self) -> Iterable[WatcherGroup]:
        return self._groups.values()

    def _no_longer_separate(self, group: VisibilityGroup) -> None:
        separate = self._separate.get(group.shared_key)
        if separate is not None and group in separate:
            del separate[group]
            if not separate:
                del self._separate[group.shared_key]

    def _arrived(self, events: Sequence[RecordEvent]) -> None:
        for group in list(self._wide):
            try:
                group.dispatch(events)
            except Exception:  # the filter or the picture of a view may raise any error; other groups get the event
                self._failed(group)
        if self._named:
            mine: dict[WatcherGroup, list[RecordEvent]] = {}
            for event in events:
                for group in self._named.get(event.key.name, ()):
                    mine.setdefault(group, []).append(event)
            for group, found in mine.items():
                try:
                    group.dispatch(found)
                except Exception:  # as above
                    self._failed(group)

    def _failed(self, group: WatcherGroup) -> None:
        raised("sending an event to watchers, which are ended")
        self.end(group)

    def end(self, group: WatcherGroup) -> None:
        """Ends the watchers of a group. It stays until they have left, under a key that no other watcher has."""
        if isinstance(group, VisibilityGroup):
            self._no_longer_separate(group)
            group.shared_key = None
        del self._groups[group.key]
        group.key = group
        self._groups[group] = group
        group.fail()


class Bookmarks:
    """Sends the bookmarks of a range, and of the ranges that are computed from it, with one timer while there are watchers."""

    def __init__(self) -> None:
        self._slots: list[dict[Watcher, None]] = [{} for _ in range(BOOKMARK_SECONDS)]
        self._slot = 0
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        return self._waiting > 0

    def add(self, watcher: Watcher) -> Callable[[], None]:
        """Sends bookmarks to a watcher. Returns a function that ends this."""
        slot = self._slots[self._slot]
        slot[watcher] = None
        self._waiting += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(1.0, self._tick)

        def remove() -> None:
            if watcher in slot:
                del slot[watcher]
                self._waiting -= 1
                if not self._waiting and self._timer is not None:
                    self._timer.cancel()
                    self._timer = None

        return remove

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(1.0, self._tick)
        self._slot = (self._slot + 1) % BOOKMARK_SECONDS
        made: dict[WatcherGroup, bytes | None] = {}
        for watcher in self._slots[self._slot]:
            group = watcher.group
            if watcher.pending is not None or watcher.dropped or group is None:
                continue
            if group not in made:
                line = group.bookmark()
                made[group] = None if line is None else group.encoder.framed(line)
            framed = made[group]
            if framed is not None:
                watcher.sink.send(framed)


class Hub:
    """All watchers of one range. `emptied`: called when the last one has left."""

    def __init__(self, range_: Range, bookmarks: Bookmarks, emptied: Callable[[], None]) -> None:
        self._range = range_
        self._bookmarks = bookmarks
        self._emptied = emptied
        self._feeds: dict[tuple[str, str | None], WatchFeed] = {}

    def join(
        self,
        watcher: Watcher,
        encoder: Encoder,
        selection: Selection,
        namespace: str,
        cluster: str | None,
        after: int,
        start: WatchStart,
        converter: VersionConverter | None = None,
    ) -> tuple[Iterable[WatchChange | None] | None, Callable[[], None]]:
        """Puts a watcher into its group (`Watcher.group`); later events reach it. `converter`: for types whose versions a webhook
        converts. Returns its first changes, None where
        `WatcherGroup.begin` makes them, and a function with which the watcher leaves the group."""
        resource = selection.definition.storage_key
        feed = self._feeds.get((resource, cluster))
        if feed is None:
            feed = self._feeds[resource, cluster] = WatchFeed(self._range, resource, cluster)
        first: Iterable[WatchChange | None] | None = None
        if selection.visibility is not None:
            group, first = self._visibility_group(
                feed, watcher, encoder, selection, namespace, cluster, selection.visibility, start
            )
        else:
            key = (encoder, selection.labels, selection.fields, namespace, after)
            found = feed.find(key)
            if found is None:
                if converter is not None:
                    found = ConvertedGroup(key, self._range, encoder, selection, namespace, after, converter, feed.end)
                else:
                    found = WatcherGroup(key, self._range, encoder, selection, namespace, after)
                feed.add(found)
            group = found
        group.join(watcher)
        base = self._range.base
        if not self._range.owned or (base is not None and not base.owned):
            watcher.finish()
        unmark = self._bookmarks.add(watcher) if watcher.bookmarks else None

        def leave() -> None:
            if unmark is not None:
                unmark()
            left = watcher.group
            if left is None:
                return
            left.watchers.pop(watcher, None)
            if not left.watchers and feed.find(left.key) is left and feed.remove(left):
                del self._feeds[resource, cluster]
                if not self._feeds:
                    self._emptied()

        return first, leave

    def _visibility_group(
        self,
        feed: WatchFeed,
        watcher: Watcher,
        encoder: Encoder,
        selection: Selection,
        namespace: str,
        cluster: str | None,
        visibility: Visibility,
        start: WatchStart,
    ) -> tuple[WatcherGroup, Iterable[WatchChange | None] | None]:
        """The group of a watcher with a visibility, and its first changes if others are in the group already."""
        shared_key: Hashable | None = None
        if visibility.key is not None:
            shared_key = (encoder, selection.labels, selection.fields, namespace, None, visibility.key)
            shared = feed.find(shared_key)
            if isinstance(shared, VisibilityGroup):
                first = shared.continued(start)
                if first is not None:
                    return shared, first
        key = watcher if shared_key is None or feed.find(shared_key) is not None else shared_key
        group = VisibilityGroup(key, shared_key, self._range, encoder, selection, namespace, cluster, visibility, feed.synced)
        feed.add(group)
        return group, None

    def end(self) -> None:
        """Ends every stream cleanly, when the range is released."""
        for feed in list(self._feeds.values()):
            for group in list(feed.groups):
                for watcher in list(group.watchers):
                    watcher.finish()

    @property
    def watchers(self) -> int:
        return sum(len(group.watchers) for feed in self._feeds.values() for group in feed.groups)


class Hubs:
    """The hubs of the ranges of one shard. A range has one while it has watchers."""

    def __init__(self) -> None:
        self._hubs: dict[Range, Hub] = {}
        self._bookmarks: dict[Range, Bookmarks] = {}

    def of(self, range_: Range) -> Hub:
        """The hub of a range, to be joined at once: it is made for the first watcher, and dropped after the last one."""
        hub = self._hubs.get(range_)
        if hub is None:
            bookmarks = self._bookmarks.setdefault(range_.base or range_, Bookmarks())
            hub = self._hubs[range_] = Hub(range_, bookmarks, lambda: self._drop(range_))
        return hub

    def end(self, range_: Range) -> None:
        """Ends every stream of a range, and of the ranges that are computed from it, cleanly: the range is released."""
        for each, hub in list(self._hubs.items()):
            if each is range_ or each.base is range_:
                hub.end()

    def watched(self, range_: Range) -> bool:
        """Whether a range, or one that is computed from it, has watchers."""
        return any(each is range_ or each.base is range_ for each in self._hubs)

    def _drop(self, range_: Range) -> None:
        self._hubs.pop(range_, None)
        base = range_.base or range_
        if not self._bookmarks.get(base):
            self._bookmarks.pop(base, None)
