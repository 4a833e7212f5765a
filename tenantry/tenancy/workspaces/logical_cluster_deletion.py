"""Deletes the contents of a logical cluster, and then the cluster itself.

Child workspaces are deleted first. Finalizers are respected. API bindings, definitions and RBAC are deleted last, because the
owners of finalizers need them. Objects without finalizers are deleted in batches, whatever their type: only a client that waits
for a finalizer can observe the order. So a cluster without finalizers is deleted in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

import orjson

from tenantry.base.time_slices import in_slices
from tenantry.kube.codec import stored
from tenantry.kube.objects import Object, finalizers_of, is_deleting, timestamp
from tenantry.kube.types.namespace import FINALIZER
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key, catalog_key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Head, Record
from tenantry.tenancy.catalog_copies import ENDED
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.object_changes import OPERATIONS, Changes
from tenantry.tenancy.resources import (
    API_BINDINGS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.workspaces.state import (
    CONTENT_DELETED,
    DELETION_FINALIZER,
    TERMINATORS_FINALIZER,
    WORKSPACE_FINALIZER,
    mark_deleting,
    mirror,
    owner_of,
    without_finalizers,
)

OWN_FINALIZERS = (
    "apis.kcp.io/apibinding-finalizer",
    "customresourcecleanup.apiextensions.k8s.io",
    "foregroundDeletion",
    "orphan",
)
"""Finalizers of the system's own controllers. They are not waited for: what these controllers clean up is deleted with the
cluster."""
KEPT_LAST = frozenset(
    {
        API_BINDINGS,
        CUSTOM_RESOURCE_DEFINITIONS,
        NAMESPACES,
        SECRETS,
        SERVICE_ACCOUNTS,
        CLUSTER_ROLES,
        CLUSTER_ROLE_BINDINGS,
        ROLES,
        ROLE_BINDINGS,
    }
)
"""Types whose objects are deleted last: the owners of finalizers need them."""
_FINALIZERS = b'"finalizers":['


_DECODED_BYTES = 64 << 10
"""The most bytes of objects with finalizers that are decoded in one turn of the event loop."""


class Kind(Enum):
    """How an object is deleted.

    CHILD: a Workspace, which has a logical cluster of its own. WAITING: another party's finalizer must be removed first. FREE: it
    can be deleted at once.
    """

    CHILD, WAITING, FREE = range(3)


class LogicalClusterDeletion:
    """Deletes the contents of logical clusters, one step at a time.

    Each step reads the current contents again, and gives other tasks of the event loop a turn between slices.
    """

    def __init__(self, *, cell: Cell, definitions: SystemDefinitions, changes: Changes) -> None:
        self._cell = cell
        self._definitions = definitions
        self._changes = changes

    async def step(self, range_: Range, record: Record) -> bool:
        """Deletes what can be deleted now. `record` is the LogicalCluster. Returns True when the cluster is gone, False while
        an object in it waits for a finalizer or a child workspace. Raises Stale.

        Nothing is deleted before every object was examined once. A finalizer that is added after that is respected if it is
        there when its object's turn comes.
        """
        key = record.key
        looked_at_all = False
        while True:
            batch, is_all = self._next_batch(range_, key)
            if batch is not None and not (is_all or looked_at_all):
                looked_at_all = True
                if not await self._has_waiting(range_, key):
                    continue
                batch = None
            if batch is None:
                await self._mark_contents(range_, key)
                await self._report(range_, key)
                return False
            # Nothing awaited since these objects were examined, so they are unchanged.
            if is_all and sum(map(_weight, batch)) <= OPERATIONS - 10:
                return await self._finish(range_, key, batch)
            await self._cell.commit(_take(batch, OPERATIONS))

    def _contents(self, range_: Range, cluster_key: Key) -> Iterator[Record]:
        """What a cluster holds besides its LogicalCluster."""
        return (record for record in range_.each(None, cluster_key.cluster) if record.key != cluster_key)

    def _kind(self, record: Record) -> Kind:
        if _FINALIZERS not in record.value:
            return Kind.FREE
        obj = orjson.loads(record.value)
        if record.key.resource == self._definitions.workspaces.storage_key and WORKSPACE_FINALIZER in finalizers_of(obj):
            return Kind.CHILD
        if without_finalizers(obj["metadata"], *OWN_FINALIZERS) or _has_namespace_finalizers(record, obj):
            return Kind.WAITING
        return Kind.FREE

    async def _has_waiting(self, range_: Range, key: Key) -> bool:
        async for record in in_slices(self._contents(range_, key), 1):
            if self._kind(record) is not Kind.FREE:
                return True
        return False

    def _next_batch(self, range_: Range, key: Key) -> tuple[list[Change] | None, bool]:
        """(removals, whether they are all): as many objects as fit into a transaction. The removals are None if one of the
        objects has to wait."""
        removals: list[Change] = []
        weight = decoded_bytes = 0
        for record in self._contents(range_, key):
            if weight > OPERATIONS or decoded_bytes > _DECODED_BYTES:
                return removals, False
            if self._kind(record) is not Kind.FREE:
                return None, False
            removal = self._removed(record)
            removals.append(removal)
            weight += _weight(removal)
            decoded_bytes += len(record.value) if _FINALIZERS in record.value else 0
        return removals, True

    async def _mark_contents(self, range_: Range, key: Key) -> None:
        """Sets the deletionTimestamp on objects that wait for a finalizer, and removes objects that are not needed meanwhile."""
        changes: list[Change] = []
        weight = 0

        async def commit() -> None:
            # An object that changed meanwhile is handled again: its event enqueues this cluster.
            current = [change for change in changes if range_.get(change.key) is change.expected]
            changes.clear()
            if current:
                await self._cell.commit(current)

        async for change in in_slices((self._marked_or_removed(record) for record in self._contents(range_, key)), 1):
            if change is None:
                continue
            if changes and weight + _weight(change) > OPERATIONS:
                await commit()
                weight = 0
            if range_.get(change.key) is change.expected:
                changes.append(change)
                weight += _weight(change)
        if changes:
            await commit()

    def _marked_or_removed(self, record: Record) -> Change | None:
        kind = self._kind(record)
        if kind is Kind.FREE:
            return None if record.key.resource.partition(":")[0] in KEPT_LAST else self._removed(record)
        obj = orjson.loads(record.value)
        if is_deleting(obj):
            return None
        mark_deleting(obj, timestamp())
        if kind is Kind.CHILD:
            return self._changes.updated(self._definitions.workspaces, record, obj)
        return self._marked(record, obj)

    def _marked(self, record: Record, obj: Object) -> Change:
        """The change that marks an object as deleted. A type that is not the system's has no definition here: its head is kept,
        and only `deleting` is set."""
        group, plural = record.key.resource.partition(":")[0].split("/")
        definition = self._definitions.find("" if group == "core" else group, plural)
        if definition is not None and definition.storage_key == record.key.resource:
            definition.strategy.begin_deletion(obj)
            return self._changes.updated(definition, record, obj) if definition.stored else _plain(record, obj)
        return _plain(record, obj)

    def _removed(self, record: Record) -> Change:
        return self._changes.removed(record)

    async def _report(self, range_: Range, key: Key) -> None:
        """Sets the condition WorkspaceContentDeleted of the LogicalCluster, and of its Workspace, to what remains."""
        children = 0
        waiting: list[Key] = []
        async for each in in_slices(self._contents(range_, key), 1):
            kind = self._kind(each)
            children += kind is Kind.CHILD
            if kind is Kind.WAITING and len(waiting) < 5:
                waiting.append(each.key)
        await self._cell.writes_done((key,))
        record = range_.get(key)
        if record is None:
            return
        logical_cluster = orjson.loads(record.value)
        parts = [f"{children} child workspaces"] if children else []
        parts += [f"{each.resource.partition(':')[0]} {each.name} has finalizers" for each in sorted(waiting)]
        text = f"Some content in the logical cluster still exists: {', '.join(parts) or 'being deleted'}"
        now = timestamp()
        conditions.mark_false(
            logical_cluster.setdefault("status", {}), CONTENT_DELETED, "SomeResourcesRemain", text, now, severity=conditions.INFO
        )
        batch: list[Change] = []
        change = self._changes.updated(self._definitions.logical_clusters, record, logical_cluster)
        if change.value == record.value:
            return
        batch.append(change)
        owner = owner_of(logical_cluster)
        if owner is not None and self._cell.owns(owner[0]):
            batch.extend(self._mirrored(owner, logical_cluster, now))
        await self._cell.commit(batch)

    def _mirrored(self, owner: tuple[str, str], logical_cluster: Object, now: str) -> Iterable[Change]:
        found = self._workspace(owner, logical_cluster)
        if found is not None:
            record, workspace = found
            mirror(workspace, logical_cluster, now)
            change = self._changes.updated(self._definitions.workspaces, record, workspace)
            if change.value != record.value:
                yield change

    def _workspace(self, owner: tuple[str, str], logical_cluster: Object) -> tuple[Record, Object] | None:
        """The Workspace that owns the cluster, if this shard owns its range and its uid is still the owner's."""
        if not self._cell.owns(owner[0]):
            return None
        record = self._cell.range_of(owner[0]).get(Key(owner[0], self._definitions.workspaces.storage_key, "", owner[1]))
        if record is None or record.head.uid != logical_cluster["spec"]["owner"].get("uid"):
            return None
        return record, orjson.loads(record.value)

    async def _finish(self, range_: Range, key: Key, rest: list[Change]) -> bool:
        """The last transaction: removes `rest`, the LogicalCluster and, if this shard owns its range, the Workspace. Returns
        whether the cluster is gone."""
        record = range_.get(key)
        if record is None:
            return True
        logical_cluster = orjson.loads(record.value)
        left = without_finalizers(logical_cluster["metadata"], DELETION_FINALIZER, TERMINATORS_FINALIZER)
        if left:
            logical_cluster["metadata"]["finalizers"] = left
            change = self._changes.updated(self._definitions.logical_clusters, record, logical_cluster)
            if change.value != record.value or rest:
                await self._cell.commit([change, *rest] if change.value != record.value else rest)
            return False
        owner = owner_of(logical_cluster)
        gone = self._changes.removed(record)
        last = [*rest, gone]
        if owner is not None:
            found = self._workspace(owner, logical_cluster)
            if found is not None:
                last.append(without_workspace_finalizer(self._changes, self._definitions, *found))
            elif not self._cell.owns(owner[0]):
                ended = {"cluster": record.key.cluster, "uid": logical_cluster["spec"]["owner"].get("uid", "")}
                ended_entry = {catalog_key(ENDED, *owner): orjson.dumps(ended)}
                last[-1] = Change(gone.key, None, None, record, {**gone.catalog, **ended_entry})
        await self._cell.commit(last)
        return True


