"""A set of APIs: what one logical cluster, or one view, serves. Shared by all that have the same set."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from tenantry.base.cache import Cache
from tenantry.kube.definition import ResourceDefinition, Version

T = TypeVar("T")

_PLACE_BYTES = 500
"""What a definition's place in a set takes."""
_numbers = count(1)
# What is larger is kept as well: who makes it beside the loop must find it afterwards.
_documents: Cache[tuple[int, Hashable], Any] = Cache(
    "api_documents", bytes_max=32 << 20, entry_bytes_max=10 << 20, keeps_large=True
)


class ApiSet:
    """An immutable set of definitions with look-up by group, version and resource.

    `number` names it for as long as the process lives. `tables` are other ways to look its definitions up, by the name of who
    made them: no larger than the set itself. Documents, which are, go through `document`.
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
        """What `make` derives from the whole set (discovery, OpenAPI), made once for all workspaces with this set while it is
        asked for."""
        found: T = _documents.compute((self.number, key), make)
        return found

    def has_document(self, key: Hashable) -> bool:
        """Whether `document` need not make it."""
        return (self.number, key) in _documents

    def find(self, group: str, version: str, plural: str) -> tuple[ResourceDefinition, Version] | None:
        return self._by_resource.get((group, version, plural))

    def has(self, group: str, version: str) -> bool:
        return version in self._versions.get(group, ())

    def of_group(self, group: str) -> Sequence[ResourceDefinition]:
        """The definitions of a group, whether served or not."""
        return self._by_group.get(group, ())

    def groups(self) -> dict[str, list[str]]:
        """Group → its served versions, in the order of definition (discovery sorts them)."""
        return self._versions

    def __iter__(self) -> Iterator[ResourceDefinition]:
        return iter(self.definitions)


def _own_bytes(apis: ApiSet) -> int:
    return bytes_of(apis.definitions)


class ApiSets:
    """Sets by what is in them: for the same definitions the same set, as long as anybody has it. As many as have room are kept
    besides, for whoever asks next; the largest as well, because computing one for each request would keep everybody waiting.
    `name` is that of the cache."""

    def __init__(self, name: str, *, bytes_max: int) -> None:
        self._all: WeakValueDictionary[tuple[int, ...], ApiSet] = WeakValueDictionary()
        self._kept: Cache[int, ApiSet] = Cache(
            name, bytes_max=bytes_max, entry_bytes_max=bytes_max, size=_own_bytes, keeps_large=True
        )

    def of(self, definitions: Iterable[ResourceDefinition]) -> ApiSet:
        chosen = tuple(definitions)
        # A set holds its definitions, so that no other one takes their ids while it is here.
        key = tuple(map(id, chosen))
        found = self._all.get(key)
        if found is None:
            found = self._all[key] = ApiSet(chosen)
        if self._kept.get(found.number) is None:
            self._kept.put(found.number, found)
        return found

    def numbered(self, number: int) -> ApiSet | None:
        """A set that is kept, by its number."""
        return self._kept.get(number)


def bytes_of(definitions: Iterable[ResourceDefinition]) -> int:
    """The memory that definitions take where nobody else has them, with their places in a set."""
    return sum(_PLACE_BYTES + definition.memory_bytes for definition in definitions)
