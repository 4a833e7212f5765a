"""Which resources of which logical clusters are replicated: an index of the catalog's ClusterCachedResources.

Every shard has it, so a shard that acquires a range knows before the first write which objects need a copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from tenantry.kube.objects import GroupResource, Object, is_deleting
from tenantry.kube.selectors import labels as label_selectors
from tenantry.kube.selectors.labels import NOTHING, LabelSelector
from tenantry.placement.catalog import Catalog
from tenantry.tenancy.types.cached_resource_names import BOTH

REPLICATED = "tenantry/replicated"
"""The catalog's resource of replicated objects. The cluster of a copy is the id of its publication."""
OBJECTS_MAX = 5_000
"""The most replicated objects of one logical cluster: every shard has all of them."""
BYTES_MAX = 16 << 20
"""The most bytes of them."""
OBJECT_BYTES_MAX = 256 << 10
"""The most bytes of the copies of one object: they are in one transaction with it."""
SELECTOR_WORDS_MAX = 500
"""The most keys and values of a label selector: each write of an object is matched."""
PUBLICATIONS_MAX = 50
"""The most ClusterCachedResources of one logical cluster: each write of an object looks at all of them."""


class Publication:
    """What one ClusterCachedResource replicates, as its spec says it now.

    `id`: names the copies. It changes with the object and with the resource, so that copies of different resources never mix.
    `gvr`: as `gvr_of`. `resource`: `<group|core>/<plural>`.
    """

    __slots__ = ("_label_selector", "_selector", "gvr", "id", "resource", "version")

    def __init__(self, uid: str, spec: Object) -> None:
        group, self.version, plural = spec.get("group") or "", spec.get("version") or "", spec.get("resource") or ""
        self.gvr = gvr_of(spec)
        self.resource = f"{group or 'core'}/{plural}"
        self.id = f"{uid}.{hashlib.sha224(self.gvr.encode()).hexdigest()[:8]}"
        self._label_selector = spec.get("labelSelector") or {}
        self._selector: LabelSelector | None = None

    @property
    def selector(self) -> LabelSelector:
        """The objects that are replicated: none if the selector is not valid. It is compiled where it is used, on the shard that
        owns the objects."""
        if self._selector is None:
            try:
                self._selector = label_selectors.from_object(self._label_selector)
            except ValueError:
                self._selector = NOTHING
        return self._selector


class Usage(NamedTuple):
    """A number of replicated objects, and their bytes."""

    objects: int
    size_bytes: int


NONE = Usage(0, 0)


def gvr_of(spec: Object) -> str:
    """The resource as Go prints a GroupVersionResource in kcp's messages."""
    return ".".join((spec.get("group") or "", spec.get("version") or "", spec.get("resource") or ""))


def group_resource_of(spec: Object) -> GroupResource:
    return GroupResource(spec.get("group") or "", spec.get("resource") or "")


class Publications:
    """An index of the catalog: it is up to date when subscribers to these resources are called.

    `by_cluster`: the publications of each logical cluster that has any, without those that are being deleted.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._by_cluster: dict[str, Mapping[tuple[str, str], Publication]] = {}
        self.by_cluster: Mapping[str, Mapping[tuple[str, str], Publication]] = MappingProxyType(self._by_cluster)
        self._groups: dict[str, set[str]] = {}
        """Uid of a ClusterCachedResource → the ids of its publications that have copies."""
        for names in BOTH:
            catalog.index(names.resource, self._changed)
        catalog.index_tallies(REPLICATED, self._group_changed)

    def usage(self, cluster: str) -> Usage:
        """The replicated objects of a logical cluster."""
        objects = size = 0
        for publication in self._by_cluster.get(cluster, {}).values():
            tally = self._catalog.tally(REPLICATED, publication.id)
            objects += tally.objects
            size += tally.size_bytes
        return Usage(objects, size)

    def fits(self, cluster: str, publication: Publication, name: str, raw: bytes, taken: Usage = NONE) -> bool:
        """Whether an object may be replicated in this form: within the limits of its logical cluster, or without taking more of
        them than its present copy. `taken`: what the same transaction adds."""
        before = self._catalog.entry(REPLICATED, publication.id, name)
        growth = len(raw) - (len(before.raw) if before is not None else 0)
        if before is not None and growth <= 0:
            return True
        objects, size = self.usage(cluster)
        has_place = before is not None or objects + taken.objects < OBJECTS_MAX
        return has_place and size + taken.size_bytes + growth <= BYTES_MAX

    def has(self, cluster: str, publication: str) -> bool:
        """Whether a logical cluster has the publication with this id now."""
        return any(each.id == publication for each in self._by_cluster.get(cluster, {}).values())

    def groups_of(self, uid: str) -> Sequence[str]:
        """The ids of all publications with copies that the object with this uid has, or had before its spec was changed."""
        return tuple(self._groups.get(uid, ()))

    def _group_changed(self, publication: str, exists: bool) -> None:
        uid = publication.partition(".")[0]
        groups = self._groups.setdefault(uid, set())
        if exists:
            groups.add(publication)
        else:
            groups.discard(publication)
        if not groups:
            del self._groups[uid]

    def _changed(self, resource: str, cluster: str, name: str, obj: Object | None) -> None:
        # A new mapping: callers iterate over the old one.
        found = {place: each for place, each in self._by_cluster.get(cluster, {}).items() if place != (resource, name)}
        if obj is not None and not is_deleting(obj):
            found[resource, name] = Publication(obj["metadata"].get("uid", ""), obj.get("spec") or {})
        if found:
            self._by_cluster[cluster] = found
        else:
            self._by_cluster.pop(cluster, None)
