"""What a computation reads. Everything that is read is noted, so that the collection knows what it depends on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from tenantry.placement.catalog import Catalog, Entry
from tenantry.storage import resource_version
from tenantry.storage.range import Range, TooOld
from tenantry.storage.record import Record

SOURCE_BYTES = 600
"""Estimated memory of one noted copy or list, with its subscription."""
VERSION_BYTES = 40
"""The memory of one version in a list."""


class CopyName(NamedTuple):
    """A copy in the catalog, which may exist or not. `resource`: without identity."""

    resource: str
    cluster: str
    name: str


class CopyGroup(NamedTuple):
    """All copies of one cluster of a resource that the catalog tallies."""

    resource: str
    cluster: str


class ListName(NamedTuple):
    """All objects of a resource in a logical cluster of the base range (None: in all of them). `resource`: as in
    `Key.resource`."""

    resource: str
    cluster: str | None


class Sources:
    """Reads the range of the place and the catalog, from memory.

    The result of a computation must depend on nothing else than what it reads here: a change of something else is not noticed.
    Only versions are noted, so that nothing old stays in memory.
    """

    def __init__(self, range_: Range, catalog: Catalog) -> None:
        self._range = range_
        self._catalog = catalog
        self._copies: dict[CopyName, int] = {}
        """The revisions of the copies when they were read first. 0: there was none."""
        self._groups: dict[CopyGroup, int] = {}
        """The numbers of their changes when they were read first."""
        self._lists: dict[ListName, Sequence[int]] = {}
        """The versions of the records when they were read first."""
        self._range_lists: dict[str, int] = {}
        """The version of the range when all objects of a resource were read first: of so many, the versions are not compared."""
        self.newest = 0
        """The newest revision of the store among all that was read."""

    def copy(self, resource: str, cluster: str, name: str) -> Entry | None:
        """A copy in the catalog of an object of any shard; None if there is none. `resource`: `<group|core>/<plural>`."""
        found = self._catalog.entry(resource, cluster, name)
        revision = found.revision if found is not None else 0
        self._copies.setdefault(CopyName(resource, cluster, name), revision)
        self.newest = max(self.newest, revision)
        return found

    def group(self, resource: str, cluster: str) -> Sequence[tuple[str, Entry]]:
        """(name, copy) of every copy in one cluster of a resource that the catalog tallies, not decoded."""
        tally = self._catalog.tally(resource, cluster)
        self._groups.setdefault(CopyGroup(resource, cluster), tally.change)
        self.newest = max(self.newest, tally.revision)
        return self._catalog.entries(resource, cluster)

    def some_of_group(self, resource: str, cluster: str, names: Iterable[str]) -> Sequence[tuple[str, Entry | None]]:
        """As `group`, but only these copies; None for those that do not exist."""
        tally = self._catalog.tally(resource, cluster)
        self._groups.setdefault(CopyGroup(resource, cluster), tally.change)
        self.newest = max(self.newest, tally.revision)
        return [(name, self._catalog.entry(resource, cluster, name)) for name in names]

    def records(self, resource: str, cluster: str | None) -> Sequence[Record]:
        """All objects of a resource in a logical cluster of the place's range (None: in all of them), in the order of keys.
        `resource`: a `ResourceDefinition.storage_key`."""
        if cluster is None:
            self._range_lists.setdefault(resource, self._range.version)
            self.newest = max(self.newest, resource_version.revision_of(self._range.version))
            return tuple(self._range.list(resource))
        found = tuple(self._range.list(resource, cluster))
        versions = [record.version for record in found]
        self._lists.setdefault(ListName(resource, cluster), versions)
        self.newest = max(self.newest, resource_version.revision_of(max(versions, default=0)))
        return found

    def revision_of(self, record: Record) -> int:
        """The revision of the store that wrote a record."""
        return resource_version.revision_of(record.version)

    @property
    def copies(self) -> Collection[CopyName]:
        """The copies that were read."""
        return self._copies.keys()

    @property
    def groups(self) -> Collection[CopyGroup]:
        """The groups of copies that were read."""
        return self._groups.keys()

    @property
    def lists(self) -> Collection[ListName]:
        """The lists that were read."""
        return {*self._lists, *(ListName(resource, None) for resource in self._range_lists)}

    @property
    def bytes(self) -> int:
        """The estimated memory of this."""
        noted = len(self._copies) + len(self._groups) + len(self._lists) + len(self._range_lists)
        return SOURCE_BYTES * noted + VERSION_BYTES * sum(map(len, self._lists.values()))

    def are_current(self) -> bool:
        """Whether nothing that was read has changed since."""
        entry, listed = self._catalog.entry, self._range.list
        for copy, revision in self._copies.items():
            now = entry(*copy)
            if (now.revision if now is not None else 0) != revision:
                return False
        if any(self._has_events(*noted) for noted in self._range_lists.items()):
            return False
        for group, change in self._groups.items():
            if self._catalog.tally(*group).change != change:
                return False
        return all([record.version for record in listed(*name)] == versions for name, versions in self._lists.items())

    def _has_events(self, resource: str, version: int) -> bool:
        """Whether objects of a resource may have changed after a version of the range."""
        try:
            return bool(self._range.events_after(version, resource))
        except TooOld:
            return True
