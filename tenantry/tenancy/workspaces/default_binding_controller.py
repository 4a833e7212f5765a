"""Keeps the default APIBindings of workspaces whose type has `defaultAPIBindingLifecycle: Maintain` as the type defines them
(kcp)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import orjson

from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.objects import Object, annotations_of, is_deleting, timestamp
from tenantry.placement.catalog import Catalog
from tenantry.placement.paths.directory import Directory
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.exports.read_bindings import reference_of
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.resources import API_BINDINGS, API_EXPORTS, WORKSPACE_TYPES
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.phase_fields import READY
from tenantry.tenancy.well_known import PATH_ANNOTATION
from tenantry.tenancy.workspaces.new_logical_cluster import ClusterContents
from tenantry.tenancy.workspaces.workspace_types import DefaultBinding, TypeUnresolved, WorkspaceTypes

RECONCILED = "APIBindingsReconciled"
_MAINTAIN = "Maintain"


class DefaultBindingController(ObjectController):
    """Checks every Ready cluster of such a type when a type or an export changes, and when a range is acquired."""

    name = "apibinding-maintain"
    workers = 4

    def __init__(
        self,
        *,
        cell: Cell,
        catalog: Catalog,
        directory: Directory,
        definitions: SystemDefinitions,
        workspace_types: WorkspaceTypes,
        changes: Changes,
        contents: ClusterContents,
    ) -> None:
        self._contents = contents
        self._cell = cell
        self._catalog = catalog
        self._directory = directory
        self._definitions = definitions
        self._workspace_types = workspace_types
        self._changes = changes
        self._maintained: set[tuple[str, str]] = set()
        """(cluster, name) of the types with that lifecycle."""
        for cluster, name, obj in self._catalog.each(WORKSPACE_TYPES):
            self._note(cluster, name, obj)
        self._catalog.subscribe(WORKSPACE_TYPES, self._type_changed)
        self._catalog.subscribe(API_EXPORTS, self._export_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (self._definitions.logical_clusters.storage_key, API_BINDINGS)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        """A cluster whose LogicalCluster or APIBindings changed."""
        if not self._maintained:
            return ()
        return (Key(event.key.cluster, self._definitions.logical_clusters.storage_key, "", NAME),)

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        if not self._maintained:
            return ()
        return (record.key for record in range_.each(self._definitions.logical_clusters.storage_key))

    def _note(self, cluster: str, name: str, obj: Object | None) -> None:
        maintained = obj is not None and (obj.get("spec") or {}).get("defaultAPIBindingLifecycle") == _MAINTAIN
        (self._maintained.add if maintained else self._maintained.discard)((cluster, name))

    def _type_changed(self, _: str, cluster: str, name: str, obj: Object | None) -> None:
        self._note(cluster, name, obj)
        self._export_changed()

    def _export_changed(self, *_: object) -> None:
        for range_ in self._cell.ranges.values():
            self.enqueue_all(("exports", range_.name), partial(self.initial_keys, range_))

    async def reconcile(self, range_: Range, key: Key) -> None:
        await transact(self._cell, (key,), lambda: self._compute(range_, key))

    def _compute(self, range_: Range, key: Key) -> list[Change]:
        record = range_.get(key)
        if record is None:
            return []
        logical_cluster = orjson.loads(record.value)
        status = logical_cluster.get("status") or {}
        if is_deleting(logical_cluster) or status.get("phase") != READY:
            return []
        name = self._workspace_types.of(key.cluster, logical_cluster)
        if name is None:
            return []
        now = timestamp()
        changes: list[Change] = []
        try:
            resolved = self._workspace_types.resolve(*name)
        except TypeUnresolved as error:
            conditions.mark_false(status, RECONCILED, "WorkspaceTypesInvalid", str(error), now)
        else:
            maintained = tuple(b for b in resolved.bindings if b.maintain)
            if not maintained:
                return []
            changes, waiting = self._bindings(range_, key.cluster, logical_cluster, maintained, now)
            if waiting:
                conditions.mark_false(status, RECONCILED, "WaitingOnAPIBindings", "; ".join(waiting), now)
            else:
                conditions.mark_true(status, RECONCILED, now)
        change = self._changes.updated(self._definitions.logical_clusters, record, logical_cluster)
        return [*changes, change] if change.value != record.value else changes

    def _bindings(
        self, range_: Range, cluster: str, logical_cluster: Object, maintained: tuple[DefaultBinding, ...], now: str
    ) -> tuple[list[Change], list[str]]:
        """(changes, texts): creates missing bindings, sets the spec of the others to that of a new binding; texts about those
        that cannot be."""
        definition = self._definitions.api_bindings
        path = self._directory.path_of(cluster) or annotations_of(logical_cluster).get(PATH_ANNOTATION, "")
        wanted, waiting = self._contents.default_bindings(cluster, path, maintained)
        changes: list[Change] = []
        for binding in wanted:
            record = range_.get(Key(cluster, definition.storage_key, "", binding["metadata"]["name"]))
            if record is None:
                # Unlike in a new cluster, names may conflict: the binding controller binds it.
                binding["status"] = {}
                changes.append(self._changes.created(definition, cluster, binding, now=now))
                continue
            present = orjson.loads(record.value)
            if reference_of(present) != reference_of(binding):
                # Its status and locks belong to another export, so the reference must not change.
                waiting.append(f"APIBinding {record.key.name} is bound to another export")
                continue
            if not record.head.deleting and present["spec"] != binding["spec"]:
                present["spec"] = binding["spec"]
                present["metadata"]["generation"] = present["metadata"].get("generation", 1) + 1
                changes.append(self._changes.updated(definition, record, present))
        return changes, waiting
