"""Owning exactly the ranges whose fences name this shard: acquiring and releasing them as the map says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from tenantry.base.backoff import Backoff
from tenantry.base.broadcast import Signal
from tenantry.base.tasks import essential
from tenantry.kube.status import unavailable
from tenantry.placement.map import RangeInfo
from tenantry.placement.map_rows import encode, range_key
from tenantry.placement.range_map import RangeMap
from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.fence import FenceValue
from tenantry.storage.range import Range
from tenantry.storage.store import Fence, Fenced, Put, StoreError

logger = logging.getLogger(__name__)

LOADS_AT_ONCE = 4
"""Ranges that are read from the store at the same time: more would only share its bandwidth, and finish later."""
FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 1.0


async def _nothing_to_prepare(revision: int) -> None:
    pass


class Ownership:
    """Keeps a cell's ranges as the map says. `changed` is called whenever the cell acquired or released one.

    `prepared(revision)` returns when this process knows what all owners committed about other ranges up to a revision of the
    store, because a range's next owner has to know what the former one knew. Raises StoreError. A first owner need not ask.
    `end_watches(range)` ends every watch of a range in good order.
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
        """How many sessions of this shard have ended."""
        self._loading = asyncio.Semaphore(LOADS_AT_ONCE)
        self._acquiring: dict[str, asyncio.Task[None]] = {}
        self._releasing: dict[str, asyncio.Task[None]] = {}
        """Those that are being handed over among them."""
        self._changes = Signal()
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        self._unsubscribe = self._map.subscribe(self._reconcile)
        self._cell.demotions.subscribe(self._demoted)
        self._reconcile()

    async def stop(self) -> None:
        """Acquires nothing more. What is owned stays."""
        self._unsubscribe()
        tasks = [*self._acquiring.values(), *self._releasing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def give_up(self) -> None:
        """Releases everything at once, because others may own it, and acquires anew what the fences give this shard."""
        # What is being loaded may have been acquired by others, changed and given back meanwhile.
        self._sessions += 1
        for name in list(self._cell.ranges):
            self._begin_release(name)
            self._end_watches(self._cell.ranges[name])

    def end_watches(self) -> None:
        """Ends every watch in good order, because others may own the ranges; clients resume where that is known."""
        for range_ in self._cell.ranges.values():
            self._end_watches(range_)

    async def serving(self, name: str) -> None:
        """Returns when the cell has a range. The caller bounds the wait."""
        while name not in self._cell.ranges:
            await self._changes.wait()

    async def loaded(self, timeout_seconds: float) -> None:
        """Returns when the cell has all ranges that the map gives it. Raises StatusError 503 after so many seconds."""
        try:
            async with asyncio.timeout(timeout_seconds):
                for info in self._wanted().values():
                    await self.serving(info.name)
        except TimeoutError:
            raise unavailable("the ranges of this shard could not be loaded in time") from None

    def _wanted(self) -> dict[str, RangeInfo]:
        """The ranges to serve: this shard's own, but for those that are to go to another one."""
        return {info.name: info for info in self._map.ranges() if info.owner == self._cell.shard_uid and not info.target}

    def _to_hand_over(self) -> list[str]:
        """The ranges that this shard has to release before another one gets them."""
        return [info.name for info in self._map.ranges() if info.owner == self._cell.shard_uid and info.target]

    def _reconcile(self) -> None:
        """Begins whatever has to be done for the cell to be as the map says."""
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
        """Returns when the range is loaded, or is not this shard's any more."""
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
                        await self._cell.adopt(name, wanted.start, wanted.end, take=False)
                    if session == self._sessions:
                        break
                    await self._cell.release(name)
                except NotOwned:
                    # The map is behind the fence, or ahead of it by a moment: it changes again.
                    await self._map.moved()
                except Exception as error:  # whatever an object that is loaded provokes: the range must not stay unserved quietly
                    known = isinstance(error, StoreError | ValueError)
                    about = {"error": str(error)}
                    logger.warning("range %s cannot be loaded; trying again", name, extra=about, exc_info=not known)
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
        """Writes into the range's row that nothing of the range is served here any more."""
        backoff = _backoff()
        try:
            while (record := self._map.records().get(name)) is not None and name in self._to_hand_over():
                key = range_key(name)
                row = replace(record.row, owner="")
                try:
                    revision = await self._cell.store.commit([Fence(key, record.mod_revision)], [Put(key, encode(row))], [])
                    await self._map.reached(revision)
                except Fenced:
                    await self._map.moved()
                except StoreError as error:
                    logger.warning("range %s cannot be handed over; trying again", name, extra={"error": str(error)})
                    await backoff.pause()
        finally:
            self._releasing.pop(name, None)
        logger.info("handed over range %s", name)

    def _demoted(self, range_: Range, _: FenceValue | None) -> None:
        """A commit was refused, because another shard owns the range."""
        self._end_watches(range_)
        self._notify()
        self._reconcile()

    async def _release(self, name: str, range_: Range) -> None:
        """Commits what waits; its watchers get that, and then a bookmark and a clean end."""
        try:
            await self._cell.release(name)
        except KeyError:
            logger.debug("range %s was released by a refused commit before", name)
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
