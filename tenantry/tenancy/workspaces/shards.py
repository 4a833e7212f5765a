"""Each range shows as a kcp Shard object in root; they are made where root lives, when the registry's map changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import orjson

from tenantry.controllers.reconcile import Controller
from tenantry.kube.objects import Object
from tenantry.placement.map import RangeInfo
from tenantry.storage.keys import Key
from tenantry.storage.overtaken import transact
from tenantry.storage.range import Range
from tenantry.storage.record import Change
from tenantry.tenancy.changes import created, updated
from tenantry.tenancy.well_known import ROOT

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host


def shard_object(host: Host, info: RangeInfo) -> Object:
    """The Shard of a range, in the shape in which it is stored."""
    return {"metadata": {"name": info.name, "labels": {"name": info.name, **info.labels}}, "spec": _urls(host, info)}


def _urls(host: Host, info: RangeInfo) -> Object:
    url = host.urls.range(info.name)
    return {"baseURL": url, "externalURL": host.urls.external, "virtualWorkspaceURL": url}


class ShardsController(Controller):
    """Makes missing Shards and keeps their URLs; their labels belong to the administrator once they are made (kcp)."""

    name = "shards"
    workers = 1

    def __init__(self, host: Host) -> None:
        self._host = host
        host.registry.subscribe(self._map_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (self._host.definitions.shards.storage_key,)

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return self._keys() if range_.start <= ROOT < range_.end else ()

    def _keys(self) -> list[Key]:
        resource = self._host.definitions.shards.storage_key
        return [Key(ROOT, resource, "", info.name) for info in self._host.registry.ranges()]

    def _map_changed(self) -> None:
        if self._host.cell.owns(ROOT) and self._host.definitions.complete:
            for key in self._keys():
                self.enqueue(key)

    async def reconcile(self, range_: Range, key: Key) -> None:
        info = self._host.registry.named(key.name)
        if info is None or key.cluster != ROOT:
            return
        definition = self._host.definitions.shards

        def compute() -> Sequence[Change]:
            record = range_.get(key)
            if record is None:
                return [created(self._host, definition, ROOT, shard_object(self._host, info))]
            shard = orjson.loads(record.value)
            if record.head.deleting or shard.get("spec") == _urls(self._host, info):
                return ()
            shard["spec"] = _urls(self._host, info)
            shard["metadata"]["generation"] = shard["metadata"].get("generation", 1) + 1
            return [updated(self._host, definition, record, shard)]

        await transact(self._host.cell, (key,), compute)
