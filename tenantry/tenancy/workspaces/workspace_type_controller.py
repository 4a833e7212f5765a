"""The controller of WorkspaceTypes: it keeps status.virtualWorkspaces, the URLs at which a type's controllers find its
workspaces (kcp)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import orjson

from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.objects import timestamp
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.types import SystemDefinitions

URLS_READY = "VirtualWorkspaceURLsReady"


class WorkspaceTypeController(ObjectController):
    """Publishes two URLs for each range (initializing, terminating), in the order of the ranges' names. A type that is being
    deleted has them too: workspaces of it wait for its controllers."""

    name = "workspacetype-urls"
    workers = 2

    def __init__(self, *, cell: Cell, definitions: SystemDefinitions, urls: Urls, range_map: RangeMap, changes: Changes) -> None:
        self._cell = cell
        self._definitions = definitions
        self._urls = urls
        self._range_map = range_map
        self._changes = changes
        self._range_map.subscribe(self._map_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (self._definitions.workspace_types.storage_key,)

    async def reconcile(self, range_: Range, key: Key) -> None:
        def compute() -> Sequence[Change]:
            record = range_.get(key)
            if record is None:
                return ()
            workspace_type = orjson.loads(record.value)
            status = workspace_type.setdefault("status", {})
            status["virtualWorkspaces"] = self._published(f"{key.cluster}:{key.name}")
            now = timestamp()
            conditions.mark_true(status, URLS_READY, now)
            conditions.mirror(status, "Ready", URLS_READY)
            change = self._changes.updated(self._definitions.workspace_types, record, workspace_type)
            return [change] if change.value != record.value else ()

        await transact(self._cell, (key,), compute)

    def _published(self, identifier: str) -> list[dict[str, str]]:
        return [
            {"url": f"{self._urls.range(name)}/services/{kind}workspaces/{identifier}", "type": kind}
            for name in sorted(info.name for info in self._range_map.ranges())
            for kind in ("initializing", "terminating")
        ]

    def _map_changed(self) -> None:
        if not self._definitions.complete:
            return
        for range_ in self._cell.ranges.values():
            self.enqueue_all(("map", range_.name), partial(self.initial_keys, range_))
