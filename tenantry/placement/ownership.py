"""Holding exactly the ranges whose fences name this shard: taking them up, and letting them go, as the map says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from tenantry.apiserver.hub import end_watches
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


async def _at_once(revision: int) -> None:
    pass


class Ownership:
    """Keeps a cell's ranges as the map says. `changed` is called whenever the cell gained or lost one.

    `prepared(revision)` returns when this process knows what all owners committed about other ranges up to a revision of the
    store: what a range's former owner knew and said, the next one has to know. Raises StoreError. The first owner need not ask.
    """

    def __init__(
        self,
        cell: Cell,
        range_map: RangeMap,
        *,
        changed: Callable[[], None] = lambda: None,
        prepared: Callable[[int], Awaitable[None]] = _at_once,
    ) -> None:
        self._cell = cell
        self._map = range_map
        self._changed = changed
        self._prepared = prepared
        self._sessions = 0
        self._loading = asyncio.Semaphore(LOADS_AT_ONCE)
        self._taking: dict[str, asyncio.Task[None]] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._stop: Callable[[], None] = lambda: None

    def start(self) -> None:
        self._stop = self._map.subscribe(self._look)
        self._cell.on_demote.append(self._demoted)
        self._look()

    async def stop(self) -> None:
        """Takes nothing more. What is held stays."""
        self._stop()
        tasks = [*self._taking.values(), *self._leaving.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def give_up(self) -> None:
        """Lets go of everything at once, because others may own it, and takes up anew what the fences give this shard."""
        # What is being loaded may have been taken, changed and given back meanwhile.
        self._sessions += 1
        for name in list(self._cell.ranges):
            self._leave(name)
            end_watches(self._cell.ranges[name])

    def end_watches(self) -> None:
        """Ends every watch in good order, because others may own the ranges; clients resume where that is known."""
        for range_ in self._cell.ranges.values():
            end_watches(range_)

    async def serving(self, name: str) -> None:
        """Returns when the cell holds a range. The caller bounds the wait."""
        if name not in self._cell.ranges:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append((name, waiter))
            await waiter

    async def settled(self, seconds: float) -> None:
        """Returns when the cell holds all that the map gives it. Raises StatusError 503 after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                for info in self._wanted().values():
                    await self.serving(info.name)
        except TimeoutError:
            raise unavailable("the ranges of this shard could not be loaded in time") from None

    def _wanted(self) -> dict[str, RangeInfo]:
        """The ranges to serve: this shard's own, but for those that are to go to another one."""
        return {info.name: info for info in self._map.ranges() if info.owner == self._cell.shard_uid and not info.target}

    def _asked_for(self) -> list[str]:
        """The ranges that this shard has to let go of before another one gets them."""
        return [info.name for info in self._map.ranges() if info.owner == self._cell.shard_uid and info.target]

    def _look(self) -> None:
        wanted = self._wanted()
        for name in list(self._cell.ranges):
            if name not in wanted:
                self._leave(name)
        for name, info in wanted.items():
            if name not in self._cell.ranges and name not in self._taking:
                self._taking[name] = essential(self._take(info), name=f"take range {name}", ends=True)
        for name in self._asked_for():
            if name not in self._cell.ranges and name not in self._taking and name not in self._leaving:
                self._leaving[name] = essential(self._hand_over(name), name=f"hand over range {name}", ends=True)

    async def _take(self, info: RangeInfo) -> None:
        """Until the range is held, or is not this shard's any more."""
        name, delay = info.name, FIRST_RETRY_SECONDS
        try:
            if (leaving := self._leaving.get(name)) is not None:
                await asyncio.wait([leaving])
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
                    # The map is behind the fence, or ahead of it by a moment: it will say more.
                    await self._map.moved()
                except Exception as error:  # whatever an object that is loaded provokes: the range must not stay unserved quietly
                    known = isinstance(error, StoreError | ValueError)
                    about = {"error": str(error)}
                    logger.warning("range %s cannot be loaded; trying again", name, extra=about, exc_info=not known)
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, LAST_RETRY_SECONDS)
        finally:
            self._taking.pop(name, None)
        if name in self._cell.ranges:
            logger.info("holds range %s", name)
            self._tell()
        # The map may have changed while the range was loading.
        self._look()

    def _leave(self, name: str) -> None:
        if name not in self._leaving:
            range_ = self._cell.ranges[name]
            range_.owned = False
            self._leaving[name] = essential(self._release(name, range_), name=f"leave range {name}", ends=True)

    async def _hand_over(self, name: str) -> None:
        """Says, in the range's row, that nothing of the range is served here any more."""
        delay = FIRST_RETRY_SECONDS
        try:
            while (record := self._map.records().get(name)) is not None and name in self._asked_for():
                key = range_key(name)
                row = replace(record.row, owner="")
                try:
                    revision = await self._cell.store.commit([Fence(key, record.mod_revision)], [Put(key, encode(row))], [])
                    await self._map.reached(revision)
                except Fenced:
                    await self._map.moved()
                except StoreError as error:
                    logger.warning("range %s cannot be handed over; trying again", name, extra={"error": str(error)})
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, LAST_RETRY_SECONDS)
        finally:
            self._leaving.pop(name, None)
        logger.info("handed over range %s", name)

    def _demoted(self, range_: Range, _: FenceValue | None) -> None:
        """A refused commit told that another shard has the range."""
        end_watches(range_)
        self._tell()
        self._look()

    async def _release(self, name: str, range_: Range) -> None:
        """Commits what waits; its watchers get that, and then a bookmark and a clean end."""
        try:
            await self._cell.release(name)
        except KeyError:
            logger.debug("range %s was lost by a refused commit before", name)
        finally:
            self._leaving.pop(name, None)
        end_watches(range_)
        logger.info("let go of range %s", name)
        self._tell()
        self._look()

    def _tell(self) -> None:
        self._changed()
        for name, waiter in self._waiting:
            if name in self._cell.ranges and not waiter.done():
                waiter.set_result(None)
        self._waiting = [(name, waiter) for name, waiter in self._waiting if not waiter.done()]
