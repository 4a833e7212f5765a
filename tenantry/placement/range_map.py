"""The map of ranges of one process: the ranges, their owners and the living shards. It follows the store."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from tenantry.base.broadcast import Broadcast
from tenantry.base.signal import Signal
from tenantry.placement.map import RangeInfo, ShardInfo
from tenantry.placement.map_rows import OpenedRow, RangeRow, SessionRow, Stored, decode
from tenantry.storage.follower import Follower, gathered
from tenantry.storage.keys import RANGES, RANGES_OPENED, SESSIONS, prefix_end
from tenantry.storage.store import Batch, Event, KeyValue, Store

logger = logging.getLogger(__name__)

LOG_ENTRIES = 8192
"""How many changes are kept for followers that resume. A follower that is further behind gets the whole map."""
AHEAD_SECONDS = 5.0
"""How long `changes` waits for a version that another process has shown but this one has not seen. Then: the whole map."""


class MapDelta(NamedTuple):
    """The changes since a version; with `full`, the whole map. `ranges` and `shards` have their present values.

    `removed_ranges`: names. `removed_shards`: uids.
    """

    version: int
    full: bool
    ranges: Sequence[RangeInfo]
    removed_ranges: Sequence[str]
    shards: Sequence[ShardInfo]
    removed_shards: Sequence[str]

    @property
    def empty(self) -> bool:
        return not (self.full or self.ranges or self.removed_ranges or self.shards or self.removed_shards)


class RangeMap:
    """The map of ranges and shards. Look-ups read memory, also while the store is unavailable.

    `version`: the revision of the store up to which the map is complete. It is the same in every process, so a follower can
    resume at any of them.
    """

    def __init__(self, store: Store) -> None:
        self.version = 0
        self.opened: tuple[OpenedRow, int] = (OpenedRow(1), 0)
        """The row of the last opening and the revision of its key (0: no range was opened)."""
        self.unreadable: set[str] = set()
        """Names of the ranges whose rows cannot be decoded: their intervals are unknown."""
        self._rows: dict[str, Stored[RangeRow]] = {}
        self._sessions: dict[str, Stored[SessionRow]] = {}
        self._drains: set[str] = set()
        self._infos: dict[str, RangeInfo] = {}
        self._shards: dict[str, ShardInfo] = {}
        self._ordered: tuple[RangeInfo, ...] = ()
        self._starts: list[str] = []
        self._log: deque[tuple[int, str, str]] = deque(maxlen=LOG_ENTRIES)
        self._log_start = 0
        self._changes: Broadcast[[]] = Broadcast("a subscriber of the map")
        self._moves = Signal()
        ranges, sessions = RANGES_OPENED.encode(), SESSIONS.encode()
        self._follower = Follower(
            store,
            [(ranges, prefix_end(RANGES.encode())), (sessions, prefix_end(sessions))],
            load=gathered(self._loaded),
            changed=self._changed,
            name="the map of ranges",
        )

    def __repr__(self) -> str:
        return f"<RangeMap version={self.version} ranges={len(self._infos)} shards={sorted(self._shards)}>"

    async def start(self) -> None:
        """Returns when the map is loaded. Raises Unavailable, Damaged."""
        await self._follower.start()

    async def stop(self) -> None:
        await self._follower.stop()

    def ranges(self) -> Sequence[RangeInfo]:
        """All ranges, sorted by `start`. Returns the same object until a range changes."""
        return self._ordered

    def range_of(self, cluster: str) -> RangeInfo | None:
        at = bisect_right(self._starts, cluster) - 1
        if at < 0:
            return None
        found = self._ordered[at]
        return found if cluster < found.end else None

    def named(self, name: str) -> RangeInfo | None:
        return self._infos.get(name)

    def shards(self) -> Sequence[ShardInfo]:
        """The living shards, sorted by name."""
        return sorted(self._shards.values())

    def shard(self, uid: str) -> ShardInfo | None:
        """The living shard with a uid; None if there is none."""
        return self._shards.get(uid)

    def rows(self) -> Mapping[str, Stored[RangeRow]]:
        """The rows of the ranges by name. Do not change the mapping."""
        return self._rows

    def sessions(self) -> Mapping[str, Stored[SessionRow]]:
        """The rows of the sessions by uid. Do not change the mapping."""
        return self._sessions

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` after each change of the map. Returns how to unsubscribe."""
        return self._changes.subscribe(callback)

    async def reached(self, version: int) -> None:
        """Returns when the map is complete up to a revision of the store."""
        while self.version < version:
            await self.moved()

    async def changes(self, after: int) -> MapDelta:
        """Waits for changes after a version and returns them; the whole map if the version is 0, too old or unknown."""
        if after > self.version:
            with suppress(TimeoutError):
                async with asyncio.timeout(AHEAD_SECONDS):
                    await self.reached(after)
        while (delta := self.since(after)).empty:
            after = delta.version
            await self.moved()
        return delta

    def since(self, version: int) -> MapDelta:
        """The changes since a version, possibly none; the whole map if the version is too old or unknown."""
        if not self._log_start <= version <= self.version:
            return MapDelta(self.version, True, self._ordered, (), self.shards(), ())
        ranges: set[str] = set()
        shards: set[str] = set()
        for at, kind, name in reversed(self._log):
            if at <= version:
                break
            (ranges if kind == RANGES else shards).add(name)
        return MapDelta(
            self.version,
            False,
            sorted((self._infos[name] for name in ranges if name in self._infos), key=lambda info: info.start),
            sorted(name for name in ranges if name not in self._infos),
            sorted(self._shards[uid] for uid in shards if uid in self._shards),
            sorted(uid for uid in shards if uid not in self._shards),
        )

    async def moved(self) -> None:
        """Returns when `version` has grown, also if no range and no shard has changed."""
        await self._moves.wait()

    def _loaded(self, kvs: Sequence[KeyValue], revision: int) -> None:
        first = self.version == 0
        self._rows, self._sessions, self._drains, self.unreadable = {}, {}, set(), set()
        for kv in kvs:
            self._take(kv, False)
        self._refresh(revision, self._rows.keys() | self._infos.keys(), self._sessions.keys() | self._shards.keys())
        if first:
            self._log.clear()
            self._log_start = revision
        self._advance(revision)

    def _changed(self, batch: Batch) -> None:
        ranges: set[str] = set()
        shards: set[str] = set()
        for event in batch.events:
            self._note(event, ranges, shards)
        changed = bool(ranges or shards) and self._refresh(batch.revision, ranges, shards)
        self._advance(batch.revision, notify=changed)

    def _note(self, event: Event, ranges: set[str], shards: set[str]) -> None:
        kind, name = self._take(event.kv, event.deleted)
        if kind == RANGES:
            ranges.add(name)
        elif kind == SESSIONS:
            shards.add(name)

    def _take(self, kv: KeyValue, deleted: bool) -> tuple[str, str]:
        """Stores the new value of a key. Returns (RANGES, name) or (SESSIONS, uid), or ("", "") for another key."""
        key = kv.key.decode()
        try:
            if key.startswith(RANGES):
                name = key[len(RANGES) :]
                self._rows.pop(name, None)
                self.unreadable.discard(name)
                if not deleted:
                    self.unreadable.add(name)
                    self._rows[name] = Stored(decode(kv.value, RangeRow), kv.mod_revision, kv.create_revision)
                    self.unreadable.discard(name)
                return RANGES, name
            if key.startswith(SESSIONS):
                uid, _, part = key[len(SESSIONS) :].partition("/")
                if part == "drain":
                    (self._drains.discard if deleted else self._drains.add)(uid)
                elif not part:
                    self._sessions.pop(uid, None)
                    if not deleted:
                        self._sessions[uid] = Stored(decode(kv.value, SessionRow), kv.mod_revision, kv.create_revision)
                return SESSIONS, uid
            if key == RANGES_OPENED:
                self.opened = (OpenedRow(1), 0) if deleted else (decode(kv.value, OpenedRow), kv.mod_revision)
        except ValueError as error:
            # One damaged row must not hide the other ones.
            logger.error("skipping an unreadable key of the map", extra={"key": key, "error": str(error)})
        return "", ""

    def _refresh(self, revision: int, names: Iterable[str], uids: Iterable[str]) -> bool:
        """Updates the infos of these ranges and shards from their rows. Returns whether any of them changed."""
        names = set(names)
        changed_uids = [uid for uid in uids if self._refresh_shard(uid)]
        if changed_uids:
            # The info of a range has the name of its owner, or no name if the owner is gone.
            gone_or_come = set(changed_uids)
            names.update(name for name, stored in self._rows.items() if stored.row.owner in gone_or_come)
        changed_names = [name for name in names if self._refresh_range(name)]
        if changed_names:
            self._ordered = tuple(sorted(self._infos.values(), key=lambda info: info.start))
            self._starts = [info.start for info in self._ordered]
        for kind, changed in ((SESSIONS, changed_uids), (RANGES, changed_names)):
            for name in sorted(changed):
                if len(self._log) == LOG_ENTRIES:
                    self._log_start = self._log[0][0]
                self._log.append((revision, kind, name))
        return bool(changed_names or changed_uids)

    def _refresh_shard(self, uid: str) -> bool:
        stored = self._sessions.get(uid)
        if stored is None:
            return self._shards.pop(uid, None) is not None
        row = stored.row
        info = ShardInfo(row.name, uid, row.url, uid in self._drains or row.state == "draining")
        if self._shards.get(uid) == info:
            return False
        self._shards[uid] = info
        return True

    def _refresh_range(self, name: str) -> bool:
        stored = self._rows.get(name)
        if stored is None:
            return self._infos.pop(name, None) is not None
        row = stored.row
        owner = self._shards.get(row.owner)
        info = RangeInfo(
            name=name,
            start=row.start,
            end=row.end,
            shard=owner.name if owner is not None else "",
            capacity=row.capacity,
            generation=row.generation,
            labels=row.labels,
            owner=row.owner,
            target=row.target,
        )
        if self._infos.get(name) == info:
            return False
        self._infos[name] = info
        return True

    def _advance(self, revision: int, *, notify: bool = True) -> None:
        self.version = max(self.version, revision)
        self._moves.send()
        if notify:
            self._changes.send()
