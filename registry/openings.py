"""Opens ranges over unused ids. Any registry may do it, also several at the same time.

One transaction writes the range, its fence and the key `/ranges-opened`, and compares the revision of that key in the map. The
transaction of a registry that has not seen the last opening fails; it retries and finds the new range. So ranges never overlap,
and concurrent callers that ask for the same labels get the same range.
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
from tenantry.placement.reachability import Reach
from tenantry.storage.fence import FenceValue, fence_key
from tenantry.storage.keys import RANGES_OPENED
from tenantry.storage.store import Compare, CompareFailed, Put, Store

logger = logging.getLogger(__name__)

ROOT_RANGE = "root"
ATTEMPTS_MAX = 100
MAP_LAG_SECONDS = 0.2


class CannotOpen(Exception):
    """No range can be opened at the moment; a later attempt may succeed."""


class Openings:
    """Opens ranges. `capacity`: tenants of a range. `reach`: which shards are reachable; None: all."""

    def __init__(self, store: Store, range_map: RangeMap, loads: Loads, *, capacity: int, reach: Reach | None = None) -> None:
        self._store = store
        self._map = range_map
        self._loads = loads
        self._capacity = capacity
        self._reach = reach
        self._turn = asyncio.Lock()

    async def __call__(self, labels: Mapping[str, str], after_version: int) -> OpenedRange:
        """Returns a range with exactly these labels that was opened after a version of the map, or opens one.

        A new range goes to the least loaded shard. Raises CannotOpen if no shard is available, if the transaction conflicts
        with other openings ATTEMPTS_MAX times, or if the row of a range is unreadable. Raises Unavailable, Exhausted, and
        Indeterminate: then call again with the same version, which finds the range if it was opened.
        """
        # This does not wait for `after_version`. etcd may have shown that revision to the caller only: a watch in which no key
        # changes gets progress notifications every half minute. If the map is behind, the transaction fails.
        await self.ensure_root()
        async with self._turn:
            for _ in range(ATTEMPTS_MAX):
                found = self._opened_since(labels, after_version)
                if found is not None:
                    return found
                try:
                    return await self._open(dict(labels))
                except CompareFailed:
                    # Another registry opened a range, or the shard ended. The map shows it soon.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(MAP_LAG_SECONDS):
                            await self._map.moved()
        raise CannotOpen("no range could be opened: each attempt conflicted with another registry; try again")

    async def ensure_root(self) -> None:
        """Creates the range `root`, without an owner, if there is no range. Raises Unavailable, Indeterminate."""
        if self._map.rows():
            return
        row = RangeRow(*ROOT_INTERVAL, self._capacity)
        try:
            revision = await self._store.commit(
                [Compare(range_key(ROOT_RANGE), 0), Compare(RANGES_OPENED.encode(), 0)],
                [Put(range_key(ROOT_RANGE), encode(row)), Put(RANGES_OPENED.encode(), encode(OpenedRow(1)))],
                [],
            )
        except CompareFailed:
            # Another registry created it.
            key = RANGES_OPENED.encode()
            page = await self._store.read(key, key + b"\0")
            revision = page.kvs[0].mod_revision if page.kvs else 0
        await self._map.reached(revision)

    def _opened_since(self, labels: Mapping[str, str], version: int) -> OpenedRange | None:
        for name, stored in self._map.rows().items():
            if stored.create_revision > version and stored.row.labels == labels:
                return OpenedRange(name, stored.mod_revision)
        return None

    async def _open(self, labels: dict[str, str]) -> OpenedRange:
        """Makes one attempt to open a range. Raises CompareFailed if the map is behind, CannotOpen."""
        if self._map.unreadable:
            names = ", ".join(sorted(self._map.unreadable))
            raise CannotOpen(f"cannot open a range: the intervals of these ranges are unreadable: {names}")
        rows, sessions = self._map.rows(), self._map.sessions()
        weighted = [
            RangeWeight(name, stored.row.owner, self._loads.weight(name), stored.row.target) for name, stored in rows.items()
        ]
        target = least_loaded(weighted, reachable_shards(self._map, self._reach))
        if target is None:
            raise CannotOpen("no shard serves that could take a new range; try again")
        last, last_revision = self._map.opened
        number = max(last.number, *(_number(known) for known in rows)) + 1
        name = f"range-{number}"
        start, end = unused((stored.row.start, stored.row.end) for stored in rows.values())
        row = RangeRow(start, end, self._capacity, labels, target, 1)
        opened = RANGES_OPENED.encode()
        revision = await self._store.commit(
            [
                Compare(opened, last_revision),
                Compare(range_key(name), 0),
                Compare(session_key(target), sessions[target].mod_revision),
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
