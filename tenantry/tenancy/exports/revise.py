"""How the controllers of this package write: read memory, compute, commit, and again where somebody was quicker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenantry.apiserver import records
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.overtaken import transact
from tenantry.storage.record import Change
from tenantry.tenancy.changes import Changes


async def revise(
    cell: Cell, changes: Changes, definition: ResourceDefinition, key: Key, change: Callable[[Object], bool]
) -> None:
    """Changes one object, if it exists. `change` is given a copy in the storage version's shape and says whether it changed it.

    An object that is being deleted goes with its last finalizer.
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
