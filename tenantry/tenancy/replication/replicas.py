"""The catalog copies of replicated objects, which belong into the transaction that writes the objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson

from tenantry.apiserver import records
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.exact import exact
from tenantry.kube.objects import Object, labels_of
from tenantry.placement.catalog import Catalog
from tenantry.storage.keys import Key, catalog_key
from tenantry.tenancy.replication import publications
from tenantry.tenancy.replication.publications import NONE, REPLICATED, Publication, Publications, Usage

Whole = Callable[[Object], Object]
"""The copy of an object as a whole: in the form of a stored value, without managedFields."""


class Replicas:
    """Makes the copies of the objects of logical clusters with publications."""

    def __init__(self, catalog: Catalog, index: Publications, whole: Whole) -> None:
        self._catalog = catalog
        self._publications = index
        self._whole = whole

    def of(
        self,
        published: Mapping[tuple[str, str], Publication],
        definition: ResourceDefinition,
        key: Key,
        obj: Object | None,
        taken: Usage = NONE,
    ) -> Mapping[bytes, bytes | None]:
        """The copies to write with `obj` (None: deleted), in the storage version's shape. `published`: the publications of its
        logical cluster. `taken`: what the same transaction adds to them."""
        resource = key.resource.partition(":")[0]
        found: dict[bytes, bytes | None] = {}
        left = publications.OBJECT_BYTES_MAX
        for publication in published.values():
            if publication.resource == resource:
                raw = self._raw(publication, definition, obj) if obj is not None else None
                if raw is not None:
                    left -= len(raw)
                    if left < 0 or not self._publications.fits(key.cluster, publication, key.name, raw, taken):
                        # No copy is better than one that is not true any more. The controller reports it.
                        raw = None
                entry = self._catalog.entry(REPLICATED, publication.id, key.name)
                if (entry.raw if entry is not None else None) != raw:
                    found[catalog_key(REPLICATED, publication.id, key.name)] = raw
        return found

    def removed(self, published: Mapping[tuple[str, str], Publication], key: Key) -> Mapping[bytes, bytes | None]:
        """The copies to remove with the object at `key`."""
        resource = key.resource.partition(":")[0]
        return {
            catalog_key(REPLICATED, publication.id, key.name): None
            for publication in published.values()
            if publication.resource == resource and self._catalog.entry(REPLICATED, publication.id, key.name) is not None
        }

    def _raw(self, publication: Publication, definition: ResourceDefinition, obj: Object) -> bytes | None:
        """The copy in the shape of the published version; None if the object is not replicated."""
        shape = definition.versions.get(publication.version)
        if definition.namespaced or shape is None or not shape.served or not publication.selector.matches(labels_of(obj)):
            return None
        copy = self._whole(obj)
        if shape.from_storage is not None:
            copy = self._whole(shape.from_storage(records.copy(copy)))
        return exact(orjson.dumps(copy))
