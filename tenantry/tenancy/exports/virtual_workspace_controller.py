"""The controller of VirtualWorkspaces: says whether one can be served, and where: one URL for each range that has a consumer of
its export."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.objects import GroupResource, Object, timestamp
from tenantry.placement.catalog import Catalog
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.exports.conditions import mark_false, mark_true
from tenantry.tenancy.exports.consumers import CONSUMERS
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.export_urls import declared_urls
from tenantry.tenancy.exports.objects_by_export import ObjectsByExport
from tenantry.tenancy.exports.permission_claims import normalized
from tenantry.tenancy.exports.read_bindings import BINDING_RESOURCE, decoded, identity_of
from tenantry.tenancy.exports.update_object import revise
from tenantry.tenancy.exports.written_statuses import WrittenStatuses
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.resources import API_EXPORTS, VIRTUAL_WORKSPACES
from tenantry.tenancy.types import SystemDefinitions

VALID, URLS_READY = "Valid", "VirtualWorkspaceURLsReady"


class VirtualWorkspaceController(ObjectController):
    """Keeps the status of VirtualWorkspaces up to date. It reads exports and consumers from the catalog."""

    name = "virtualworkspace-endpoints"

    def __init__(
        self,
        *,
        cell: Cell,
        catalog: Catalog,
        definitions: SystemDefinitions,
        urls: Urls,
        changes: Changes,
        exports: ExportLookup,
        written: WrittenStatuses,
    ) -> None:
        self._written = written
        self._cell = cell
        self._catalog = catalog
        self._definitions = definitions
        self._urls = urls
        self._changes = changes
        self._exports = exports
        self._by_export = ObjectsByExport()
        catalog.subscribe(CONSUMERS, self._consumers_changed)
        catalog.subscribe(API_EXPORTS, self._export_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (VIRTUAL_WORKSPACES,)

    def released(self, range_: Range) -> None:
        for key in self._by_export.in_range(range_):
            self._by_export.forget(key)

    async def reconcile(self, range_: Range, key: Key) -> None:
        record = range_.get(key)
        if record is None:
            self._by_export.forget(key)
            self._written.forget(key)
            return
        number = self._written.number
        # Before the export is read: a change from now on is noticed.
        self._by_export.remember(key, (key.cluster, decoded(record)["spec"]["export"]["name"]))

        def change(current: Object) -> bool:
            before = current.get("status") or {}
            current["status"] = self._status(key, current["spec"], before)
            return bool(current["status"] != before)

        await revise(self._cell, self._changes, self._definitions.virtual_workspaces, key, change)
        self._written.note(key, self._by_export.export_of(key), number)

    def _status(self, key: Key, spec: Object, before: Object) -> Object:
        now = timestamp()
        status: Object = dict(before)
        name = spec["export"]["name"]
        export = self._exports.get(key.cluster, name)
        if export is None or not identity_of(export):
            mark_false(status, VALID, "APIExportNotFound", f"APIExport {name} not found, or it has no identity yet", now)
            mark_false(status, URLS_READY, "NotValid", "the export is not known", now)
            status.pop("endpoints", None)
            return status
        missing = sorted(_missing(spec, export))
        if missing:
            text = f"not served, because APIExport {name} neither stores nor claims: {', '.join(missing)}"
            mark_false(status, VALID, "ResourceNotExported", text, now)
        else:
            mark_true(status, VALID, now)
        mark_true(status, URLS_READY, now)
        urls = declared_urls(self._catalog, self._urls, key.cluster, key.name, name)
        if urls:
            status["endpoints"] = [{"url": url} for url in urls]
        else:
            status.pop("endpoints", None)
        return status

    def _consumers_changed(self, _: str, cluster: str, name: str, __: Object | None) -> None:
        self._enqueue(cluster, name.rpartition(".")[0])

    def _export_changed(self, _: str, cluster: str, name: str, __: Object | None) -> None:
        self._enqueue(cluster, name)

    def _enqueue(self, cluster: str, name: str) -> None:
        if (cluster, name) in self._by_export:
            self.enqueue_all((cluster, name), lambda: self._by_export.of((cluster, name)))


def _missing(spec: Object, export: Object) -> Iterable[str]:
    """The resources that a VirtualWorkspace names and its export neither has nor claims."""
    offered = export.get("spec") or {}
    known = {BINDING_RESOURCE}
    own = [each for each in offered.get("resources") or () if not (each.get("storage") or {}).get("virtual")]
    known.update(GroupResource(each.get("group") or "", each["name"]) for each in own)
    known.update(normalized(*_place(each)) for each in offered.get("permissionClaims") or ())
    entries = [*(spec.get("resources") or ()), *(count["of"] for count in spec.get("counts") or ())]
    return {str(place) for entry in entries if normalized(*(place := _place(entry))) not in known}


def _place(entry: Mapping[str, Any]) -> GroupResource:
    return GroupResource(entry.get("group") or "", entry.get("resource") or "")
