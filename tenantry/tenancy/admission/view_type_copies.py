"""Admission of what every shard keeps of the types of views, which every tenant can write."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review
from tenantry.kube.objects import GroupResource, name_of
from tenantry.placement.catalog import Catalog
from tenantry.tenancy.admission.admission_errors import refuse
from tenantry.tenancy.catalog_copies import MakeCopy
from tenantry.tenancy.replication.publications import BYTES_MAX, OBJECT_BYTES_MAX, OBJECTS_MAX


class ViewTypeCopiesAdmission(Plugin):
    """Refuses an object whose copy for all shards would be too large, or would be more than what they keep of one logical cluster
    and type: the limits are those of replicated objects. A copy that becomes smaller is always allowed.

    `copied`: how the copy of each type is made, by the resource of storage keys.
    """

    def __init__(self, copied: Mapping[str, MakeCopy], *, catalog: Catalog) -> None:
        self.types = frozenset(GroupResource(*resource.split("/")) for resource in copied)
        self._copied = copied
        self._catalog = catalog

    def validate(self, review: Review) -> None:
        resource = review.definition.storage_key
        make = self._copied.get(resource)
        if make is None or review.object is None or review.operation not in (CREATE, UPDATE):
            return
        copy = make(review.object)
        if copy is None:
            return
        old = self._catalog.entry(resource, review.cluster, name_of(review.object))
        size, before = len(orjson.dumps(copy)), len(old.raw) if old is not None else 0
        if old is not None and size <= before:
            return
        if size > OBJECT_BYTES_MAX:
            raise refuse(review, f"every shard keeps {size} bytes of it, and may keep {OBJECT_BYTES_MAX} of an object")
        found = self._catalog.tally(resource, review.cluster)
        if found.objects + (old is None) > OBJECTS_MAX or found.size_bytes - before + size > BYTES_MAX:
            review.scope.cell.refused_growth += 1
            raise refuse(
                review,
                f"every shard keeps {found.objects} objects of this type and {found.size_bytes} bytes of the logical cluster, "
                f"and may keep {OBJECTS_MAX} and {BYTES_MAX}",
            )