def without_workspace_finalizer(changes: Changes, definitions: SystemDefinitions, record: Record, workspace: Object) -> Change:
    """The change of a Workspace whose logical cluster is gone: its removal, or without its finalizer if others have finalizers
    on it."""
    left = without_finalizers(workspace["metadata"], WORKSPACE_FINALIZER)
    if not left:
        return changes.removed(record)
    mark_deleting(workspace, timestamp())
    workspace["metadata"]["finalizers"] = left
    return changes.updated(definitions.workspaces, record, workspace)


def _has_namespace_finalizers(record: Record, obj: Object) -> bool:
    """Whether a Namespace has entries in spec.finalizers other than `kubernetes`."""
    return record.key.resource == NAMESPACES and any(f != FINALIZER for f in obj["spec"].get("finalizers") or ())


def _plain(record: Record, obj: Object) -> Change:
    head = record.head
    marked = Head(head.uid, head.labels, head.fields, True, head.owner_uids)
    return Change(record.key, stored.encode(obj), marked, record)


def _weight(change: Change) -> int:
    return 1 + len(change.catalog)


def _take(changes: list[Change], limit: int) -> Sequence[Change]:
    """Removes from the front of `changes` what fits into one transaction of `limit` operations, and returns it."""
    count = size = 0
    for change in changes:
        if size + _weight(change) > limit and count:
            break
        size += _weight(change)
        count += 1
    batch = changes[:count]
    del changes[:count]
    return batch
