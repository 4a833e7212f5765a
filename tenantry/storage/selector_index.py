"""Indexes of the collections of a range, by name or by the values of one label, so that a selector does not look at each object.

An index is made when a selector needs it for the second time, and kept in a cache that is bounded in bytes: a collection that no
selector asks for has none. It keeps no keys of a value that many objects have, because such a selector selects much anyway.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from weakref import ref

from tenantry.base.cache import Cache
from tenantry.base.time_slices import in_slices
from tenantry.storage.index import Index
from tenantry.storage.keys import Key
from tenantry.storage.record import Record, RecordEvent

NAME = ""
"""The label of an index by name. No label has this key."""
SELECTED_MAX = 1024
"""An index answers selectors of at most so many objects. For more, a search costs little beside the answer."""
SMALL = 256
"""Collections of fewer objects are gone through."""
LABELS_MAX = 8
"""A collection has at most so many indexes, because each write is applied to all of them. Another one replaces the oldest."""
BYTES_MAX = 48 << 20
_INDEX_BYTES_MAX = BYTES_MAX // 3
_VALUE_BYTES, _KEY_BYTES = 120, 8
"""The measured memory of a value: its slot in a dict, and its keys' tuple. Keys and values themselves belong to the objects."""
_EMPTY_BYTES = 256
_GROWTH = 2
"""An index that grew by this factor since its bytes were counted is dropped. The selectors that need it make it again."""
_SLACK_BYTES = 64 << 10
_COMMON: tuple[Key, ...] = ()
"""Stands for the keys of a value that more than `SELECTED_MAX` objects have."""

Collection = tuple[str, str | None, str | None]
"""Resource (`Key.resource`), cluster and namespace. None: all."""

_numbers = itertools.count()


class SelectorIndex:
    """The keys of one collection by name (`label` is `NAME`) or by the value of a label."""

    __slots__ = ("__weakref__", "_changed", "_keys", "building", "bytes", "bytes_max", "label", "ready")

    def __init__(self, label: str) -> None:
        self.label = label
        self.ready = False
        self.building: asyncio.Event | None = None
        self.bytes = 0
        self.bytes_max = _INDEX_BYTES_MAX
        self._keys: dict[str, tuple[Key, ...]] = {}
        self._changed: set[Key] | None = None
        """The keys that changed while the index is filled."""

    async def fill(self, records: Iterable[Record]) -> None:
        """Adds the objects of the collection, in slices. Those that change meanwhile come by `change` alone."""
        changed: set[Key] = set()
        self._changed = changed
        async for record in in_slices(records):
            if record.key not in changed:
                self.add(record)
        self._changed = None

    def add(self, record: Record) -> None:
        """Adds an object that is not in the index."""
        value = self._value(record)
        if value is None:
            return
        keys = self._keys.get(value)
        if keys is None:
            self._keys[value] = (record.key,)
            self.bytes += _VALUE_BYTES
        elif keys is _COMMON:
            return
        elif len(keys) < SELECTED_MAX:
            self._keys[value] = (*keys, record.key)
            self.bytes += _KEY_BYTES
        else:
            self._keys[value] = _COMMON
            self.bytes -= _KEY_BYTES * len(keys)

    def remove(self, record: Record) -> None:
        """Removes an object, if it is in the index."""
        value = self._value(record)
        keys = self._keys.get(value) if value is not None else None
        if value is None or not keys or record.key not in keys:
            return
        if len(keys) == 1:
            del self._keys[value]
            self.bytes -= _VALUE_BYTES
            return
        at = keys.index(record.key)
        self._keys[value] = keys[:at] + keys[at + 1 :]
        self.bytes -= _KEY_BYTES

    def change(self, event: RecordEvent) -> None:
        """Takes a committed change into account."""
        record, previous = event.record, event.previous
        if self._changed is not None:
            self._changed.add(event.key)
        elif record is not None and previous is not None and self._value(record) == self._value(previous):
            return
        if previous is not None:
            self.remove(previous)
        if record is not None:
            self.add(record)

    def find(self, values: Iterable[str] | None) -> Sequence[Key] | None:
        """The keys of the objects with one of these values (distinct; None: with any value). None if there are too many."""
        found: list[Key] = []
        for keys in self._keys.values() if values is None else map(self._keys.get, values):
            if keys is None:
                continue
            found += keys
            if keys is _COMMON or len(found) > SELECTED_MAX:
                return None
        return found

    def _value(self, record: Record) -> str | None:
        return record.head.labels.get(self.label) if self.label else record.key.name


