"""The collections of one shard: which there are, and when they are computed again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from functools import partial
from itertools import islice

from tenantry.apiserver.hub import Hubs
from tenantry.base.broadcast import KeyedBroadcast
from tenantry.base.cache import Cache
from tenantry.base.signal import Signal
from tenantry.base.tasks import raised, restarting
from tenantry.base.time_slices import turns
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog
from tenantry.storage import resource_version
from tenantry.storage.cell import Cell
from tenantry.storage.range import Range
from tenantry.tenancy.computed.collection import Collection, Compute, Computed, ComputeSome
from tenantry.tenancy.computed.sources import CopyName, Sources
from tenantry.tenancy.local_ranges import LocalRanges

KEPT_BYTES_MAX = 64 << 20
"""For all collections without watches."""
BATCH = 256
"""How many collections are computed before the store is asked once whether memory is complete."""

Name = tuple[str, str, Hashable]
"""The names of a range and of a view, and the place in the view."""


class Collections:
    """The collections of a shard. Those with watches are kept while they have them, others in a cache.

    One task computes them again after changes, however many there are. It ends when nothing is left to do.
    """

    def __init__(self, *, cell: Cell, catalog: Catalog, hubs: Hubs, local_ranges: LocalRanges) -> None:
        self._cell = cell
        self._catalog = catalog
        self._hubs = hubs
        self._kept: Cache[Name, Collection] = Cache(
            "computed_collections", bytes_max=KEPT_BYTES_MAX, size=lambda kept: kept.bytes, keeps_large=True
        )
        self._followed: dict[Name, Collection] = {}
        self._copied_resources: set[str] = set()
        """Resources of the catalog that are subscribed to: those that some view reads."""
        self._copies: KeyedBroadcast[CopyName, []] = KeyedBroadcast("a collection that was computed from a copy")
        self._waiting: dict[Collection, None] = {}
        self._paused: dict[Collection, asyncio.TimerHandle] = {}
        """Collections that wait for the end of a pause (`Collection.pause_seconds`)."""
        self._worker: asyncio.Task[None] | None = None
        self._completing = asyncio.Lock()
        self._moved = Signal()
        cell.commits.subscribe(lambda *_: self._moved.send())
        local_ranges.follow(self._acquired)

    async def stop(self) -> None:
        """Ends the task. Nothing is computed again after a change."""
        worker, self._worker = self._worker, None
        self._waiting.clear()
        for timer in self._paused.values():
            timer.cancel()
        self._paused.clear()
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    def of(
        self,
        base: Range,
        view: str,
        place: Hashable,
        cluster: str,
        compute: Compute,
        *,
        at_once: bool = False,
        some: ComputeSome | None = None,
    ) -> Collection:
        """The collection of a place in a view. `base`: the range of the place. `cluster`: in the keys of the objects. `at_once`,
        `some`: as in `Collection`."""
        name = (base.name, view, place)
        found = self._followed.get(name) or self._kept.get(name)
        if found is None or found.base is not base:
            found = Collection(self, self._cell.store.cell, base, cluster, name, compute, at_once=at_once, some=some)
            self._kept.put(name, found)
        return found

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be computed again."""
        return not self._waiting and not self._paused and (self._worker is None or self._worker.done())

    def sources(self, range_: Range) -> Sources:
        return Sources(range_, self._catalog)

    async def complete_revision(self) -> int:
        revision = self._known_revision()
        async with self._completing:
            # One after the other: each may open a watch of the store, and what the first one reads is enough for most others.
            await self._catalog.reached(revision)
        await self._cell.in_flight_applied()
        return revision

    def follow(self, sources: Sources, range_: Range, changed: Callable[[str], None]) -> Callable[[], None]:
        stops = [range_.subscribe(lambda _: changed(""), *name) for name in sources.lists]
        stops += [self._catalog.follow_tally(*group, changed) for group in sources.groups]
        for name in sources.copies:
            if name.resource not in self._copied_resources:
                self._copied_resources.add(name.resource)
                self._catalog.subscribe(name.resource, self._copied)
            stops.append(self._copies.subscribe(name, partial(changed, "")))

        def stop() -> None:
            for each in stops:
                each()

        return stop

    def refresh_soon(self, collection: Collection) -> None:
        pause = collection.pause_seconds
        if not pause:
            self._refresh_now(collection)
        elif collection not in self._paused:
            self._paused[collection] = asyncio.get_running_loop().call_later(pause, self._refresh_now, collection)

    def _refresh_now(self, collection: Collection) -> None:
        self._paused.pop(collection, None)
        self._waiting[collection] = None
        if self._worker is None or self._worker.done():
            self._worker = restarting(self._refresh, name="computed collections", ends=True)

    def keep(self, collection: Collection) -> None:
        name = collection.name
        if self._cell.ranges.get(collection.base.name) is not collection.base:
            self._forget(collection)
        elif not collection.followed:
            self._forget(collection)
            self._kept.put(name, collection)
        elif name not in self._followed:
            self._kept.pop(name)
            self._followed[name] = collection

    def end_streams(self, range_: Range) -> None:
        self._hubs.end(range_)

    async def moved(self, version: int) -> None:
        revision = resource_version.revision_of(version)
        if self._known_revision() >= revision:
            return
        # Not a watch of the store: the version may be one that a client invented.
        stop = self._catalog.subscribe(None, self._copied_soon)
        try:
            while self._known_revision() < revision:
                await self._moved.wait()
        finally:
            stop()

    def _copied_soon(self, *_: object) -> None:
        """Called before the catalog has the revision of a change."""
        asyncio.get_running_loop().call_soon(self._moved.send)

    def _known_revision(self) -> int:
        """The newest revision that memory shows, of the catalog or of a range."""
        ranges = (resource_version.revision_of(range_.version) for range_ in self._cell.ranges.values())
        return max(self._catalog.revision, *ranges, 0)

    async def _refresh(self) -> None:
        while self._waiting:
            computed: list[tuple[Collection, Computed]] = []
            batch = list(islice(self._waiting, BATCH))
            before = await self.complete_revision() if any(each.at_once for each in batch) else 0
            for collection in batch:
                try:
                    computed.append((collection, await collection.compute()))
                except Exception as error:  # a view of a service team may raise any error; the others are still computed
                    self._failed(collection, error)
            revision = await self.complete_revision()
            for collection, result in computed:
                self._waiting.pop(collection, None)
                try:
                    if not collection.show(result, before if collection.at_once else revision):
                        self._waiting[collection] = None
                except Exception as error:  # the same for what its objects do to the range
                    self._failed(collection, error)
                await turns.rest()

    def _failed(self, collection: Collection, error: Exception) -> None:
        """Ends the watches of a collection that cannot be computed. They list again, which is better than no events."""
        if not isinstance(error, StatusError):
            raised(f"computing {collection.name}")
        self._waiting.pop(collection, None)
        collection.end()

    def _copied(self, resource: str, cluster: str, name: str, _: Object | None) -> None:
        self._copies.send(CopyName(resource, cluster, name))

    def _forget(self, collection: Collection) -> None:
        if self._followed.get(collection.name) is collection:
            del self._followed[collection.name]

    def _acquired(self, range_: Range) -> Callable[[], None]:
        def released() -> None:
            for collection in [each for each in self._followed.values() if each.base is range_]:
                collection.end()
                self._forget(collection)
            # All of them: what the cache evicted, and did not free yet, refers to the range too.
            self._kept.clear()

        return released
