"""Updates one object from a controller: reads it, changes it, commits it, and repeats that if it changed meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenantry.apiserver import records
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.record import Change
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.object_changes import Changes


async def revise(
    cell: Cell, changes: Changes, definition: ResourceDefinition, key: Key, change: Callable[[Object], bool]
) -> None:
    """Updates one object, if it exists. `change` gets a copy in the storage version, changes it in place, and returns whether
    it did.

    An object that is being deleted is removed when it has no finalizers left.
    """

    def compute() -> Sequence[Change]:
        record = cell.range_of(key.cluster).get(key)
        if record is None:
            return ()
        obj = records.decode(record, definition, definition.storage_version)
        if not change(obj):
            return ()
        if record.head.deleting and not obj["metadata"].get("finalizers"):
            return (changes.removed(record),)
        return (changes.updated(definition, record, obj),)

    await transact(cell, (key,), compute)
