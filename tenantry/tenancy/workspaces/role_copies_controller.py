"""Writes missing catalog copies of RBAC objects.

Copies are missing if there were too many for the transaction of a cluster's first export, workspace type or copied object of a
view, or if a binding existed before its role gave access.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from tenantry.controllers.cluster_controller import ClusterController
from tenantry.storage.cell import Cell
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.access_rules import VERB, gives_access
from tenantry.tenancy.catalog_copies import Copies
from tenantry.tenancy.resources import API_EXPORTS, CLUSTER_ROLES
from tenantry.tenancy.types import SystemDefinitions

BATCH = 40


class RoleCopiesController(ClusterController):
    """Writes RBAC objects without a copy again, unchanged, with their copy."""

    name = "role-copies"
    workers = 1

    def __init__(self, *, cell: Cell, definitions: SystemDefinitions, copies: Copies) -> None:
        self._cell = cell
        self._definitions = definitions
        self._copies = copies

    @property
    def resources(self) -> Sequence[str]:
        added = (each.type.resource for each in self._definitions.added if each.type.copied)
        return (API_EXPORTS, self._definitions.workspace_types.storage_key, *added, CLUSTER_ROLES)

    def keys(self, event: RecordEvent) -> Iterable[str]:
        begins = event.previous is None
        if event.key.resource == CLUSTER_ROLES:
            begins = _gives_access(event.record) and not _gives_access(event.previous)
        return (event.key.cluster,) if begins else ()

    def initial_keys(self, range_: Range) -> Iterable[str | None]:
        return (cluster for resource in self.resources for cluster in range_.clusters(resource))

    async def reconcile(self, range_: Range, key: str) -> None:
        def compute() -> Sequence[Change]:
            return [
                Change(record.key, record.value, record.head, record, copies)
                for record, copies in self._copies.missing_copies(key, BATCH)
            ]

        while found := self._copies.uncopied(key, BATCH):
            # An object that never gets its copy ends this loop with Stale.
            await transact(self._cell, [record.key for record, _ in found], compute)


def _gives_access(role: Record | None) -> bool:
    if role is None or not any(f'"{verb}"'.encode() in role.value for verb in (VERB, "*")):
        return False
    return gives_access(orjson.loads(role.value))
