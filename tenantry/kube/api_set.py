"""A set of APIs: the types that a logical cluster or a view serves. Clusters with the same types share one set."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from tenantry.base.cache import Cache
from tenantry.kube.definition import ResourceDefinition, Version

T = TypeVar("T")

_PLACE_BYTES = 500
"""Bytes of memory that a set needs for each definition."""
_numbers = count(1)
# A larger document is kept too: it is made in a thread and looked up afterwards.
_documents: Cache[tuple[int, Hashable], Any] = Cache(
    "api_documents", bytes_max=32 << 20, entry_bytes_max=10 << 20, keeps_large=True
)


class ApiSet:
    """An immutable set of definitions with look-up by group, version and resource.

    `number` identifies the set for the lifetime of the process. `tables` are other look-up tables of its definitions, by the name
    of the module that made them. A table is not larger than the set itself; larger derived values are kept by `document`.
    """

    def __init__(self, definitions: Iterable[ResourceDefinition]) -> None:
        self.number = next(_numbers)
        self.definitions = tuple(definitions)
        self.tables: dict[str, Any] = {}
        self._by_group: dict[str, list[ResourceDefinition]] = {}
        self._by_resource: dict[tuple[str, str, str], tuple[ResourceDefinition, Version]] = {}
        self._versions: dict[str, list[str]] = {}
        for definition in self.definitions:
            self._by_group.setdefault(definition.group, []).append(definition)
            for version in definition.versions.values():
                if not version.served:
                    continue
                self._by_resource.setdefault((definition.group, version.name, definition.plural), (definition, version))
                names = self._versions.setdefault(definition.group, [])
                if version.name not in names:
                    names.append(version.name)

    def document(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value that `make` derives from the whole set (discovery, OpenAPI). It is cached, and shared by all clusters with
        this set."""
        found: T = _documents.compute((self.number, key), make)
        return found

    def has_document(self, key: Hashable) -> bool:
        """Whether `document` would find the value in the cache."""
        return (self.number, key) in _documents

    def find(self, group: str, version: str, plural: str) -> tuple[ResourceDefinition, Version] | None:
        return self._by_resource.get((group, version, plural))

    def has(self, group: str, version: str) -> bool:
        return version in self._versions.get(group, ())

    def of_group(self, group: str) -> Sequence[ResourceDefinition]:
        """The definitions of a group, served or not."""
        return self._by_group.get(group, ())

    def groups(self) -> dict[str, list[str]]:
        """Group → its served versions, in the order of the definitions (discovery sorts them)."""
        return self._versions

    def __iter__(self) -> Iterator[ResourceDefinition]:
        return iter(self.definitions)


def _own_bytes(apis: ApiSet) -> int:
    return bytes_of(apis.definitions)


class ApiSets:
    """Finds or makes the set for some definitions. The same definitions give the same set while it is in use. Sets are also kept
    in a cache, as many as fit, for later requests. The largest sets are kept too, because making one for each request would block
    the loop. `name` is the name of the cache."""

    def __init__(self, name: str, *, bytes_max: int) -> None:
        self._all: WeakValueDictionary[tuple[int, ...], ApiSet] = WeakValueDictionary()
        self._kept: Cache[int, ApiSet] = Cache(
            name, bytes_max=bytes_max, entry_bytes_max=bytes_max, size=_own_bytes, keeps_large=True
        )

    def of(self, definitions: Iterable[ResourceDefinition]) -> ApiSet:
        chosen = tuple(definitions)
        # The set refers to its definitions, so their ids (id()) stay unique as long as the set exists.
        key = tuple(map(id, chosen))
        found = self._all.get(key)
        if found is None:
            found = self._all[key] = ApiSet(chosen)
        if self._kept.get(found.number) is None:
            self._kept.put(found.number, found)
        return found

    def numbered(self, number: int) -> ApiSet | None:
        """The set with this number, if it is still kept."""
        return self._kept.get(number)


def bytes_of(definitions: Iterable[ResourceDefinition]) -> int:
    """The memory in bytes of definitions that only one set uses, with their places in the set."""
    return sum(_PLACE_BYTES + definition.memory_bytes for definition in definitions)
