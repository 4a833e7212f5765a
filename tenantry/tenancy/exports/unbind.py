"""Unbinding: a deleted APIBinding takes with it what was created through it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from tenantry.apiserver import records
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import GroupResource, Object, annotations_of, finalizers_of, is_deleting, name_of, timestamp
from tenantry.kube.status import StatusError
from tenantry.storage.keys import Key
from tenantry.storage.overtaken import transact
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record, RecordEvent
from tenantry.tenancy.changes import removed, updated
from tenantry.tenancy.exports import locks
from tenantry.tenancy.exports.bind import FINALIZER
from tenantry.tenancy.exports.bindings import bindings_of, bound_resource, decoded, get_schema
from tenantry.tenancy.exports.conditions import mark_false
from tenantry.tenancy.exports.revise import revise
from tenantry.tenancy.reconcile import Controller
from tenantry.tenancy.resources import API_BINDINGS, LOGICAL_CLUSTERS

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

AT_ONCE = 50
DELETE_SUCCESS = "BindingResourceDeleteSuccess"


class UnbindController(Controller):
    """Works the finalizer of APIBindings: deletes the bound objects, waits for their own finalizers, lets go of the locks.

    Objects that another binding of the cluster serves too (same schema and identity) are adopted by it and stay.
    """

    name = "apibinding-deletion"

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting: dict[str, dict[str, Key]] = {}
        """Cluster → storage key of bound objects that have finalizers → the binding that waits for them."""

    @property
    def resources(self) -> Sequence[str] | None:
        return None

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key = event.key
        if key.resource == API_BINDINGS:
            if event.record is None:
                self._wait_no_more(key)
                return ()
            return (key,) if event.record.head.deleting else ()
        if event.record is None and self._waiting:
            waiting = self._waiting.get(key.cluster, {}).get(key.resource)
            return (waiting,) if waiting is not None else ()
        return ()

    def lost(self, held: Range) -> None:
        self._waiting = {cluster: waiting for cluster, waiting in self._waiting.items() if cluster not in held}

    def _wait_no_more(self, binding: Key) -> None:
        left = {resource: key for resource, key in self._waiting.pop(binding.cluster, {}).items() if key != binding}
        if left:
            self._waiting[binding.cluster] = left

    def initial_keys(self, held: Range) -> Iterable[Key]:
        return [record.key for record in held.list(API_BINDINGS) if record.head.deleting]

    async def reconcile(self, held: Range, key: Key) -> None:
        record = held.get(key)
        if record is None or not record.head.deleting or FINALIZER not in finalizers_of(decoded(record)):
            return
        binding = decoded(record)
        entries = [e for e in (binding.get("status") or {}).get("boundResources") or () if not self._adopted(held, key, e)]
        # From here on the last object to go calls again, so none can slip away between looking and waiting.
        if entries:
            self._waiting.setdefault(key.cluster, {}).update({_storage_key(entry): key for entry in entries})
        for entry in entries:
            await self._delete_objects(held, key.cluster, binding, entry)
        remaining = [record for entry in entries for record in held.list(_storage_key(entry), key.cluster)]
        if remaining:
            await self._report(key, remaining)
            return
        self._wait_no_more(key)
        await self._unlock(key)
        await self._finish(key)

    def _adopted(self, held: Range, key: Key, entry: dict[str, Any]) -> bool:
        for other in bindings_of(held, key.cluster):
            if name_of(other) == key.name or is_deleting(other):
                continue
            same = bound_resource(other, entry.get("group") or "", entry["resource"])
            if same is not None and same["schema"]["UID"] == entry["schema"]["UID"]:
                return bool(same["schema"].get("identityHash") == entry["schema"].get("identityHash"))
        return False

    async def _delete_objects(self, held: Range, cluster: str, binding: Object, entry: dict[str, Any]) -> None:
        """Deletes the objects of one bound resource, or marks them where they have finalizers."""
        storage_key = _storage_key(entry)
        if not held.count(storage_key, cluster):
            return
        definition = self._definition(cluster, binding, entry)
        if definition is None:
            raise StatusError(
                500, "InternalError", f"the schema {entry['schema']['name']} of bound objects is gone; restore it to delete them"
            )
        pending = iter([record.key for record in held.list(storage_key, cluster) if not record.head.deleting])
        while batch := list(islice(pending, AT_ONCE)):
            await transact(self._host.cell, batch, partial(self._deletions, held, definition, batch))

    def _deletions(self, held: Range, definition: ResourceDefinition, keys: Sequence[Key]) -> list[Change]:
        """Objects without finalizers go at once; the others are marked, as a DELETE would."""
        changes = []
        for key in keys:
            record = held.get(key)
            if record is None or record.head.deleting:
                continue
            if not finalizers_of(decoded(record)):
                changes.append(removed(self._host, record))
                continue
            obj = records.decode(record, definition, definition.storage_version)
            metadata = obj["metadata"]
            metadata["deletionTimestamp"] = timestamp()
            metadata["deletionGracePeriodSeconds"] = 0
            metadata["generation"] = metadata.get("generation", 0) + 1
            changes.append(updated(self._host, definition, record, obj))
        return changes

    def _definition(self, cluster: str, binding: Object, entry: dict[str, Any]) -> ResourceDefinition | None:
        identity = entry["schema"]["identityHash"]
        served = self._host.apis.definition(cluster, entry.get("group") or "", entry["resource"])
        if served is not None and served.identity == identity:
            return served
        schema = get_schema(self._host, binding["status"].get("apiExportClusterName") or "", entry["schema"]["name"])
        return self._host.apis.bound_definition(schema, identity) if schema is not None else None

    async def _report(self, key: Key, remaining: list[Record]) -> None:
        finalizers = [f for record in remaining for f in finalizers_of(decoded(record))]
        if finalizers:
            reason = "SomeFinalizersRemain"
            counts = ", ".join(f"{f} in {finalizers.count(f)} resource instances" for f in sorted(set(finalizers)))
            message = f"Some content in the logical cluster has finalizers remaining: {counts}"
        else:
            reason = "SomeResourcesRemain"
            group, _, resource = remaining[0].key.resource.partition(":")[0].partition("/")
            shown = GroupResource("" if group == "core" else group, resource)
            message = f"Some resources are remaining: {shown} has {len(remaining)} resource instances"

        def change(binding: Object) -> bool:
            before = binding.get("status") or {}
            status = binding["status"] = dict(before)
            mark_false(status, DELETE_SUCCESS, reason, message, timestamp())
            return bool(status != before)

        await revise(self._host, self._host.definitions.api_bindings, key, change)

    async def _unlock(self, key: Key) -> None:
        def change(logical_cluster: Object) -> bool:
            before = locks.locks_of(logical_cluster)
            after = locks.without_binding(before, key.name)
            logical_cluster["metadata"]["annotations"] = {**annotations_of(logical_cluster), locks.LOCKS_ANNOTATION: after}
            return after != before

        place = Key(key.cluster, LOGICAL_CLUSTERS, "", "cluster")
        await revise(self._host, self._host.definitions.logical_clusters, place, change)

    async def _finish(self, key: Key) -> None:
        def change(binding: Object) -> bool:
            finalizers = finalizers_of(binding)
            binding["metadata"]["finalizers"] = [f for f in finalizers if f != FINALIZER]
            if not binding["metadata"]["finalizers"]:
                del binding["metadata"]["finalizers"]
            return FINALIZER in finalizers

        await revise(self._host, self._host.definitions.api_bindings, key, change)


def _storage_key(entry: dict[str, Any]) -> str:
    """Where the objects of an entry of `status.boundResources` live."""
    return f"{entry.get('group') or 'core'}/{entry['resource']}:{entry['schema']['identityHash']}"
