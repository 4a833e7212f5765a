"""The controller of identities of APIExports.

The identity is a key in a Secret of the provider's workspace. Its hash is part of the storage key of all objects of the export
(kcp).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from tenantry.apiserver import records
from tenantry.controllers.object_controller import ObjectController, enqueue_where
from tenantry.kube.objects import Object, timestamp
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.exports.conditions import mark_true, remove
from tenantry.tenancy.exports.export_urls import export_url
from tenantry.tenancy.exports.identity_secrets import IdentitySecrets, secret_reference, set_identity
from tenantry.tenancy.exports.read_bindings import decoded
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.resources import API_EXPORTS, SECRETS
from tenantry.tenancy.types import SystemDefinitions


class IdentityController(ObjectController):
    """Creates the Secret of an APIExport, sets status.identityHash, and reports in a condition if the two do not match.

    `publish_on_exports`: whether `status.virtualWorkspaces` lists the URLs of all ranges (deprecated in kcp, off by default).
    """

    name = "apiexport-identity"

    def __init__(
        self,
        *,
        cell: Cell,
        definitions: SystemDefinitions,
        range_map: RangeMap,
        urls: Urls,
        changes: Changes,
        publish_on_exports: bool = False,
    ) -> None:
        self._cell = cell
        self._definitions = definitions
        self._range_map = range_map
        self._urls = urls
        self._changes = changes
        self._identities = IdentitySecrets(definitions, changes)
        self._publish = publish_on_exports
        if publish_on_exports:
            self._range_map.subscribe(self._map_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (API_EXPORTS, SECRETS)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key = event.key
        if key.resource == API_EXPORTS:
            return (key,)
        if not self._cell.owns(key.cluster):
            return ()
        # `reconcile` finds the exports that refer to the Secret, in slices.
        return (key,) if self._cell.range_of(key.cluster).has_any(API_EXPORTS, key.cluster) else ()

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key for record in range_.each(API_EXPORTS))

    async def reconcile(self, range_: Range, key: Key) -> None:
        if key.resource == SECRETS:
            secret = {"namespace": key.namespace, "name": key.name}
            exports = range_.each(API_EXPORTS, key.cluster)
            await enqueue_where(
                self.enqueue, exports, lambda export: secret_reference(decoded(export), export.key.name) == secret, piece=1
            )
            return
        await transact(self._cell, (key,), lambda: self._compute(range_, key))

    def _compute(self, range_: Range, key: Key) -> list[Change]:
        record = range_.get(key)
        if record is None or record.head.deleting:
            return []
        definitions = self._definitions
        export = records.decode(record, definitions.api_exports, definitions.api_exports.storage_version)
        spec = export.setdefault("spec", {})
        status = dict(export.get("status") or {})
        changes: list[Change] = []
        reference = secret_reference(export, key.name)
        if not (spec.get("identity") or {}).get("secretRef"):
            spec["identity"] = {"secretRef": reference}
        identity_changes, secret = self._identities.secret(range_, key.cluster, reference, new=not status.get("identityHash"))
        changes += identity_changes
        set_identity(status, secret, reference)
        self._list_urls(status, key)
        if status != (export.get("status") or {}) or spec != decoded(record).get("spec"):
            export["status"] = status
            changes.append(self._changes.updated(definitions.api_exports, record, export))
        return changes

    def _list_urls(self, status: Object, key: Key) -> None:
        if not self._publish:
            status.pop("virtualWorkspaces", None)
            remove(status, "VirtualWorkspaceURLsReady")
            return
        names = sorted(known.name for known in self._range_map.ranges())
        status["virtualWorkspaces"] = [{"url": export_url(self._urls, name, key.cluster, key.name)} for name in names]
        mark_true(status, "VirtualWorkspaceURLsReady", timestamp())

    def _map_changed(self) -> None:
        for range_ in self._cell.ranges.values():
            self.enqueue_all(("map", range_.name), partial(self.initial_keys, range_))
