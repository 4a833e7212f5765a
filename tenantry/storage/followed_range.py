"""A range that this process reads and does not own: loaded as its owner loads it, and then kept as the store has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from tenantry.base.time_slices import in_slices
from tenantry.storage import resource_version
from tenantry.storage.follower import Follower
from tenantry.storage.history import HistoryLimits
from tenantry.storage.keys import interval
from tenantry.storage.load import ParseHead, events_of, record_of
from tenantry.storage.range import Range
from tenantry.storage.store import Batch, Page, Store


class FollowedRange:
    """Follows the keys of one range. Records and events have the versions that the owner gave them.

    `loaded(range, revision)`: called with the range when all of it was read at a revision, and again, with another Range, when
    the store has compacted what the watch needs.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        start: str,
        end: str,
        parse_head: ParseHead,
        *,
        loaded: Callable[[Range, int], None],
        history_limits: HistoryLimits | None = None,
    ) -> None:
        self.name = name
        self.start = start
        self.end = end
        self._cell = store.cell
        self._parse_head = parse_head
        self._loaded = loaded
        self._history_limits = history_limits
        self._range: Range | None = None
        self._follower = Follower(
            store, [interval(start, end)], load=self._load, changed=self._changed, name=f"range {name}", progress=True
        )

    async def start_following(self) -> None:
        """Returns when the range is loaded. Raises StoreError, ValueError (a key that is not the key of an object)."""
        await self._follower.start()

    async def stop_following(self) -> None:
        await self._follower.stop()

    async def progressed(self, revision: int) -> None:
        """Returns when memory shows everything up to a revision of the store. The caller limits the wait."""
        await self._follower.progressed(revision)

    def ask_progress(self) -> None:
        """See `Follower.ask_progress`."""
        self._follower.ask_progress()

    async def _load(self, pages: AsyncIterator[Page]) -> None:
        range_ = Range(self.name, self.start, self.end, limits=self._history_limits)
        revision = 0
        async for page in pages:
            revision = page.revision
            async for kv in in_slices(page.kvs, 1):
                range_.load((record_of(self._cell, kv, self._parse_head),))
        range_.loaded(resource_version.end_of_revision(self._cell, revision))
        self._range = range_
        self._loaded(range_, revision)

    def _changed(self, batch: Batch) -> None:
        range_ = self._range
        assert range_ is not None, "a change comes after a load"
        version = resource_version.end_of_revision(self._cell, batch.revision)
        if batch.events:
            range_.follow(events_of(self._cell, batch, self._parse_head, range_.get), version)
        else:
            range_.advance(version)
