"""The controller of topology.kcp.io PartitionSets: it creates a Partition for each combination of label values that Shards
have."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import partial

import orjson

from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.objects import Object, labels_of, timestamp
from tenantry.kube.selectors.labels import from_object
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.object_changes import OPERATIONS, Changes
from tenantry.tenancy.resources import SHARDS
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.well_known import ROOT

VALID = "PartitionSetValid"
PARTITIONS_READY = "PartitionsReady"
KIND = "PartitionSet"
_API_VERSION = "topology.kcp.io/v1alpha1"
_NAME_LENGTH = 63
_HASH_LENGTH = 8
_PARTITIONS_MAX = OPERATIONS // 2 - 1
"""The most Partitions of one set: one transaction writes all of them, each with its catalog copy."""


class PartitionSetController(ObjectController):
    """Reconciles one set; all sets when a Shard changes. Partitions have an owner reference, by which they are deleted with
    their set."""

    name = "partitionset"
    workers = 1

    def __init__(self, *, cell: Cell, catalog: Catalog, definitions: SystemDefinitions, changes: Changes) -> None:
        self._cell = cell
        self._catalog = catalog
        self._definitions = definitions
        self._changes = changes
        self._catalog.subscribe(SHARDS, self._shards_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (self._definitions.partition_sets.storage_key, self._definitions.partitions.storage_key)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        resource = self._definitions.partition_sets.storage_key
        if event.key.resource == resource:
            return (event.key,)
        owned = event.record or event.previous
        if owned is None or not owned.head.owner_uids:
            return ()
        owner = _owner(orjson.loads(owned.value))
        return (Key(event.key.cluster, resource, "", owner["name"]),) if owner is not None else ()

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key for record in range_.each(self._definitions.partition_sets.storage_key))

    def _shards_changed(self, *_: object) -> None:
        if self._definitions.complete:
            for range_ in self._cell.ranges.values():
                self.enqueue_all(("shards", range_.name), partial(self.initial_keys, range_))

    async def reconcile(self, range_: Range, key: Key) -> None:
        await transact(self._cell, (key,), lambda: self._compute(range_, key))

    def _compute(self, range_: Range, key: Key) -> list[Change]:
        record = range_.get(key)
        if record is None or record.head.deleting:
            return []
        now = timestamp()
        partition_set = orjson.loads(record.value)
        before = orjson.dumps(partition_set.get("status"))
        status = partition_set.setdefault("status", {})
        changes: list[Change] = []
        try:
            wanted = self._wanted(partition_set)
        except ValueError as error:
            conditions.mark_false(status, VALID, "InvalidSelector", str(error), now)
            conditions.remove(status, PARTITIONS_READY)
            wanted = None
        if wanted is not None:
            conditions.mark_true(status, VALID, now)
            status["count"] = len(wanted)
            if len(wanted) > _PARTITIONS_MAX:
                text = f"{len(wanted)} combinations exist, and a set has at most {_PARTITIONS_MAX} partitions"
                conditions.mark_false(status, PARTITIONS_READY, "ErrorGeneratingPartitions", text, now)
            else:
                changes = self._partitions(range_, record, wanted, now)
                conditions.mark_true(status, PARTITIONS_READY, now)
        if orjson.dumps(status) != before:
            changes.append(self._changes.updated(self._definitions.partition_sets, record, partition_set))
        return changes

    def _wanted(self, partition_set: Object) -> dict[str, Object]:
        """Name → selector of the set's Partitions. Raises ValueError for an invalid selector."""
        spec = partition_set.get("spec") or {}
        given = spec.get("shardSelector") or {}
        selector = from_object(given)
        dimensions = sorted(set(spec.get("dimensions") or ()))
        wanted: dict[str, Object] = {}
        for _, __, shard in self._catalog.list(SHARDS, ROOT):
            labels = labels_of(shard)
            if not selector.matches(labels) or any(d not in labels for d in dimensions):
                continue
            values = {d: labels[d] for d in dimensions}
            chosen: Object = {}
            labelled = {**(given.get("matchLabels") or {}), **values}
            if labelled:
                chosen["matchLabels"] = labelled
            if given.get("matchExpressions"):
                chosen["matchExpressions"] = given["matchExpressions"]
            wanted[_partition_name(partition_set["metadata"]["name"], values)] = chosen
        return wanted

    def _partitions(self, range_: Range, owner: Record, wanted: dict[str, Object], now: str) -> list[Change]:
        """The changes that make the set's Partitions `wanted` (name → selector)."""
        definition = self._definitions.partitions
        changes: list[Change] = []
        missing = dict(wanted)
        for record in range_.list(definition.storage_key, owner.key.cluster):
            if owner.head.uid not in record.head.owner_uids:
                continue
            selector = missing.pop(record.key.name, None)
            if record.head.deleting:
                continue
            if selector is None:
                changes.append(self._changes.removed(record))
                continue
            partition = orjson.loads(record.value)
            if (partition.get("spec") or {}).get("selector") != selector:
                partition["spec"] = {"selector": selector}
                partition["metadata"]["generation"] = partition["metadata"].get("generation", 1) + 1
                changes.append(self._changes.updated(definition, record, partition))
        for name, selector in missing.items():
            if range_.get(Key(owner.key.cluster, definition.storage_key, "", name)) is not None:
                continue  # A Partition of a user has this name.
            reference = {
                "apiVersion": _API_VERSION,
                "kind": KIND,
                "name": owner.key.name,
                "uid": owner.head.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
            partition = {"metadata": {"name": name, "ownerReferences": [reference]}, "spec": {"selector": selector}}
            changes.append(self._changes.created(definition, owner.key.cluster, partition, now=now))
        return changes


def _owner(partition: Object) -> Object | None:
    references = partition["metadata"].get("ownerReferences") or ()
    return next((r for r in references if r.get("kind") == KIND and r.get("apiVersion") == _API_VERSION), None)


def _partition_name(set_name: str, values: dict[str, str]) -> str:
    """A name made of the label values, with a hash of them: a value may have characters that names may not have."""
    shown = re.sub(r"[^a-z0-9-]+", "-", "-".join(value.lower() for value in values.values())).strip("-")
    digest = hashlib.sha224(orjson.dumps([set_name, values])).hexdigest()[:_HASH_LENGTH]
    stem = f"{set_name}-{shown}" if shown else set_name
    return f"{stem[: _NAME_LENGTH - _HASH_LENGTH - 1].rstrip('-.')}-{digest}"
