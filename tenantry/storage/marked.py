"""Which records have a text in their values, for a few resources, so that no write has to look for it in all of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from tenantry.storage.index import in_key_order
from tenantry.storage.keys import Key
from tenantry.storage.record import Record


class MarkedKeys:
    """The keys of the records whose values contain the mark of their resource, in the order of the store.

    `marks`: resource (`Key.resource`) → its mark. Records without a mark take no memory.
    """

    __slots__ = ("_keys", "marks")

    def __init__(self, marks: Mapping[str, bytes]) -> None:
        self.marks = marks
        self._keys: dict[tuple[str, str], list[Key]] = {}

    def put(self, record: Record) -> None:
        """Called with each new value of a record of `marks`."""
        key = record.key
        if self.marks[key.resource] not in record.value:
            self.remove(key)
            return
        keys = self._keys.setdefault((key.resource, key.cluster), [])
        at = bisect_left(keys, in_key_order(key), key=in_key_order)
        if at == len(keys) or keys[at] != key:
            keys.insert(at, key)

    def remove(self, key: Key) -> None:
        place = (key.resource, key.cluster)
        keys = self._keys.get(place)
        if keys is None:
            return
        at = bisect_left(keys, in_key_order(key), key=in_key_order)
        if at < len(keys) and keys[at] == key:
            del keys[at]
            if not keys:
                del self._keys[place]

    def of(self, resource: str, cluster: str) -> Sequence[Key]:
        """The keys of a cluster. Raises KeyError where the resource has no mark."""
        if resource not in self.marks:
            raise KeyError(resource)
        return self._keys.get((resource, cluster), ())
