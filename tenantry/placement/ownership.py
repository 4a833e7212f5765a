"""Acquires and releases the ranges of a shard as the map says: it owns exactly the ranges whose fences name it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from tenantry.base.backoff import Backoff
from tenantry.base.signal import Signal
from tenantry.base.tasks import essential
from tenantry.kube.status import unavailable
from tenantry.placement.map import RangeInfo
from tenantry.placement.map_rows import encode, range_key
from tenantry.placement.range_map import RangeMap
from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.fence import FenceValue
from tenantry.storage.range import Range
from tenantry.storage.store import Compare, CompareFailed, Put, StoreError

logger = logging.getLogger(__name__)

LOADS_AT_ONCE = 4
"""How many ranges are loaded at the same time. They share the store's bandwidth, so more would not be faster."""
FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 1.0


async def _nothing_to_prepare(revision: int) -> None:
    pass


class Ownership:
    """Acquires and releases the ranges of `cell`. `changed()` is called after each of them.

    `prepared(revision)` returns when the catalog of this process is complete up to a revision of the store, and raises
    StoreError. A new owner waits for it, because it has to know what the former owner knew. The first owner does not wait.
    `end_watches(range)` ends all watches of a range cleanly.
    """

    def __init__(
        self,
        cell: Cell,
        range_map: RangeMap,
        *,
        changed: Callable[[], None] = lambda: None,
        prepared: Callable[[int], Awaitable[None]] = _nothing_to_prepare,
        end_watches: Callable[[Range], None] = lambda range_: None,
    ) -> None:
        self._cell = cell
        self._map = range_map
        self._changed = changed
        self._prepared = prepared
        self._end_watches = end_watches
        self._sessions = 0
        """How many sessions of this shard have expired."""
        self._loading = asyncio.Semaphore(LOADS_AT_ONCE)
        self._acquiring: dict[str, asyncio.Task[None]] = {}
        self._releasing: dict[str, asyncio.Task[None]] = {}
        """Includes the ranges that are being handed over."""
        self._changes = Signal()
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        self._unsubscribe = self._map.subscribe(self._reconcile)
        self._cell.demotions.subscribe(self._demoted)
        self._reconcile()

    async def stop(self) -> None:
        """Acquires and releases nothing from now on. The cell keeps its ranges."""
        self._unsubscribe()
        tasks = [*self._acquiring.values(), *self._releasing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def give_up(self) -> None:
        """Releases all ranges, because other shards may own them. Then acquires those whose fences still name this shard."""
        # A range that is being loaded may have been acquired, changed and returned by another shard, so it is loaded again.
        self._sessions += 1
        for name in list(self._cell.ranges):
            self._begin_release(name)
            self._end_watches(self._cell.ranges[name])

    def end_watches(self) -> None:
        """Ends all watches cleanly, because other shards may own the ranges. Clients resume them at the owner."""
        for range_ in self._cell.ranges.values():
            self._end_watches(range_)

    async def serving(self, name: str) -> None:
        """Returns when the cell has loaded a range. The caller limits the wait."""
        while name not in self._cell.ranges:
            await self._changes.wait()

    async def loaded(self, timeout_seconds: float) -> None:
        """Returns when all ranges that the map assigns to this shard are loaded. Raises StatusError 503 after the timeout."""
        try:
            async with asyncio.timeout(timeout_seconds):
                for info in self._wanted().values():
                    await self.serving(info.name)
        except TimeoutError:
            raise unavailable("the ranges of this shard could not be loaded in time") from None

    def _wanted(self) -> dict[str, RangeInfo]:
        """The ranges to serve by name: those that this shard owns and that do not move to another one."""
        return {info.name: info for info in self._map.ranges() if info.owner == self._cell.shard_uid and not info.target}

    def _to_hand_over(self) -> list[str]:
        """The names of the ranges that this shard owns and that move to another one: it has to release them first."""
        return [info.name for info in self._map.ranges() if info.owner == self._cell.shard_uid and info.target]

    def _reconcile(self) -> None:
        """Starts the tasks that make the cell's ranges match the map."""
        wanted = self._wanted()
        for name in list(self._cell.ranges):
            if name not in wanted:
                self._begin_release(name)
        for name, info in wanted.items():
            if name not in self._cell.ranges and name not in self._acquiring:
                self._acquiring[name] = essential(self._acquire(info), name=f"acquire range {name}", ends=True)
        for name in self._to_hand_over():
            if name not in self._cell.ranges and name not in self._acquiring and name not in self._releasing:
                self._releasing[name] = essential(self._hand_over(name), name=f"hand over range {name}", ends=True)

    async def _acquire(self, info: RangeInfo) -> None:
        """Returns when the range is loaded, or when the map no longer assigns it to this shard."""
        name, backoff = info.name, _backoff()
        try:
            if (releasing := self._releasing.get(name)) is not None:
                await asyncio.wait([releasing])
            while (wanted := self._wanted().get(name)) is not None:
                session = self._sessions
                try:
                    async with self._loading:
                        if wanted.generation > 1:
                            await self._prepared(self._map.version)
                        await self._cell.acquire(name, wanted.start, wanted.end, take=False)
                    if session == self._sessions:
                        break
                    await self._cell.release(name)
                except NotOwned:
                    # The map and the fence differ for a moment. The map will change.
                    await self._map.moved()
                except Exception as error:  # a damaged object may raise anything; without a retry the range is not served
                    known = isinstance(error, StoreError | ValueError)
                    about = {"error": str(error)}
                    logger.warning("cannot load range %s, retrying", name, extra=about, exc_info=not known)
                    await backoff.pause()
        finally:
            self._acquiring.pop(name, None)
        if name in self._cell.ranges:
            logger.info("acquired range %s", name)
            self._notify()
        # The map may have changed while the range was loading.
        self._reconcile()

    def _begin_release(self, name: str) -> None:
        if name not in self._releasing:
            range_ = self._cell.ranges[name]
            range_.owned = False
            self._releasing[name] = essential(self._release(name, range_), name=f"release range {name}", ends=True)

    async def _hand_over(self, name: str) -> None:
        """Removes the owner from the range's row: this shard has released the range."""
        backoff = _backoff()
        try:
            while (stored := self._map.rows().get(name)) is not None and name in self._to_hand_over():
                key = range_key(name)
                row = replace(stored.row, owner="")
                try:
                    revision = await self._cell.store.commit([Compare(key, stored.mod_revision)], [Put(key, encode(row))], [])
                    await self._map.reached(revision)
                except CompareFailed:
                    await self._map.moved()
                except StoreError as error:
                    logger.warning("cannot hand over range %s, retrying", name, extra={"error": str(error)})
                    await backoff.pause()
        finally:
            self._releasing.pop(name, None)
        logger.info("handed over range %s", name)

    def _demoted(self, range_: Range, _: FenceValue | None) -> None:
        """Called when a commit was refused because another shard owns the range."""
        self._end_watches(range_)
        self._notify()
        self._reconcile()

    async def _release(self, name: str, range_: Range) -> None:
        """Commits the waiting writes, then ends the watches with a bookmark."""
        try:
            await self._cell.release(name)
        except KeyError:
            logger.debug("range %s was already released by a refused commit", name)
        finally:
            self._releasing.pop(name, None)
        self._end_watches(range_)
        logger.info("released range %s", name)
        self._notify()
        self._reconcile()

    def _notify(self) -> None:
        self._changed()
        self._changes.send()


def _backoff() -> Backoff:
    return Backoff(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, jitter=0.0)
