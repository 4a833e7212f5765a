"""The controller of deleted APIBindings: it deletes the objects of the bound resources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import orjson

from tenantry.apiserver import records
from tenantry.base.time_slices import batches, in_slices
from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import GroupResource, Object, annotations_of, finalizers_of, timestamp
from tenantry.kube.status import StatusError
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.exports import resource_locks
from tenantry.tenancy.exports.binding_controller import FINALIZER
from tenantry.tenancy.exports.conditions import mark_false
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.read_bindings import decoded
from tenantry.tenancy.exports.update_object import revise
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.resources import API_BINDINGS, LOGICAL_CLUSTERS
from tenantry.tenancy.types import SystemDefinitions

_FINALIZERS = b'"finalizers":['
_NAMES_MAX = 200
"""Finalizers named in a condition."""
BATCH_SIZE = 50
DELETE_SUCCESS = "BindingResourceDeleteSuccess"


class BindingDeletionController(ObjectController):
    """Handles the finalizer of APIBindings: deletes the bound objects, waits for their finalizers, and releases the locks (kcp).

    Objects that another binding of the cluster serves too (same schema and identity) are not deleted.
    """

    name = "apibinding-deletion"

    def __init__(
        self, *, cell: Cell, definitions: SystemDefinitions, apis: ClusterApis, changes: Changes, exports: ExportLookup
    ) -> None:
        self._cell = cell
        self._definitions = definitions
        self._apis = apis
        self._changes = changes
        self._exports = exports
        self._waiting: dict[str, dict[str, Key]] = {}
        """Cluster → storage key of bound objects → the binding that waits for their deletion."""

    @property
    def resources(self) -> Sequence[str] | None:
        return None

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key = event.key
        if key.resource == API_BINDINGS:
            if event.record is None:
                self._stop_waiting(key)
                return ()
            return (key,) if event.record.head.deleting else ()
        if event.record is None and self._waiting:
            waiting = self._waiting.get(key.cluster, {}).get(key.resource)
            return (waiting,) if waiting is not None else ()
        return ()

    def released(self, range_: Range) -> None:
        self._waiting = {cluster: waiting for cluster, waiting in self._waiting.items() if cluster not in range_}

    def _stop_waiting(self, binding: Key) -> None:
        left = {resource: key for resource, key in self._waiting.pop(binding.cluster, {}).items() if key != binding}
        if left:
            self._waiting[binding.cluster] = left

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key if record.head.deleting else None for record in range_.each(API_BINDINGS))

    async def reconcile(self, range_: Range, key: Key) -> None:
        record = range_.get(key)
        if record is None or not record.head.deleting or FINALIZER not in finalizers_of(decoded(record)):
            return
        binding = decoded(record)
        adopted = await self._adopted(range_, key)
        entries = [e for e in (binding.get("status") or {}).get("boundResources") or () if _bound_as(e) not in adopted]
        # From here on, the removal of an object enqueues the binding again, so no removal is missed.
        if entries:
            self._waiting.setdefault(key.cluster, {}).update({_storage_key(entry): key for entry in entries})
        for entry in entries:
            await self._delete_objects(range_, key.cluster, binding, entry)
        if any(range_.has_any(_storage_key(entry), key.cluster) for entry in entries):
            await self._report(range_, key, [_storage_key(entry) for entry in entries])
            return
        self._stop_waiting(key)
        await self._unlock(key)
        await self._finish(key)

    async def _adopted(self, range_: Range, key: Key) -> set[tuple[str, ...]]:
        """The bound resources of other bindings of the cluster."""
        found: set[tuple[str, ...]] = set()
        async for record in in_slices(range_.each(API_BINDINGS, key.cluster), 1):
            if record.key != key and not record.head.deleting:
                status = orjson.loads(record.value).get("status") or {}
                found.update(_bound_as(entry) for entry in status.get("boundResources") or ())
        return found

    async def _delete_objects(self, range_: Range, cluster: str, binding: Object, entry: dict[str, Any]) -> None:
        """Deletes the objects of one bound resource; those with finalizers are marked as deleted."""
        storage_key = _storage_key(entry)
        if not range_.has_any(storage_key, cluster):
            return
        definition = self._definition(cluster, binding, entry)
        if definition is None:
            raise StatusError(
                500, "InternalError", f"the schema {entry['schema']['name']} of bound objects is gone; restore it to delete them"
            )
        async for batch in batches(
            (None if record.head.deleting else record.key for record in range_.each(storage_key, cluster)), BATCH_SIZE
        ):
            await transact(self._cell, batch, partial(self._deletions, range_, definition, batch))

    def _deletions(self, range_: Range, definition: ResourceDefinition, keys: Sequence[Key]) -> list[Change]:
        """The removal of objects without finalizers; the others get a deletionTimestamp, as by a DELETE."""
        changes = []
        for key in keys:
            record = range_.get(key)
            if record is None or record.head.deleting:
                continue
            if not finalizers_of(decoded(record)):
                changes.append(self._changes.removed(record))
                continue
            obj = records.decode(record, definition, definition.storage_version)
            metadata = obj["metadata"]
            metadata["deletionTimestamp"] = timestamp()
            metadata["deletionGracePeriodSeconds"] = 0
            metadata["generation"] = metadata.get("generation", 0) + 1
            changes.append(self._changes.updated(definition, record, obj))
        return changes

    def _definition(self, cluster: str, binding: Object, entry: dict[str, Any]) -> ResourceDefinition | None:
        identity = entry["schema"]["identityHash"]
        served = self._apis.definition(cluster, entry.get("group") or "", entry["resource"])
        if served is not None and served.identity == identity:
            return served
        schema = self._exports.schema(binding["status"].get("apiExportClusterName") or "", entry["schema"]["name"])
        return self._apis.bound_definition(schema, identity) if schema is not None else None

    async def _report(self, range_: Range, key: Key, storage_keys: Sequence[str]) -> None:
        """Sets a condition that says what remains. If the last object is removed meanwhile, the binding is enqueued again."""
        counts: Counter[str] = Counter()
        finalizers: Counter[str] = Counter()
        async for record in in_slices((r for each in storage_keys for r in range_.each(each, key.cluster)), 1):
            counts[record.key.resource] += 1
            finalizers.update(finalizers_of(orjson.loads(record.value)) if _FINALIZERS in record.value else ())
        if finalizers:
            reason = "SomeFinalizersRemain"
            names = sorted(finalizers)
            listed = ", ".join(f"{f} in {finalizers[f]} resource instances" for f in names[:_NAMES_MAX])
            more = f" and {len(names) - _NAMES_MAX} more" if len(names) > _NAMES_MAX else ""
            message = f"Some content in the logical cluster has finalizers remaining: {listed}{more}"
        else:
            reason = "SomeResourcesRemain"
            first = next((each for each in storage_keys if counts[each]), storage_keys[0])
            group, _, resource = first.partition(":")[0].partition("/")
            shown = GroupResource("" if group == "core" else group, resource)
            message = f"Some resources are remaining: {shown} has {counts.total()} resource instances"

        def change(binding: Object) -> bool:
            before = binding.get("status") or {}
            status = binding["status"] = dict(before)
            mark_false(status, DELETE_SUCCESS, reason, message, timestamp())
            return bool(status != before)

        await revise(self._cell, self._changes, self._definitions.api_bindings, key, change)

    async def _unlock(self, key: Key) -> None:
        def change(logical_cluster: Object) -> bool:
            before = resource_locks.locks_of(logical_cluster)
            after = resource_locks.without_binding(before, key.name)
            logical_cluster["metadata"]["annotations"] = {
                **annotations_of(logical_cluster),
                resource_locks.LOCKS_ANNOTATION: after,
            }
            return after != before

        place = Key(key.cluster, LOGICAL_CLUSTERS, "", "cluster")
        await revise(self._cell, self._changes, self._definitions.logical_clusters, place, change)

    async def _finish(self, key: Key) -> None:
        def change(binding: Object) -> bool:
            finalizers = finalizers_of(binding)
            binding["metadata"]["finalizers"] = [f for f in finalizers if f != FINALIZER]
            if not binding["metadata"]["finalizers"]:
                del binding["metadata"]["finalizers"]
            return FINALIZER in finalizers

        await revise(self._cell, self._changes, self._definitions.api_bindings, key, change)


def _bound_as(entry: dict[str, Any]) -> tuple[str, ...]:
    schema = entry["schema"]
    return entry.get("group") or "", entry["resource"], schema["UID"], schema.get("identityHash") or ""


def _storage_key(entry: dict[str, Any]) -> str:
    """The storage key of the objects of an entry of `status.boundResources`."""
    return f"{entry.get('group') or 'core'}/{entry['resource']}:{entry['schema']['identityHash']}"
