"""Writes the copies of replicated objects that are missing or old, and removes those that are too many, in small transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from tenantry.storage.resource_version import revision_of
from tenantry.storage.retry_on_conflict import Attempts
from tenantry.tenancy.catalog_copies import Copies
from tenantry.tenancy.replication.publications import NONE, REPLICATED, Publication, Usage

BATCH = 80
"""How many copies are written or removed in one transaction."""
BATCH_BYTES = 256 << 10


class Found(NamedTuple):
    """`local`: how many objects are selected. `refused`: how many of them have no copy, because there is no room. `written`: how
    many copies were written or removed."""

    local: int
    refused: int
    written: int


class ReplicatedCopies:
    """Only copies are written: the objects keep their versions, and who watches them sees nothing. A copy never differs from its
    object, because a write of the object takes its turn."""

    def __init__(self, *, cell: Cell, catalog: Catalog, copies: Copies) -> None:
        self._cell = cell
        self._catalog = catalog
        self._copies = copies

    async def run(
        self, range_: Range, cluster: str, publication: Publication, definition: ResourceDefinition, *, complete: bool
    ) -> Found:
        """Brings the copies of a publication in order. `cluster`: that of its ClusterCachedResource. `complete`: they are known
        to be, and are only counted."""
        selector = publication.selector
        if complete and selector.is_everything:
            return Found(range_.count(definition.storage_key, cluster), 0, 0)
        written = 0
        if not complete:
            async for batch in batches(self._wrong(range_, publication, definition, cluster), BATCH):
                for keys in self._small(range_, batch):
                    written += await self._write(keys, partial(self._copied, range_, publication, definition, keys))
        local = refused = 0
        async for record in in_slices(range_.each(definition.storage_key, cluster)):
            if selector.matches(record.head.labels):
                local += 1
                refused += self._catalog.entry(REPLICATED, publication.id, record.key.name) is None
        return Found(local, 0 if complete else refused, written)

    async def evict(self, key: Key, publication: str, is_wanted: Callable[[], bool] = lambda: False) -> None:
        """Removes the copies of a publication (id) that is not served any more. `key`: its ClusterCachedResource. `is_wanted`:
        whether the publication has come back meanwhile, whose copies are left then."""
        while names := list(islice(self._catalog.names_in(REPLICATED, publication), BATCH)):
            if is_wanted():
                return
            await self._write((key,), partial(self._evicted, key, publication, names))

    async def _write(self, keys: Sequence[Key], compute: Callable[[], Sequence[Change]]) -> int:
        """Commits the copies that `compute` returns; it is called when none of the keys has a write in progress. Returns how many
        changes these were."""
        copies: Sequence[Change] = ()
        async for attempt in Attempts(self._cell, keys):
            with attempt:
                copies = compute()
                if copies:
                    await self._cell.commit((), copies=copies)
                break
        return len(copies)

    def _wrong(
        self, range_: Range, publication: Publication, definition: ResourceDefinition, cluster: str
    ) -> Iterator[Key | None]:
        """The objects whose copies may be wrong, and copies without an object."""
        for record in range_.each(definition.storage_key, cluster):
            copy = self._catalog.entry(REPLICATED, publication.id, record.key.name)
            if publication.selector.matches(record.head.labels):
                # While the spec named another resource, writes did not write this copy. An older copy may be right too: of a
                # write that changed nothing that is copied.
                right = copy is not None and copy.revision >= revision_of(record.version)
            else:
                right = copy is None
            yield None if right else record.key
        for name in self._catalog.names_in(REPLICATED, publication.id):
            key = Key(cluster, definition.storage_key, "", name)
            yield None if range_.get(key) is not None else key

    def _small(self, range_: Range, keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
        """Cuts a batch so that no part has many bytes, but for one object."""
        part: list[Key] = []
        size = 0
        for key in keys:
            record = range_.get(key)
            more = len(record.value) if record is not None else 0
            if part and size + more > BATCH_BYTES:
                yield part
                part, size = [], 0
            part.append(key)
            size += more
        if part:
            yield part

    def _copied(
        self, range_: Range, publication: Publication, definition: ResourceDefinition, keys: Sequence[Key]
    ) -> Sequence[Change]:
        """The copies as writes of the objects would write them."""
        changes = []
        taken = NONE
        for key in keys:
            record = range_.get(key)
            obj = records.decode(record, definition, definition.storage_version) if record is not None else None
            copies = self._copies.replicas(definition, key, obj, taken)
            place = catalog_key(REPLICATED, publication.id, key.name)
            if place in copies:
                raw = copies[place]
                changes.append(Change(key, None, None, record, {place: raw}))
                if raw is not None:
                    taken = Usage(taken.objects + 1, taken.size_bytes + len(raw))
        return changes

    def _evicted(self, key: Key, publication: str, names: Sequence[str]) -> Sequence[Change]:
        there = [name for name in names if self._catalog.entry(REPLICATED, publication, name) is not None]
        gone = dict.fromkeys((catalog_key(REPLICATED, publication, name) for name in there), None)
        return (Change(key, None, None, self._cell.range_of(key.cluster).get(key), gone),) if gone else ()
