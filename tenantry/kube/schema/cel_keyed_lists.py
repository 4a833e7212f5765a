"""Lists that rules see as sets and maps (x-kubernetes-list-type): they are equal in any order, and `+` is a union."""

from __future__ import annotations

from typing import Any

from tenantry.kube.schema.cel_errors import CelError


class SetList(list[Any]):
    """A list that is a set. What it is compared with or added to decides nothing: the value on the left does."""

    __slots__ = ()

    def union(self, other: list[Any]) -> SetList:
        """All items, each once."""
        known = {set_key(item) for item in self}
        added: dict[Any, Any] = {}
        for item in other:
            key = set_key(item)
            if key not in known:
                added.setdefault(key, item)
        return SetList([*self, *added.values()])


class MapList(list[Any]):
    """A list whose items have keys. `keys` are the names of their fields in CEL."""

    __slots__ = ("keys",)

    def __init__(self, items: list[Any], keys: tuple[str, ...]) -> None:
        super().__init__(items)
        self.keys = keys

    def key(self, item: Any) -> Any:
        if type(item) is not dict:
            raise CelError("unexpected data format for element of array with x-kubernetes-list-type=map")
        return tuple(_raw(item.get(name)) for name in self.keys)

    def by_keys(self) -> dict[Any, Any]:
        return {self.key(item): item for item in self}

    def union(self, other: list[Any]) -> MapList:
        """All items. One of `other` takes the place of the last one with the same keys here. Of those that are new, upstream does
        not look for doubles."""
        items = [*self]
        places = {self.key(item): place for place, item in enumerate(items)}
        for item in other:
            place = places.get(self.key(item))
            if place is None:
                items.append(item)
            else:
                items[place] = item
        return MapList(items, self.keys)


def set_key(item: Any) -> Any:
    """What makes an item of a set the same as another. Raises CelError for what cannot be in a set."""
    if isinstance(item, (list, dict)):
        raise CelError("listSet operations are only supported on lists of scalar values")
    return _raw(item)


def _raw(value: Any) -> Any:
    return (type(value), value) if not isinstance(value, (list, dict)) else (type(value), repr(value))
