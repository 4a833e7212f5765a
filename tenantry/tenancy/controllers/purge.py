"""Deletes many objects in batches: all objects of a namespace or of a type."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import islice

from tenantry.apiserver import local_client
from tenantry.base.time_slices import batches
from tenantry.kube.status import StatusError
from tenantry.storage.cell import Cell
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record
from tenantry.tenancy.catalog_copies import Copies
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.controllers.definition_lookup import definition_of

BATCH_SIZE = 50
FAILURES_MAX = 1000
"""The most messages of failures that are returned."""


class Purge:
    """Deletes objects as a client with all permissions would."""

    def __init__(self, *, cell: Cell, apis: ClusterApis, scopes: ClusterScopes, copies: Copies) -> None:
        self._cell = cell
        self._apis = apis
        self._scopes = scopes
        self._copies = copies

    async def __call__(self, range_: Range, records: Iterable[Record]) -> list[str]:
        """Deletes every object that is not marked as deleted yet. Finalizers are respected. Returns the messages of failures,
        at most FAILURES_MAX. `records` are read in slices (`Range.each`).

        Objects whose type the cluster no longer serves are removed at once, because no client can remove their finalizers.
        """
        failures: list[str] = []
        async for batch in batches((None if record.head.deleting else record for record in records), BATCH_SIZE):
            failed = filter(None, await asyncio.gather(*(self._delete(range_, record) for record in batch)))
            failures.extend(islice(failed, FAILURES_MAX - len(failures)))
        return failures

    async def _delete(self, range_: Range, record: Record) -> str:
        key = record.key
        try:
            await self._apis.read(key.cluster)
            definition = definition_of(self._apis, key.cluster, key.resource)
            if definition is not None:
                await local_client.delete(self._scopes.cluster(key.cluster), definition, key.namespace, key.name)
                return ""
            await self._cell.writes_done([key])
            current = range_.get(key)
            if current is not None:
                await self._cell.commit([Change(key, None, None, current, self._copies.removed(key))])
        except StatusError as error:
            return error.message
        return ""
