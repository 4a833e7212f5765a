"""Makes the changes for the system's own transactions of several objects: without admission and without managedFields."""

from __future__ import annotations

from tenantry.apiserver.records import head_of
from tenantry.kube.codec import stored
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import CLUSTER_ANNOTATION, Object, timestamp
from tenantry.kube.status import new_uid
from tenantry.storage.keys import Key
from tenantry.storage.record import Change, Head, Record
from tenantry.tenancy.catalog_copies import Copies

OPERATIONS = 90
"""The most keys that one transaction of this package writes: below the committer's bound of 100, with room for copies."""


class Changes:
    """Makes changes, each with the catalog copies that belong into the same transaction."""

    def __init__(self, copies: Copies) -> None:
        self._copies = copies

    def created(self, definition: ResourceDefinition, cluster: str, obj: Object, *, now: str = "") -> Change:
        """The creation of an object. Sets uid, creationTimestamp, generation and the cluster annotation in `obj`, in place;
        `obj` is in the storage version."""
        metadata = obj["metadata"]
        metadata.setdefault("uid", new_uid())
        metadata.setdefault("creationTimestamp", now or timestamp())
        if definition.strategy.tracks_generation:
            metadata.setdefault("generation", 1)
        metadata.setdefault("annotations", {})[CLUSTER_ANNOTATION] = cluster
        key = Key(cluster, definition.storage_key, metadata.get("namespace", ""), metadata["name"])
        return Change(key, stored.encode(obj), head_of(obj, definition), None, self._copies.of(definition, key, obj))

    def updated(self, definition: ResourceDefinition, record: Record, obj: Object) -> Change:
        """The update of `record` to `obj`, which is in the storage version."""
        value = stored.encode(obj)
        return Change(record.key, value, head_of(obj, definition), record, self._copies.of(definition, record.key, obj))

    def removed(self, record: Record) -> Change:
        """The removal of an object, whatever finalizers it has."""
        return Change(record.key, None, None, record, self._copies.removed(record.key))


class Template:
    """An object that differs between clusters only in cluster, uid, creation time and perhaps name.

    It is encoded once; `change` only inserts these values into the stored bytes.
    """

    _CLUSTER, _UID, _NOW, _NAME = "%cluster%", "%uid%", "%now%", "%name%"

    def __init__(self, definition: ResourceDefinition, obj: Object) -> None:
        """`obj` needs no uid, creationTimestamp and cluster annotation. If its name is `NAME`, `change` is called with the
        name."""
        metadata = obj["metadata"]
        whole = {
            **obj,
            "metadata": {
                **metadata,
                "uid": self._UID,
                "creationTimestamp": self._NOW,
                "annotations": {**metadata.get("annotations", {}), CLUSTER_ANNOTATION: self._CLUSTER},
            },
        }
        if definition.strategy.tracks_generation:
            whole["metadata"]["generation"] = 1
        self._pieces = _cut(stored.encode(whole).decode(), (self._CLUSTER, self._UID, self._NOW, self._NAME))
        self._head = head_of(whole, definition)
        self._resource = definition.storage_key
        self._namespace: str = metadata.get("namespace", "")
        self._name: str = metadata["name"]

    NAME = _NAME

    def change(self, cluster: str, now: str, *, name: str = "", uid: str = "") -> Change:
        """The creation of the object. `uid`: empty for a new one."""
        uid = uid or new_uid()
        values = {self._CLUSTER: cluster, self._UID: uid, self._NOW: now, self._NAME: name}
        text = "".join([values.get(piece, piece) for piece in self._pieces])
        head = Head(uid, self._head.labels, self._head.fields, False, self._head.owner_uids)
        return Change(Key(cluster, self._resource, self._namespace, name or self._name), text.encode(), head, None)


def _cut(text: str, marks: tuple[str, ...]) -> list[str]:
    pieces = [text]
    for mark in marks:
        cut: list[str] = []
        for piece in pieces:
            if piece in marks:
                cut.append(piece)
                continue
            first, *rest = piece.split(mark)
            cut.append(first)
            for part in rest:
                cut.extend((mark, part))
        pieces = cut
    return pieces