_kept: Cache[tuple[str, ...], SelectorIndex] = Cache("selector_indexes", bytes_max=BYTES_MAX, entry_bytes_max=_INDEX_BYTES_MAX)
"""All indexes of the process, by range, collection and label. One that is not ready was asked for once."""


class SelectorIndexes:
    """The indexes of one range. `apply` keeps them up to date; it need not be called while `made` is empty."""

    __slots__ = ("_objects", "_range", "made")

    def __init__(self, objects: Index) -> None:
        self._objects = objects
        self._range = str(next(_numbers))
        self.made: dict[str, dict[tuple[str | None, str | None], dict[str, ref[SelectorIndex]]]] = {}
        """The indexes that are made or ready, by resource, place and label. The cache owns them: when it evicts one, it goes
        from here, too."""

    def find(self, collection: Collection, label: str, values: Iterable[str] | None) -> Sequence[Key] | None:
        """`SelectorIndex.find` of an index. None if there is none."""
        index = _kept.get(self._key(collection, label))
        return index.find(values) if index is not None and index.ready else None

    def has(self, collection: Collection, label: str) -> bool:
        index = _kept.get(self._key(collection, label))
        return index is not None and index.ready

    async def prepare(self, collection: Collection, label: str) -> None:
        """Called before `find`: makes the index if it is asked for repeatedly and the collection is large, in slices."""
        key = self._key(collection, label)
        index = _kept.get(key)
        if index is not None and index.building is not None:
            await index.building.wait()
        elif index is not None and not index.ready:
            await self._make(index, key, collection)
        elif index is None and self._objects.has_many(*collection, SMALL):
            _kept.put(key, SelectorIndex(label), _EMPTY_BYTES)

    def apply(self, events: Sequence[RecordEvent]) -> None:
        """Called with the events that are applied to the objects."""
        for event in events:
            cluster, resource, namespace, _ = event.key
            collections = self.made.get(resource)
            if collections is None:
                continue
            for place in ((cluster, namespace), (cluster, None), (None, namespace), (None, None)):
                for label, kept in list(collections.get(place, {}).items()):
                    index = kept()
                    if index is not None:
                        index.change(event)
                        if index.bytes > index.bytes_max:
                            self._drop((resource, *place), label)

    def clear(self) -> None:
        """Drops all indexes."""
        for resource, collections in list(self.made.items()):
            for place, labels in list(collections.items()):
                for label in list(labels):
                    self._drop((resource, *place), label)

    def _key(self, collection: Collection, label: str) -> tuple[str, ...]:
        resource, cluster, namespace = collection
        return self._range, resource, cluster or "", namespace or "", label

    async def _make(self, index: SelectorIndex, key: tuple[str, ...], collection: Collection) -> None:
        resource, cluster, namespace = collection
        if self._objects.count(resource, cluster, namespace) * _VALUE_BYTES > _INDEX_BYTES_MAX:
            return
        index.building = asyncio.Event()
        labels = self.made.setdefault(resource, {}).setdefault((cluster, namespace), {})
        if len(labels) >= LABELS_MAX and index.label not in labels:
            self._drop(collection, next(iter(labels)))
        labels[index.label] = mine = ref(index, partial(self._gone, collection, index.label))
        try:
            await index.fill(self._objects.each(resource, cluster, namespace))
            if labels.get(index.label) is mine and _kept.put(key, index, _EMPTY_BYTES + index.bytes):
                index.bytes_max = _GROWTH * index.bytes + _SLACK_BYTES
                index.ready = True
        finally:
            index.building.set()
            index.building = None
            if not index.ready:
                if _kept.get(key) is index:
                    _kept.pop(key)
                self._gone(collection, index.label, mine)

    def _drop(self, collection: Collection, label: str) -> None:
        resource, cluster, namespace = collection
        _kept.pop(self._key(collection, label))
        known = self.made.get(resource, {}).get((cluster, namespace), {}).get(label)
        if known is not None:
            self._gone(collection, label, known)

    def _gone(self, collection: Collection, label: str, known: ref[SelectorIndex]) -> None:
        resource, cluster, namespace = collection
        collections = self.made.get(resource, {})
        labels = collections.get((cluster, namespace), {})
        if labels.get(label) is not known:
            return
        del labels[label]
        if not labels:
            del collections[cluster, namespace]
            if not collections:
                del self.made[resource]
