"""The controller of Shard objects in root, one for each range (kcp's Shards). It runs on the shard that owns root."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.objects import Object
from tenantry.placement.map import RangeInfo
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.well_known import ROOT


def shard_object(urls: Urls, info: RangeInfo) -> Object:
    """The Shard object of a range, as it is stored."""
    return {"metadata": {"name": info.name, "labels": {"name": info.name, **info.labels}}, "spec": _urls(urls, info)}


def _urls(urls: Urls, info: RangeInfo) -> Object:
    url = urls.range(info.name)
    return {"baseURL": url, "externalURL": urls.external, "virtualWorkspaceURL": url}


class ShardController(ObjectController):
    """Creates missing Shards and keeps their URLs up to date. It sets labels only at creation: they belong to the administrator
    (kcp)."""

    name = "shards"
    workers = 1

    def __init__(self, *, cell: Cell, definitions: SystemDefinitions, range_map: RangeMap, urls: Urls, changes: Changes) -> None:
        self._urls = urls
        self._cell = cell
        self._definitions = definitions
        self._range_map = range_map
        self._changes = changes
        self._range_map.subscribe(self._map_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (self._definitions.shards.storage_key,)

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return self._keys() if range_.start <= ROOT < range_.end else ()

    def _keys(self) -> list[Key]:
        resource = self._definitions.shards.storage_key
        return [Key(ROOT, resource, "", info.name) for info in self._range_map.ranges()]

    def _map_changed(self) -> None:
        if self._cell.owns(ROOT) and self._definitions.complete:
            for key in self._keys():
                self.enqueue(key)

    async def reconcile(self, range_: Range, key: Key) -> None:
        info = self._range_map.named(key.name)
        if info is None or key.cluster != ROOT:
            return
        definition = self._definitions.shards

        def compute() -> Sequence[Change]:
            record = range_.get(key)
            if record is None:
                return [self._changes.created(definition, ROOT, shard_object(self._urls, info))]
            shard = orjson.loads(record.value)
            if record.head.deleting or shard.get("spec") == _urls(self._urls, info):
                return ()
            shard["spec"] = _urls(self._urls, info)
            shard["metadata"]["generation"] = shard["metadata"].get("generation", 1) + 1
            return [self._changes.updated(definition, record, shard)]

        await transact(self._cell, (key,), compute)
