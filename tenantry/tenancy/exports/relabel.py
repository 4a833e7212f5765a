"""Brings the claim labels of existing objects up to date when the accepted claims of a logical cluster change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from tenantry.apiserver import objects
from tenantry.apiserver.user import SYSTEM
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, name_of, timestamp
from tenantry.kube.status import StatusError
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.exports.binding_status import CLAIMS_APPLIED, CLAIMS_VALID
from tenantry.tenancy.exports.bindings import API_BINDINGS, API_EXPORTS, bound_export, decoded
from tenantry.tenancy.exports.claims import Claims, accepted_claims, bears_claims, claim_labels, matching
from tenantry.tenancy.exports.conditions import mark_false, mark_true
from tenantry.tenancy.exports.hashing import export_hash
from tenantry.tenancy.exports.index import BindingIndex
from tenantry.tenancy.reconcile import Controller

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

AT_ONCE = 50
"""Objects relabelled in one go: enough to fill a group commit, few enough to leave room for others' writes."""


class RelabelController(Controller):
    """The keys it works on are (cluster, `apis.kcp.io/apibindings`): all claims of a cluster are looked at together."""

    name = "permissionclaims"

    def __init__(self, host: Host, claims: Claims, index: BindingIndex) -> None:
        self._host = host
        self._claims = claims
        self._index = index
        host.catalog.subscribe(API_EXPORTS, self._export_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (API_BINDINGS,)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        if bears_claims(event.record) or bears_claims(event.previous):
            return (_cluster_key(event.key.cluster),)
        return ()

    def initial_keys(self, held: Range) -> Iterable[Key]:
        return {_cluster_key(record.key.cluster) for record in held.list(API_BINDINGS) if bears_claims(record)}

    async def reconcile(self, held: Range, key: Key) -> None:
        failed = await self._relabel(held, key.cluster)
        for record in tuple(held.list(API_BINDINGS, key.cluster)):
            if bears_claims(record) and not record.head.deleting:
                await self._report(key.cluster, record, failed)
        if failed:
            raise next(iter(failed.values()))

    async def _relabel(self, held: Range, cluster: str) -> dict[tuple[str, str], StatusError]:
        """Writes every object whose labels are not what they should be; (group, resource) → the last failure of each."""
        failed: dict[tuple[str, str], StatusError] = {}
        definitions = {d.storage_key: d for d in self._host.apis.for_cluster(cluster) if d.stored}
        for storage_key in tuple(held.resources(cluster)):
            definition = definitions.get(storage_key)
            if definition is None:
                continue
            stale = iter(self._stale(held, cluster, definition))
            while batch := list(islice(stale, AT_ONCE)):
                results = await asyncio.gather(*(self._touch(definition, record) for record in batch), return_exceptions=True)
                for result in results:
                    if isinstance(result, StatusError):
                        failed[(definition.group, definition.plural)] = result
                    elif isinstance(result, BaseException):
                        raise result
        return failed

    def _stale(self, held: Range, cluster: str, definition: ResourceDefinition) -> list[Record]:
        is_binding = definition.storage_key == API_BINDINGS
        table = self._claims.of(held, cluster)
        found = []
        for record in held.list(definition.storage_key, cluster):
            if is_binding:
                expected = self._claims.expected_labels(held, cluster, definition.group_resource, decoded(record))
            else:
                expected = matching(table, definition.group_resource, record.head.labels)
            if claim_labels(record.head.labels) != expected:
                found.append(record)
        return found

    async def _touch(self, definition: ResourceDefinition, record: Record) -> None:
        """An update that changes nothing: admission puts the labels right."""
        scope = self._host.scope(record.key.cluster)
        await objects.update(scope, definition, record.key.namespace, record.key.name, lambda current: current, user=SYSTEM)

    async def _report(self, cluster: str, record: Record, failed: dict[tuple[str, str], StatusError]) -> None:
        definition = self._host.definitions.api_bindings

        def change(binding: Object) -> Object | None:
            export = bound_export(self._host, cluster, binding)
            if export is None:
                return None
            before = binding.get("status") or {}
            binding["status"] = claims_status(binding, export.object, failed, now=timestamp())
            return binding if binding["status"] != before else None

        if change(_whole(record)) is not None:
            await objects.update(
                self._host.scope(cluster), definition, "", record.key.name, change, subresource="status", user=SYSTEM
            )

    def _export_changed(self, _: str, cluster: str, name: str, export: Object | None) -> None:
        for key in self._index.keys(export_hash(cluster, name)):
            if self._host.cell.owns(key.cluster) and bears_claims(self._host.cell.range_of(key.cluster).get(key)):
                self.enqueue(_cluster_key(key.cluster))


def claims_status(binding: Object, export: Object, failed: dict[tuple[str, str], StatusError], *, now: str) -> Object:
    """The status of a binding after its accepted claims were applied, but for those whose (group, resource) `failed`.

    What is applied is the intersection of what the export claims and what the binding accepts.
    """
    status: Object = dict(binding.get("status") or {})
    exported = {_claim_key(c): c for c in (export.get("spec") or {}).get("permissionClaims") or ()}
    applied: list[dict[str, Any]] = []
    unexpected: list[str] = []
    different: list[str] = []
    for claim in accepted_claims(binding):
        key = _claim_key(claim)
        offered = exported.get(key)
        if offered is None:
            unexpected.append(_spell(claim))
            continue
        if set(claim.get("verbs") or ()) != set(offered.get("verbs") or ()):
            different.append(_spell(claim))
        if (key[0], key[1]) not in failed:
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
    if failed:
        reasons = "; ".join(f"{resource}.{group}: {error.message}" for (group, resource), error in sorted(failed.items()))
        mark_false(status, CLAIMS_APPLIED, "InternalError", reasons, now)
    else:
        mark_true(status, CLAIMS_APPLIED, now)
    return status


def _claim_key(claim: dict[str, Any]) -> tuple[str, str, str]:
    return claim.get("group") or "", claim.get("resource") or "", claim.get("identityHash") or ""


def _spell(claim: dict[str, Any]) -> str:
    group, resource, identity = _claim_key(claim)
    return f"{resource}.{group or 'core'}" + (f":{identity}" if identity else "")


def _cluster_key(cluster: str) -> Key:
    return Key(cluster, API_BINDINGS, "", "")


def _whole(record: Record) -> Object:
    """A copy that may be changed at its top level."""
    return dict(decoded(record))
