"""Writes the copies of replicated objects that are missing, and removes those that are too many, in small transactions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from tenantry.apiserver import records
from tenantry.base.time_slices import batches, in_slices
from tenantry.kube.definition import ResourceDefinition
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key, catalog_key
from tenantry.storage.range import Range
from tenantry.storage.record import Change
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.catalog_copies import Copies
from tenantry.tenancy.replication.publications import REPLICATED, Publication

BATCH = 20
"""How many objects are written again in one transaction, each with its copy."""
BATCH_BYTES = 256 << 10
EVICTED = 80
"""How many copies without an object are removed in one transaction."""


class Found(NamedTuple):
    """`local`: how many objects are selected. `refused`: how many of them have no copy, because there is no room."""

    local: int
    refused: int


class Backfill:
    """Objects are written again, unchanged, with their copy: so a copy never differs from its object, and a concurrent write of
    the object takes its turn."""

    def __init__(self, *, cell: Cell, catalog: Catalog, copies: Copies) -> None:
        self._cell = cell
        self._catalog = catalog
        self._copies = copies

    async def run(
        self, range_: Range, key: Key, publication: Publication, definition: ResourceDefinition, *, complete: bool
    ) -> Found:
        """Brings the copies of a publication in order. `key`: its ClusterCachedResource. `complete`: they are known to be, and
        are only counted."""
        selector, cluster = publication.selector, key.cluster
        if complete:
            if selector.is_everything:
                return Found(range_.count(definition.storage_key, cluster), 0)
            local = 0
            async for record in in_slices(range_.each(definition.storage_key, cluster)):
                local += selector.matches(record.head.labels)
            return Found(local, 0)
        async for batch in batches(self._wrong(range_, publication, definition, cluster), BATCH):
            for keys in self._small(range_, batch):
                await transact(self._cell, keys, partial(self._changes, range_, definition, keys))
        local = refused = 0
        selected: set[str] = set()
        async for record in in_slices(range_.each(definition.storage_key, cluster)):
            if selector.matches(record.head.labels):
                local += 1
                selected.add(record.key.name)
                refused += self._catalog.entry(REPLICATED, publication.id, record.key.name) is None
        if self._catalog.tally(REPLICATED, publication.id).objects > local - refused:
            await self.evict(key, publication.id, kept=selected)
        return Found(local, refused)

    async def evict(self, key: Key, publication: str, *, kept: Collection[str] = ()) -> None:
        """Removes the copies of a publication (id) but those that are `kept`. `key`: its ClusterCachedResource, which is written
        again, unchanged, with them."""
        gone = (name for name in self._catalog.names_in(REPLICATED, publication) if name not in kept)
        while names := list(islice(gone, EVICTED)):
            await transact(self._cell, (key,), partial(self._eviction, key, publication, names))

    def _wrong(
        self, range_: Range, publication: Publication, definition: ResourceDefinition, cluster: str
    ) -> Iterator[Key | None]:
        for record in range_.each(definition.storage_key, cluster):
            copied = self._catalog.entry(REPLICATED, publication.id, record.key.name) is not None
            yield record.key if publication.selector.matches(record.head.labels) != copied else None

    def _small(self, range_: Range, keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
        """Cuts a batch so that no part has many bytes, but for one object."""
        part: list[Key] = []
        size = 0
        for key in keys:
            record = range_.get(key)
            if record is None:
                continue
            if part and size + len(record.value) > BATCH_BYTES:
                yield part
                part, size = [], 0
            part.append(key)
            size += len(record.value)
        if part:
            yield part

    def _changes(self, range_: Range, definition: ResourceDefinition, keys: Sequence[Key]) -> Sequence[Change]:
        changes = []
        for key in keys:
            record = range_.get(key)
            if record is None:
                continue
            obj = records.decode(record, definition, definition.storage_version)
            copies = self._copies.replicas(definition, key, obj)
            if copies:
                changes.append(Change(key, record.value, record.head, record, copies))
        return changes

    def _eviction(self, key: Key, publication: str, names: Sequence[str]) -> Sequence[Change]:
        record = self._cell.range_of(key.cluster).get(key)
        there = [name for name in names if self._catalog.entry(REPLICATED, publication, name) is not None]
        if record is None or not there:
            return ()
        gone = dict.fromkeys((catalog_key(REPLICATED, publication, name) for name in there), None)
        return (Change(key, record.value, record.head, record, gone),)
