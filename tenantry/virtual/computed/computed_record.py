"""One object that a view computed."""

from __future__ import annotations

from typing import NamedTuple

from tenantry.apiserver import records
from tenantry.kube.codec import stored
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, name_of
from tenantry.placement.catalog import Entry
from tenantry.storage.record import Head


class ComputedRecord(NamedTuple):
    """An object as it is kept in a collection. `resource`: the `storage_key` of its definition. `namespace`: empty for
    cluster-scoped types.

    `value`: in the stored form (`kube.codec.stored`). `revision`: the newest revision of the store among all that the object was
    computed from. It is the object's resourceVersion until the object changes.
    """

    resource: str
    namespace: str
    name: str
    value: bytes
    head: Head
    revision: int

    @staticmethod
    def of_object(definition: ResourceDefinition, obj: Object, revision: int) -> ComputedRecord:
        """The record of a complete object in the shape of the definition's storage version. Its metadata has a `uid`, which
        stays the same as long as it is the same object."""
        namespace = obj["metadata"].get("namespace", "") if definition.namespaced else ""
        head = records.head_of(obj, definition)
        return ComputedRecord(definition.storage_key, namespace, name_of(obj), stored.encode(obj), head, revision)

    @staticmethod
    def of_copy(definition: ResourceDefinition, copy: Entry, revision: int) -> ComputedRecord:
        """The record of an object that is copied to the catalog as a whole. It shares the bytes of the copy."""
        obj = copy.object
        if not copy.raw.startswith(stored.HEAD):
            # A copy that an earlier version of this program wrote.
            return ComputedRecord.of_object(definition, obj, revision)
        namespace = obj["metadata"].get("namespace", "") if definition.namespaced else ""
        head = records.head_of(obj, definition)
        return ComputedRecord(definition.storage_key, namespace, name_of(obj), copy.raw, head, revision)
