"""Completes the RBAC copies of clusters that offer something: what did not fit into the transaction of their first export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tenantry.storage.cell import Stale
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, RecordEvent
from tenantry.tenancy.copies import EXPORTS, first_copies, offers, uncopied
from tenantry.tenancy.reconcile import Controller

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

BATCH = 40


class OffersController(Controller):
    """Writes RBAC objects that have no copy once more as they are, with their copy. Keys stand for clusters."""

    name = "offers"
    workers = 1

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def resources(self) -> Sequence[str]:
        return (EXPORTS, self._host.definitions.workspace_types.storage_key)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        return (Key(event.key.cluster, EXPORTS, "", ""),) if event.previous is None else ()

    def initial_keys(self, held: Range) -> Iterable[Key]:
        clusters = {cluster for resource in self.resources for cluster in held.clusters(resource)}
        return [Key(cluster, EXPORTS, "", "") for cluster in clusters]

    async def reconcile(self, held: Range, key: Key) -> None:
        while offers(self._host, key.cluster):
            records = uncopied(self._host, key.cluster, BATCH)
            if not records:
                return
            await self._host.cell.settled([record.key for record in records])
            changes = [
                Change(record.key, record.value, record.head, record, copies)
                for record, copies in first_copies(self._host, key.cluster, BATCH)
            ]
            try:
                await self._host.cell.commit(changes)
            except Stale:
                continue
