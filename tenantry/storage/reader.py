"""The ranges that a process reads without owning them. It can commit nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.fence import read_fence
from tenantry.storage.followed_range import FollowedRange
from tenantry.storage.history import HistoryLimits
from tenantry.storage.keys import COMPACTION, READ_MARK, Key
from tenantry.storage.load import ParseHead
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record
from tenantry.storage.store import Delete, Put, Store


class Reader(Cell):
    """A cell whose ranges other processes own: `load` instead of `acquire`, and `commit` raises NotOwned.

    A range in it has the objects, the history and the resourceVersions that its owner's has, some milliseconds later.
    `progressed` says when it shows a revision.

    `changed()`: called when a range was added, replaced or removed. `ended(range)`: called, before that, with a range that is
    not followed any more: its watches have to end.
    """

    def __init__(
        self,
        store: Store,
        parse_head: ParseHead,
        *,
        changed: Callable[[], None] = lambda: None,
        ended: Callable[[Range], None] = lambda range_: None,
        history_limits: HistoryLimits | None = None,
    ) -> None:
        super().__init__(store, "", parse_head, history_limits=history_limits)
        self._parse = parse_head
        self._limits = history_limits
        self._changed = changed
        self._ended = ended
        self._followed: dict[str, FollowedRange] = {}
        self._first: dict[str, int] = {}
        """The oldest revision that can concern a range."""

    async def load(self, name: str, start: str, end: str) -> Range:
        """Loads a range that is not loaded, and follows it from then on. Raises StoreError, ValueError (a key that is not the key
        of an object; an overlap with another range)."""
        for other in self._followed.values():
            if other.name == name or (start < other.end and other.start < end):
                raise ValueError(f"range {name} [{start}, {end}) overlaps {other.name} [{other.start}, {other.end})")

        def loaded(range_: Range, revision: int) -> None:
            self._loaded(followed, range_, revision)

        followed = self._followed[name] = FollowedRange(
            self.store, name, start, end, self._parse, loaded=loaded, history_limits=self._limits
        )
        try:
            self._first[name] = (await read_fence(self.store, name)).create_revision
            await followed.start_following()
        except BaseException:
            await asyncio.shield(self._forget_followed(followed))
            raise
        return self._ranges[name]

    async def release(self, name: str) -> None:
        """Ends the watches of a range, and forgets it. Raises KeyError."""
        await self._forget_followed(self._followed[name])

    async def close(self) -> None:
        for followed in list(self._followed.values()):
            await self._forget_followed(followed)
        await super().close()

    async def progressed(self, name: str, revision: int) -> None:
        """Returns when a loaded range shows everything up to a revision of the store. The caller limits the wait. Raises
        KeyError."""
        await self._followed[name].progressed(revision)

    def ask_progress(self, name: str) -> None:
        """See `Follower.ask_progress`. Raises KeyError."""
        self._followed[name].ask_progress()

    async def in_flight_applied(self) -> None:
        """Returns when memory shows every commit to the loaded ranges up to any revision that was known before the call. Raises
        StoreError."""
        key = COMPACTION.encode()
        revision = (await self.store.read(key, key + b"\0", limit=1)).revision
        for followed in list(self._followed.values()):
            if followed.name in self._ranges:
                await followed.progressed(revision)

    async def raise_version(self, range_: Range, key: Key, value: bytes) -> None:
        """As in a cell that owns the range, without writing in it: its version follows the revision of the store, so any key
        does."""
        revision = await self.store.commit([], [Put(READ_MARK.encode(), b"")], [])
        if range_.name in self._followed:
            await self.progressed(range_.name, revision)

    def commit(
        self,
        changes: Sequence[Change],
        puts: Sequence[Put] = (),
        deletes: Sequence[Delete] = (),
        *,
        copies: Sequence[Change] = (),
    ) -> Awaitable[Sequence[Record | None]]:
        raise NotOwned(changes[0].key.cluster if changes else "")

    def _loaded(self, followed: FollowedRange, range_: Range, revision: int) -> None:
        name = followed.name
        if self._followed.get(name) is not followed:
            return
        self._drop_range(name)
        self._ranges[name] = range_
        self._arrange()
        self._backfills.begin(range_, revision, self._first[name])
        self._changed()

    async def _forget_followed(self, followed: FollowedRange) -> None:
        name = followed.name
        if self._followed.get(name) is not followed:
            return
        del self._followed[name]
        self._first.pop(name, None)
        if self._drop_range(name):
            self._changed()
        await followed.stop_following()

    def _drop_range(self, name: str) -> bool:
        """Returns whether there was one."""
        if name not in self._ranges:
            return False
        self._ended(self._drop(name))
        return True
