"""WorkspaceType.status.virtualWorkspaces: where the controllers of a type find its workspaces, for every range."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import orjson

from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.objects import timestamp
from tenantry.storage.keys import Key
from tenantry.storage.overtaken import transact
from tenantry.storage.range import Range
from tenantry.storage.record import Change
from tenantry.tenancy.changes import updated
from tenantry.tenancy.exports import conditions

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

URLS_READY = "VirtualWorkspaceURLsReady"


class TypeUrlsController(ObjectController):
    """Two URLs for each range, in the order of the ranges' names."""

    name = "workspacetype-urls"
    workers = 2

    def __init__(self, host: Host) -> None:
        self._host = host
        host.registry.subscribe(self._map_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (self._host.definitions.workspace_types.storage_key,)

    async def reconcile(self, range_: Range, key: Key) -> None:
        def compute() -> Sequence[Change]:
            record = range_.get(key)
            if record is None or record.head.deleting:
                return ()
            workspace_type = orjson.loads(record.value)
            status = workspace_type.setdefault("status", {})
            status["virtualWorkspaces"] = self._urls(f"{key.cluster}:{key.name}")
            now = timestamp()
            conditions.mark_true(status, URLS_READY, now)
            conditions.mirror(status, "Ready", URLS_READY)
            change = updated(self._host, self._host.definitions.workspace_types, record, workspace_type)
            return [change] if change.value != record.value else ()

        await transact(self._host.cell, (key,), compute)

    def _urls(self, identifier: str) -> list[dict[str, str]]:
        return [
            {"url": f"{self._host.urls.range(name)}/services/{kind}workspaces/{identifier}", "type": kind}
            for name in sorted(info.name for info in self._host.registry.ranges())
            for kind in ("initializing", "terminating")
        ]

    def _map_changed(self) -> None:
        if not self._host.definitions.complete:
            return
        for range_ in self._host.cell.ranges.values():
            self.enqueue_all(("map", range_.name), partial(self.initial_keys, range_))
