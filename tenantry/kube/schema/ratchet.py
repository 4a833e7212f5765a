"""Finds the part of an old object that corresponds to a part of the new one (ratcheting, KEP-4008)."""

from __future__ import annotations

from typing import Any

from tenantry.kube.field_paths import Path, path_text
from tenantry.kube.json_equality import same_json
from tenantry.kube.patch.json_values import identity
from tenantry.kube.schema.compiled import compiled
from tenantry.kube.schema.structural import Schema

ABSENT: Any = object()
"""Stands for a value that does not exist; None is JSON's null."""

__all__ = ["ABSENT", "Path", "path_text"]


class Ratchet:
    """Which parts of an object are unchanged since `old`.

    Items of a map list are matched by their keys; items of other lists have no counterparts. Each part is compared at most once.
    """

    def __init__(self, new: Any, old: Any, schema: Schema) -> None:
        self._root: _Place = (schema, new, old, same_value(new, old, schema))
        self._places: dict[int, tuple[Path, _Place]] = {}
        self._counterparts: dict[int, Counterparts] = {}

    def is_unchanged(self, path: Path) -> bool:
        """Whether the value at `path`, or a value that contains it, is unchanged."""
        return self._at(path)[3]

    def _at(self, path: Path) -> _Place:
        missing: list[Path] = []
        while path is not None and id(path) not in self._places:
            missing.append(path)
            path = path[0]
        place = self._root if path is None else self._places[id(path)][1]
        for step in reversed(missing):
            assert step is not None
            place = self._step(step[1], place)
            # The path is kept too, so that its id() stays unique.
            self._places[id(step)] = (step, place)
        return place

    def _step(self, key: Any, place: _Place) -> _Place:
        schema, new, old, unchanged = place
        if unchanged:
            return place
        if old is ABSENT:
            return None, ABSENT, ABSENT, False
        if type(key) is int:
            if type(new) is not list or key >= len(new):
                return None, ABSENT, ABSENT, False
            below, inner_new = schema.items if schema else None, new[key]
            inner_old = self._counterparts_of(old, schema).of(inner_new)
        else:
            below = child_schema(schema, key)
            inner_new = new.get(key, ABSENT) if type(new) is dict else ABSENT
            inner_old = old.get(key, ABSENT) if type(old) is dict else ABSENT
        return below, inner_new, inner_old, same_value(inner_new, inner_old, below)

    def _counterparts_of(self, old: Any, schema: Schema | None) -> Counterparts:
        known = self._counterparts.get(id(old))
        if known is None:
            known = self._counterparts[id(old)] = Counterparts(old, schema)
        return known


_Place = tuple[Schema | None, Any, Any, bool]
"""The schema, the new and the old value (ABSENT where there is none), and whether these or values around them are equal."""


class Counterparts:
    """The items of an old list by their keys. Only items of a map list can be matched."""

    __slots__ = ("_by_keys", "_keys")

    def __init__(self, old: Any, schema: Schema | None) -> None:
        self._keys: tuple[str, ...] = ()
        self._by_keys: dict[tuple[Any, ...], Any] = {}
        if schema is not None and schema.list_type == "map" and type(old) is list:
            self._keys = schema.list_map_keys
            for item in old:
                if type(item) is dict:
                    self._by_keys.setdefault(self._identity(item), item)

    def of(self, item: Any) -> Any:
        """The old item with the same keys as this one; ABSENT where there is none."""
        return self._by_keys.get(self._identity(item), ABSENT) if self._by_keys and type(item) is dict else ABSENT

    def _identity(self, item: Any) -> tuple[Any, ...]:
        return tuple(identity(item.get(key)) for key in self._keys)


def child_schema(schema: Schema | None, name: str) -> Schema | None:
    if schema is None:
        return None
    found = schema.properties.get(name)
    if found is not None:
        return found
    return schema.additional if isinstance(schema.additional, Schema) else None


def same_value(new: Any, old: Any, schema: Schema | None) -> bool:
    """Whether a value is the same as before: in a map list, the items may have changed places."""
    if old is ABSENT:
        return False
    if same_json(new, old):
        return True
    if schema is None or not compiled(schema, "map lists", lambda root: _has_map_list(root, set())):
        return False
    if type(new) is dict and type(old) is dict:
        return new.keys() == old.keys() and all(
            same_value(value, old[name], child_schema(schema, name)) for name, value in new.items()
        )
    if schema.list_type != "map" or type(new) is not list or type(old) is not list or len(new) != len(old):
        return False
    before = Counterparts(old, schema)
    return all(same_value(item, before.of(item), schema.items) for item in new)


def _has_map_list(schema: Schema, seen: set[int]) -> bool:
    if id(schema) in seen:
        return False
    seen.add(id(schema))
    if schema.list_type == "map":
        return True
    below = [*schema.properties.values(), schema.items, schema.additional]
    return any(isinstance(each, Schema) and _has_map_list(each, seen) for each in below)
