"""The objects of a range by resource, cluster and namespace, in the order of the store's keys."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from tenantry.storage.keys import Key
from tenantry.storage.record import Record

EMPTY: Sequence[Record] = ()
_NOTHING: frozenset[str] = frozenset()
_PLACES_MAX = 64
"""In so many namespaces an object is looked up by its name. In more, an index by name is used."""


class Objects:
    """The objects of one resource in one cluster and namespace.

    They are sorted by the first `ordered` call. After that the order is kept by insertion. Most tenants have one object of most
    types, so one takes little memory: names are smaller keys than whole keys, and nothing is there for an order before that.
    """

    __slots__ = ("_order", "records")

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        """By name."""
        self._order: tuple[list[str], list[Record]] | None = None
        """The names and the records in their order."""

    def put(self, record: Record) -> None:
        name = record.key.name
        if self._order is not None:
            names, ordered = self._order
            at = bisect_left(names, name)
            if name in self.records:
                ordered[at] = record
            else:
                names.insert(at, name)
                ordered.insert(at, record)
        self.records[name] = record

    def remove(self, name: str) -> None:
        if self.records.pop(name, None) is not None and self._order is not None:
            names, ordered = self._order
            at = bisect_left(names, name)
            del names[at]
            del ordered[at]

    def ordered(self) -> Sequence[Record]:
        if self._order is None:
            names = sorted(self.records)
            self._order = (names, [self.records[name] for name in names])
        return self._order[1]


class Index:
    """All objects of a range."""

    __slots__ = ("_by_resource", "_cluster_order", "_usage", "size")

    def __init__(self) -> None:
        self.size = 0
        self._usage: dict[str, tuple[int, int]] = {}
        self._by_resource: dict[str, dict[str, dict[str, Objects]]] = {}
        self._cluster_order: dict[str, list[str]] = {}

    def get(self, key: Key) -> Record | None:
        clusters = self._by_resource.get(key.resource)
        if clusters is None:
            return None
        namespaces = clusters.get(key.cluster)
        if namespaces is None:
            return None
        objects = namespaces.get(key.namespace)
        return None if objects is None else objects.records.get(key.name)

    def put(self, record: Record) -> None:
        cluster, resource, namespace, name = record.key
        clusters = self._by_resource.get(resource)
        if clusters is None:
            clusters = self._by_resource[resource] = {}
        namespaces = clusters.get(cluster)
        if namespaces is None:
            namespaces = clusters[cluster] = {}
            self._cluster_order.pop(resource, None)
        objects = namespaces.get(namespace)
        if objects is None:
            objects = namespaces[namespace] = Objects()
        previous = objects.records.get(name)
        objects.put(record)
        if previous is None:
            self.size += 1
            self._count(cluster, 1, len(record.value))
        else:
            self._count(cluster, 0, len(record.value) - len(previous.value))

    def remove(self, key: Key) -> None:
        cluster, resource, namespace, name = key
        namespaces = self._by_resource.get(resource, {}).get(cluster, {})
        objects = namespaces.get(namespace)
        if objects is None:
            return
        previous = objects.records.get(name)
        if previous is not None:
            objects.remove(name)
            self.size -= 1
            self._count(cluster, -1, -len(previous.value))
        if objects.records:
            return
        del namespaces[namespace]
        if not namespaces:
            clusters = self._by_resource[resource]
            del clusters[cluster]
            self._cluster_order.pop(resource, None)
            if not clusters:
                del self._by_resource[resource]

    def usage(self, cluster: str) -> tuple[int, int]:
        """The number of objects of a cluster, and the bytes of their values."""
        return self._usage.get(cluster, (0, 0))

    def _count(self, cluster: str, objects: int, size: int) -> None:
        known, bytes_known = self._usage.get(cluster, (0, 0))
        if known + objects:
            self._usage[cluster] = (known + objects, bytes_known + size)
        else:
            self._usage.pop(cluster, None)

    def list(self, resource: str, cluster: str | None, namespace: str | None) -> Sequence[Record]:
        if cluster is not None:
            return self._in_cluster(self._by_resource.get(resource, {}).get(cluster), namespace)
        found: list[Record] = []
        for name in self.clusters_in_order(resource):
            found.extend(self._in_cluster(self._by_resource[resource][name], namespace))
        return found

    def count(self, resource: str, cluster: str | None, namespace: str | None) -> int:
        clusters = self._by_resource.get(resource, {})
        chosen = clusters.values() if cluster is None else [clusters.get(cluster, {})]
        if namespace is None:
            return sum(len(objects.records) for namespaces in chosen for objects in namespaces.values())
        return sum(len(namespaces[namespace].records) for namespaces in chosen if namespace in namespaces)

    def has_any(self, resource: str, cluster: str, namespace: str | None) -> bool:
        namespaces = self._by_resource.get(resource, {}).get(cluster, {})
        return bool(namespaces) if namespace is None else namespace in namespaces

    def having(self, resources: Iterable[str], cluster: str) -> tuple[str, ...]:
        by_resource = self._by_resource
        # A cluster without objects has no entry.
        return tuple([each for each in resources if cluster in by_resource.get(each, _NOTHING)])

    def has_many(self, resource: str, cluster: str | None, namespace: str | None, many: int) -> bool:
        """Whether there are at least `many` objects. Looks at no more places than that."""
        clusters = self._by_resource.get(resource, {})
        found = 0
        for namespaces in clusters.values() if cluster is None else (clusters.get(cluster, {}),):
            for objects in namespaces.values() if namespace is None else (namespaces.get(namespace),):
                found += len(objects.records) if objects is not None else 0
                if found >= many:
                    return True
        return False

    def named(self, resource: str, name: str, cluster: str | None, namespace: str | None) -> Sequence[Record] | None:
        """The records of this name, in the order of keys. None where this would look at more than `_PLACES_MAX` namespaces."""
        clusters = self._by_resource.get(resource, {})
        names = (cluster,) if cluster is not None else self.clusters_in_order(resource)
        if len(names) > _PLACES_MAX:
            return None
        found: list[Record] = []
        places = 0
        for each in names:
            namespaces = clusters.get(each)
            if not namespaces:
                continue
            places += len(namespaces) if namespace is None else 1
            if places > _PLACES_MAX:
                return None
            for place in (namespace,) if namespace is not None else sorted(namespaces, key=_key_order):
                record = self.get(Key(each, resource, place, name))
                if record is not None:
                    found.append(record)
        return found

    def clusters_in_order(self, resource: str) -> Sequence[str]:
        order = self._cluster_order.get(resource)
        if order is None:
            order = self._cluster_order[resource] = sorted(self._by_resource.get(resource, ()))
        return order

    def clusters(self) -> Sequence[str]:
        return sorted({cluster for clusters in self._by_resource.values() for cluster in clusters})

    def resources(self, cluster: str) -> Sequence[str]:
        return sorted(resource for resource, clusters in self._by_resource.items() if cluster in clusters)

    def each(self, resource: str | None, cluster: str | None, namespace: str | None) -> Iterator[Record]:
        """As `list` (None: all), unordered and lazy. The index may change during the iteration: each record is the current one,
        removed records are left out, and added records may be missing."""
        for kind in list(self._by_resource) if resource is None else (resource,):
            clusters = self._by_resource.get(kind, {})
            for name in list(clusters) if cluster is None else (cluster,):
                namespaces = clusters.get(name, {})
                for place in list(namespaces) if namespace is None else (namespace,):
                    objects = namespaces.get(place)
                    for each in list(objects.records) if objects is not None else ():
                        record = self.get(Key(name, kind, place, each))
                        if record is not None:
                            yield record

    def __iter__(self) -> Iterator[Record]:
        for clusters in self._by_resource.values():
            for namespaces in clusters.values():
                for objects in namespaces.values():
                    yield from objects.records.values()

    @staticmethod
    def _in_cluster(namespaces: dict[str, Objects] | None, namespace: str | None) -> Sequence[Record]:
        if not namespaces:
            return EMPTY
        if namespace is not None:
            objects = namespaces.get(namespace)
            return EMPTY if objects is None else objects.ordered()
        if len(namespaces) == 1:
            return next(iter(namespaces.values())).ordered()
        found: list[Record] = []
        for name in sorted(namespaces, key=_key_order):
            found.extend(namespaces[name].ordered())
        return found


def _key_order(namespace: str) -> str:
    # In a key, "/" follows the namespace. It sorts after "-" and ".", so "a-b" comes before "a".
    return f"{namespace}/"


def in_key_order(key: Key) -> tuple[str, str, str]:
    """A sort key that sorts the keys of one resource as the store does."""
    return key.cluster, f"{key.namespace}/", key.name
