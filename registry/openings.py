"""Opening ranges over unused ids, by any replica, also by several at once.

One transaction writes the range, its fence and the key of openings, and compares that key as the map showed it: a replica that
does not know of the last opening is refused, looks again, and finds that range. So two ranges never overlap, and callers that
want the same at one time get one range.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

from registry.assigner import RangeWeight, least_loaded
from registry.intervals import ROOT_INTERVAL, unused
from registry.loads import Loads
from registry.reachable_shards import reachable_shards
from tenantry.placement.map_rows import OpenedRow, RangeRow, encode, range_key, session_key
from tenantry.placement.range_map import RangeMap
from tenantry.placement.range_opening import OpenedRange
from tenantry.placement.reach import Reach
from tenantry.storage.fence import FenceValue, fence_key
from tenantry.storage.keys import RANGES_OPENED
from tenantry.storage.store import Fence, Fenced, Put, Store

logger = logging.getLogger(__name__)

ROOT_RANGE = "root"
ATTEMPTS_MAX = 100
MAP_LAG_SECONDS = 0.2


class CannotOpen(Exception):
    """No range can be opened at the moment; a later attempt may succeed."""


class Openings:
    """`capacity`: tenants that a range holds before the next one opens. `reach`: who is reached; without it all shards are."""

    def __init__(self, store: Store, range_map: RangeMap, loads: Loads, *, capacity: int, reach: Reach | None = None) -> None:
        self._store = store
        self._map = range_map
        self._loads = loads
        self._capacity = capacity
        self._reach = reach
        self._turn = asyncio.Lock()

    async def __call__(self, labels: Mapping[str, str], after_version: int) -> OpenedRange:
        """A range with exactly these labels that was opened after that version of the map, or a new one.

        A new one goes to the least loaded shard. Raises CannotOpen where no shard serves, too many others open ranges, or a
        range's row cannot be read; Unavailable, Exhausted; Indeterminate (ask again with the same version: a range that was
        opened is found).
        """
        # That version is not waited for: etcd may have reported it to the caller and, as nothing of the map changed in it, not to
        # this process, for half a minute to come. Where the map here is behind, the transaction fails.
        await self.ensure_root()
        async with self._turn:
            for _ in range(ATTEMPTS_MAX):
                found = self._opened_since(labels, after_version)
                if found is not None:
                    return found
                try:
                    return await self._open(dict(labels))
                except Fenced:
                    # Another replica opened one, or the shard went away: the map shows it soon, if it does not already.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(MAP_LAG_SECONDS):
                            await self._map.moved()
        raise CannotOpen("no range could be opened: other registries were quicker each time; try again")

    async def ensure_root(self) -> None:
        """The range `root`, without an owner yet, where there is no range at all. Raises Unavailable, Indeterminate."""
        if self._map.records():
            return
        row = RangeRow(*ROOT_INTERVAL, self._capacity)
        try:
            revision = await self._store.commit(
                [Fence(range_key(ROOT_RANGE), 0), Fence(RANGES_OPENED.encode(), 0)],
                [Put(range_key(ROOT_RANGE), encode(row)), Put(RANGES_OPENED.encode(), encode(OpenedRow(1)))],
                [],
            )
        except Fenced:
            # Another replica was quicker.
            key = RANGES_OPENED.encode()
            page = await self._store.read(key, key + b"\0")
            revision = page.kvs[0].mod_revision if page.kvs else 0
        await self._map.reached(revision)

    def _opened_since(self, labels: Mapping[str, str], version: int) -> OpenedRange | None:
        for name, record in self._map.records().items():
            if record.create_revision > version and record.row.labels == labels:
                return OpenedRange(name, record.mod_revision)
        return None

    async def _open(self, labels: dict[str, str]) -> OpenedRange:
        """One attempt. Raises Fenced where the map is behind, CannotOpen."""
        if self._map.unreadable:
            names = ", ".join(sorted(self._map.unreadable))
            raise CannotOpen(f"no range is opened while it is not known which ids these have, whose rows cannot be read: {names}")
        records, sessions = self._map.records(), self._map.sessions()
        weighted = [
            RangeWeight(name, record.row.owner, self._loads.weight(name), record.row.target) for name, record in records.items()
        ]
        target = least_loaded(weighted, reachable_shards(self._map, self._reach))
        if target is None:
            raise CannotOpen("no shard serves at the moment that could take a new range")
        last, last_revision = self._map.opened
        number = max(last.number, *(_number(known) for known in records)) + 1
        name = f"range-{number}"
        start, end = unused((record.row.start, record.row.end) for record in records.values())
        row = RangeRow(start, end, self._capacity, labels, target, 1)
        opened = RANGES_OPENED.encode()
        revision = await self._store.commit(
            [
                Fence(opened, last_revision),
                Fence(range_key(name), 0),
                Fence(session_key(target), sessions[target].mod_revision),
            ],
            [
                Put(range_key(name), encode(row)),
                Put(fence_key(name), FenceValue(target, 1).encode()),
                Put(opened, encode(OpenedRow(number))),
            ],
            [],
        )
        logger.info("opened a range", extra={"range": name, "start": start, "shard": sessions[target].row.name})
        await self._map.reached(revision)
        return OpenedRange(name, revision)


def _number(name: str) -> int:
    """The number in `range-7`; the first range counts as 1."""
    text = name.removeprefix("range-")
    return int(text) if text.isdigit() else 1
