"""The ranges that a process of views has in memory: loaded for the first request that needs them, dropped when none does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tenantry.apiserver.hub import Hubs
from tenantry.apiserver.storage_errors import not_owner, to_status
from tenantry.base.tasks import awaited, restarting
from tenantry.kube.status import unavailable
from tenantry.placement.catalog import Catalog
from tenantry.placement.range_map import RangeMap
from tenantry.storage.reader import Reader
from tenantry.storage.store import StoreError
from views.present_revision import PresentRevision

logger = logging.getLogger(__name__)

LOADS_AT_ONCE = 4
"""How many ranges are loaded at the same time. They share the store's bandwidth, so more would not be faster."""
LOOK_SECONDS = 5.0
"""How often it is looked at whether ranges are used, and whether they get their changes."""


class LoadedRanges:
    """Loads ranges, and says when memory shows what was committed before a request.

    `fresh_seconds`: how long a request waits for that. `broken_seconds`: how long a range without its changes may keep watches.
    `idle_seconds`: how long a range is kept without requests and watches. `ranges_max`: how many are kept.
    """

    def __init__(
        self,
        reader: Reader,
        catalog: Catalog,
        range_map: RangeMap,
        hubs: Hubs,
        *,
        fresh_seconds: float,
        broken_seconds: float,
        idle_seconds: float,
        ranges_max: int,
    ) -> None:
        self._reader = reader
        self._catalog = catalog
        self._map = range_map
        self._hubs = hubs
        self._fresh_seconds = fresh_seconds
        self._broken_seconds = broken_seconds
        self._idle_seconds = idle_seconds
        self._ranges_max = ranges_max
        self._present = PresentRevision(reader.store)
        self._loads: dict[str, asyncio.Task[None]] = {}
        self._loading = asyncio.Semaphore(LOADS_AT_ONCE)
        self._used: dict[str, float] = {}
        """Loaded ranges by name, the least recently used first, with the time of their last request."""
        self._shown: dict[str, float] = {}
        """When each was last seen to have its changes."""
        self._looking: asyncio.Task[None] | None = None
        self.why_not = ""
        """Why requests cannot be answered now, empty where they can."""

    def start(self) -> None:
        self._looking = restarting(self._look, name="look after the ranges of views")

    async def stop(self) -> None:
        tasks = [*self._loads.values(), *([self._looking] if self._looking is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def loaded(self) -> Mapping[str, float]:
        """The names of the loaded ranges, each with the time of its last request."""
        return self._used

    async def prepare(self, name: str) -> None:
        """Returns when a range is loaded, and memory shows all that was committed before the call. Raises StatusError."""
        async with self._in_time(name):
            revision = await self._present.read()
            if name in self._reader.ranges:
                await self._shows(name, revision)
        if name not in self._reader.ranges:
            await self._load(name)
            async with self._in_time(name):
                await self._shows(name, revision)
        self._used.pop(name, None)
        self._used[name] = asyncio.get_running_loop().time()

    @asynccontextmanager
    async def _in_time(self, name: str) -> AsyncIterator[None]:
        """Limits a wait for the changes of a range. Raises StatusError 503."""
        why = f"range {name} does not get its changes from the store; try again"
        try:
            async with asyncio.timeout(self._fresh_seconds):
                yield
        except TimeoutError:
            raise unavailable(why) from None
        except StoreError as error:
            raise unavailable(f"{why}: {error}") from error

    async def _shows(self, name: str, revision: int) -> None:
        if name in self._reader.ranges and self._catalog.revision < revision:
            # Both answer in the time of one.
            self._reader.ask_progress(name)
        await self._catalog.reached(revision)
        if name in self._reader.ranges:
            await self._reader.progressed(name, revision)

    async def _load(self, name: str) -> None:
        task = self._loads.get(name)
        if task is None:
            await self._make_room()
            task = self._loads.get(name)
        if task is None:
            task = self._loads[name] = awaited(self._loaded(name), name=f"load range {name}")
            task.add_done_callback(lambda _: self._loads.pop(name, None))
        # A client that goes away stops no load: others wait for it.
        await asyncio.shield(task)

    async def _loaded(self, name: str) -> None:
        info = self._map.named(name)
        if info is None:
            raise not_owner(f"there is no range {name}")
        try:
            async with self._loading:
                await self._reader.load(name, info.start, info.end)
        except StoreError as error:
            raise to_status(error) from error
        except ValueError as error:
            # The map has changed, and a range that it does not have any more is still in memory; or a key is damaged.
            raise not_owner(f"range {name} cannot be loaded: {error}") from error
        now = asyncio.get_running_loop().time()
        self._used[name] = self._shown[name] = now
        logger.info("loaded range %s", name)

    async def _make_room(self) -> None:
        """Raises StatusError 503 where all ranges are in use."""
        if len(self._used) + len(self._loads) < self._ranges_max:
            return
        for name in list(self._used):
            if not self._watched(name):
                await self._drop(name)
                return
        raise unavailable(f"this process has {self._ranges_max} ranges that are watched, as many as it may have; add processes")

    def _watched(self, name: str) -> bool:
        range_ = self._reader.ranges.get(name)
        return range_ is not None and self._hubs.watched(range_)

    async def _drop(self, name: str) -> None:
        self._used.pop(name, None)
        self._shown.pop(name, None)
        if name in self._reader.ranges:
            await self._reader.release(name)
            logger.info("dropped range %s", name)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._look_at_changes()
            for name, used in list(self._used.items()):
                info, range_ = self._map.named(name), self._reader.ranges.get(name)
                moved = info is None or range_ is None or (info.start, info.end) != (range_.start, range_.end)
                broken = loop.time() - self._shown.get(name, 0.0) > self._broken_seconds
                if moved or broken or (loop.time() - used > self._idle_seconds and not self._watched(name)):
                    await self._drop(name)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look_at_changes(self) -> None:
        try:
            async with asyncio.timeout(self._fresh_seconds):
                revision = await self._present.read()
                await self._catalog.reached(revision)
            self.why_not = ""
        except TimeoutError:
            self.why_not = "the catalog does not get its changes from the store"
            return
        except StoreError as error:
            self.why_not = f"the store does not answer: {error}"
            return
        # At one time: waiting for one that is broken must not make others look broken.
        await asyncio.gather(*(self._look_at_range(name, revision) for name in self._used))

    async def _look_at_range(self, name: str, revision: int) -> None:
        try:
            async with asyncio.timeout(self._fresh_seconds):
                await self._reader.progressed(name, revision)
            self._shown[name] = asyncio.get_running_loop().time()
        except (TimeoutError, KeyError, StoreError) as error:
            logger.warning("range %s does not get its changes from the store", name, extra={"error": repr(error)})
