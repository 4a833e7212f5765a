"""A set of APIs: what one logical cluster, or one view, serves. Shared by all that have the same set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tenantry.kube.definition import ResourceDefinition, Version


class ApiSet:
    """An immutable set of definitions with look-up by group, version and resource.

    Documents that are derived from the whole set (discovery, OpenAPI) are kept in `documents` by whoever makes them, so that
    they exist once for all workspaces with this set.
    """

    def __init__(self, definitions: Iterable[ResourceDefinition]) -> None:
        self.definitions = tuple(definitions)
        self.documents: dict[Any, Any] = {}
        self._by_resource: dict[tuple[str, str, str], tuple[ResourceDefinition, Version]] = {}
        self._versions: dict[str, list[str]] = {}
        for definition in self.definitions:
            for version in definition.versions.values():
                if not version.served:
                    continue
                self._by_resource.setdefault((definition.group, version.name, definition.plural), (definition, version))
                names = self._versions.setdefault(definition.group, [])
                if version.name not in names:
                    names.append(version.name)

    def find(self, group: str, version: str, plural: str) -> tuple[ResourceDefinition, Version] | None:
        return self._by_resource.get((group, version, plural))

    def has(self, group: str, version: str) -> bool:
        return version in self._versions.get(group, ())

    def groups(self) -> dict[str, list[str]]:
        """Group → its served versions, in the order of definition (discovery sorts them)."""
        return self._versions

    def __iter__(self) -> Iterator[ResourceDefinition]:
        return iter(self.definitions)
