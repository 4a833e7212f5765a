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
    computed from. It is the object's resourceVersion until the object changes. `cluster`: the logical cluster of an object of a
    place that is all clusters of a range (`*`); empty for the cluster of the place.
    """

    resource: str
    namespace: str
    name: str
    value: bytes
    head: Head
    revision: int
    cluster: str = ""

    @staticmethod
    def of_object(definition: ResourceDefinition, obj: Object, revision: int, *, cluster: str = "") -> ComputedRecord:
        """The record of a complete object in the shape of the definition's storage version. Its metadata has a `uid`, which
        stays the same as long as it is the same object."""
        return _record(definition, obj, stored.encode(obj), revision)._replace(cluster=cluster)

    @staticmethod
    def of_copy(
        definition: ResourceDefinition, copy: Entry, revision: int, *, normalised: bool = True, kept: bool = True
    ) -> ComputedRecord:
        """The record of an object that is copied to the catalog as a whole. It shares the bytes of the copy. `normalised`: as in
        `records.head_of`. `kept`: whether the decoded copy stays in the catalog's cache."""
        obj = copy.object if kept else copy.decode()
        # A copy that an earlier version of this program wrote is not in the stored form.
        value = copy.raw if copy.raw.startswith(stored.HEAD) else stored.encode(obj)
        return _record(definition, obj, value, revision, normalised=normalised)


def _record(
    definition: ResourceDefinition, obj: Object, value: bytes, revision: int, *, normalised: bool = True
) -> ComputedRecord:
    namespace = obj["metadata"].get("namespace", "") if definition.namespaced else ""
    head = records.head_of(obj, definition, normalised=normalised)
    return ComputedRecord(definition.storage_key, namespace, name_of(obj), value, head, revision)
