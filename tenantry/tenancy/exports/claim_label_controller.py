"""The controller of claim labels: it updates existing objects when the accepted claims of a logical cluster change (kcp)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from tenantry.apiserver import records
from tenantry.base.time_slices import batches, in_slices
from tenantry.controllers.cluster_controller import ClusterController
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, labels_of, name_of, timestamp
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.exports.binding_index import BindingIndex
from tenantry.tenancy.exports.binding_status import CLAIMS_APPLIED, CLAIMS_VALID
from tenantry.tenancy.exports.conditions import mark_false, mark_true
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.hashing import CLAIM_LABEL_PREFIX, export_hash
from tenantry.tenancy.exports.permission_claims import Claims, accepted_claims, bears_claims, claim_labels, matching
from tenantry.tenancy.exports.read_bindings import BINDING_RESOURCE, decoded
from tenantry.tenancy.exports.update_object import revise
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.resources import API_BINDINGS, API_EXPORTS
from tenantry.tenancy.types import SystemDefinitions

BATCH_SIZE = 50
"""Objects that are written at once: enough to fill a group commit, few enough to leave room for other writes."""


class ClaimLabelController(ClusterController):
    """Reconciles all claims of a logical cluster together."""

    name = "permissionclaims"

    def __init__(
        self,
        claims: Claims,
        index: BindingIndex,
        *,
        cell: Cell,
        catalog: Catalog,
        definitions: SystemDefinitions,
        apis: ClusterApis,
        changes: Changes,
        exports: ExportLookup,
    ) -> None:
        self._cell = cell
        self._catalog = catalog
        self._definitions = definitions
        self._apis = apis
        self._changes = changes
        self._exports = exports
        self._claims = claims
        self._index = index
        self._catalog.subscribe(API_EXPORTS, self._export_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (API_BINDINGS,)

    def keys(self, event: RecordEvent) -> Iterable[str]:
        if bears_claims(event.record) or bears_claims(event.previous):
            return (event.key.cluster,)
        return ()

    async def wait_for_sync(self, range_: Range) -> None:
        await self._index.filled(range_)

    def initial_keys(self, range_: Range) -> Iterable[str | None]:
        return (record.key.cluster if bears_claims(record) else None for record in range_.each(API_BINDINGS))

    async def reconcile(self, range_: Range, key: str) -> None:
        await self._relabel(range_, key)
        async for record in in_slices(range_.each(API_BINDINGS, key)):
            if bears_claims(record) and not record.head.deleting:
                await self._report(key, record.key)

    async def _relabel(self, range_: Range, cluster: str) -> None:
        """Writes every object whose claim labels are outdated."""
        definitions = {d.storage_key: d for d in await self._apis.read(cluster) if d.stored}
        for storage_key in tuple(range_.resources(cluster)):
            definition = definitions.get(storage_key)
            if definition is None:
                continue
            async for batch in batches(self._stale(range_, cluster, definition), BATCH_SIZE):
                await transact(self._cell, batch, partial(self._compute, range_, definition, batch))

    def _stale(self, range_: Range, cluster: str, definition: ResourceDefinition) -> Iterator[Key | None]:
        """The keys of objects whose claim labels are outdated, and None for each of the others."""
        for record in range_.each(definition.storage_key, cluster):
            is_stale = claim_labels(record.head.labels) != self._expected(range_, definition, record)
            yield record.key if is_stale else None

    def _expected(self, range_: Range, definition: ResourceDefinition, record: Record) -> dict[str, str]:
        cluster = record.key.cluster
        if definition.group_resource == BINDING_RESOURCE:
            return self._claims.expected_labels(cluster, BINDING_RESOURCE, decoded(record), self._claims.of(range_, cluster))
        return matching(self._claims.of(range_, cluster), definition.group_resource, record.head.labels)

    def _compute(self, range_: Range, definition: ResourceDefinition, keys: Sequence[Key]) -> list[Change]:
        changes = []
        for key in keys:
            record = range_.get(key)
            expected = self._expected(range_, definition, record) if record is not None else {}
            if record is None or claim_labels(record.head.labels) == expected:
                continue
            obj = records.decode(record, definition, definition.storage_version)
            labels = {k: v for k, v in labels_of(obj).items() if not k.startswith(CLAIM_LABEL_PREFIX)} | expected
            obj["metadata"]["labels"] = labels
            if not labels:
                del obj["metadata"]["labels"]
            changes.append(self._changes.updated(definition, record, obj))
        return changes

    async def _report(self, cluster: str, key: Key) -> None:
        def change(binding: Object) -> bool:
            export = self._exports.bound_by(cluster, binding)
            if export is None:
                return False
            before = binding.get("status") or {}
            binding["status"] = claims_status(binding, export.object, now=timestamp())
            return bool(binding["status"] != before)

        await revise(self._cell, self._changes, self._definitions.api_bindings, key, change)

    def _export_changed(self, _: str, cluster: str, name: str, export: Object | None) -> None:
        self.enqueue_all((cluster, name), lambda: self._consumers(export_hash(cluster, name)))

    def _consumers(self, label: str) -> Iterable[str | None]:
        cell = self._cell
        for key in self._index.keys(label):
            concerned = cell.owns(key.cluster) and bears_claims(cell.range_of(key.cluster).get(key))
            yield key.cluster if concerned else None


def claims_status(binding: Object, export: Object, *, now: str) -> Object:
    """The status of a binding after its accepted claims were applied. `now`: metav1.Time.

    Applied are the claims that the export has and the binding accepts.
    """
    status: Object = dict(binding.get("status") or {})
    exported = {_claim_key(c): c for c in (export.get("spec") or {}).get("permissionClaims") or ()}
    applied: list[dict[str, Any]] = []
    unexpected: list[str] = []
    different: list[str] = []
    for claim in accepted_claims(binding):
        key = _claim_key(claim)
        claimed = exported.get(key)
        if claimed is None:
            unexpected.append(_claim_text(claim))
            continue
        if set(claim.get("verbs") or ()) != set(claimed.get("verbs") or ()):
            different.append(_claim_text(claim))
        applied.append({k: v for k, v in claim.items() if k != "state"})
    if applied:
        status["appliedPermissionClaims"] = applied
    else:
        status.pop("appliedPermissionClaims", None)
    name = name_of(export)
    if unexpected:
        message = f'unexpected/invalid claims, not claimed by APIExport "{name}": {", ".join(unexpected)}'
        mark_false(status, CLAIMS_VALID, "InvalidPermissionClaims", message, now)
    elif different:
        message = f'accepted with other verbs than claimed by APIExport "{name}": {", ".join(different)}'
        mark_false(status, CLAIMS_VALID, "PermissionClaimsMismatch", message, now, severity="Warning")
    else:
        mark_true(status, CLAIMS_VALID, now)
    mark_true(status, CLAIMS_APPLIED, now)
    return status


def _claim_key(claim: dict[str, Any]) -> tuple[str, str, str]:
    return claim.get("group") or "", claim.get("resource") or "", claim.get("identityHash") or ""


def _claim_text(claim: dict[str, Any]) -> str:
    group, resource, identity = _claim_key(claim)
    return f"{resource}.{group or 'core'}" + (f":{identity}" if identity else "")
