"""Default APIBindings of types with `defaultAPIBindingLifecycle: Maintain`: kept as the type wants them after creation, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import orjson

from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.objects import Object, annotations_of, is_deleting, timestamp
from tenantry.storage.keys import Key
from tenantry.storage.overtaken import transact
from tenantry.storage.range import Range
from tenantry.storage.record import Change, RecordEvent
from tenantry.tenancy.changes import created, updated
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.exports.bindings import reference_of
from tenantry.tenancy.resources import API_BINDINGS, API_EXPORTS, WORKSPACE_TYPES
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.phase_fields import READY
from tenantry.tenancy.well_known import PATH_ANNOTATION
from tenantry.tenancy.workspaces.logical_clusters import default_bindings
from tenantry.tenancy.workspaces.types import DefaultBinding, TypeUnresolved

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

RECONCILED = "APIBindingsReconciled"
_MAINTAIN = "Maintain"


class MaintainController(ObjectController):
    """Looks at every Ready cluster of such a type when a type or an export changes, and at start."""

    name = "apibinding-maintain"
    workers = 4

    def __init__(self, host: Host) -> None:
        self._host = host
        self._maintained: set[tuple[str, str]] = set()
        """The types of that kind, by cluster and name."""
        for cluster, name, obj in host.catalog.each(WORKSPACE_TYPES):
            self._note(cluster, name, obj)
        host.catalog.subscribe(WORKSPACE_TYPES, self._type_changed)
        host.catalog.subscribe(API_EXPORTS, self._offer_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (self._host.definitions.logical_clusters.storage_key, API_BINDINGS)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        """A cluster that becomes Ready, and one whose bindings somebody changes."""
        if not self._maintained:
            return ()
        return (Key(event.key.cluster, self._host.definitions.logical_clusters.storage_key, "", NAME),)

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        if not self._maintained:
            return ()
        return (record.key for record in range_.each(self._host.definitions.logical_clusters.storage_key))

    def _note(self, cluster: str, name: str, obj: Object | None) -> None:
        maintained = obj is not None and (obj.get("spec") or {}).get("defaultAPIBindingLifecycle") == _MAINTAIN
        (self._maintained.add if maintained else self._maintained.discard)((cluster, name))

    def _type_changed(self, _: str, cluster: str, name: str, obj: Object | None) -> None:
        self._note(cluster, name, obj)
        self._offer_changed()

    def _offer_changed(self, *_: object) -> None:
        for range_ in self._host.cell.ranges.values():
            self.enqueue_all(("offers", range_.name), partial(self.initial_keys, range_))

    async def reconcile(self, range_: Range, key: Key) -> None:
        await transact(self._host.cell, (key,), lambda: self._changes(range_, key))

    def _changes(self, range_: Range, key: Key) -> list[Change]:
        record = range_.get(key)
        if record is None:
            return []
        logical_cluster = orjson.loads(record.value)
        status = logical_cluster.get("status") or {}
        if is_deleting(logical_cluster) or status.get("phase") != READY:
            return []
        name = self._host.workspace_types.of(key.cluster, logical_cluster)
        if name is None:
            return []
        now = timestamp()
        changes: list[Change] = []
        try:
            resolved = self._host.workspace_types.resolve(*name)
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
        change = updated(self._host, self._host.definitions.logical_clusters, record, logical_cluster)
        return [*changes, change] if change.value != record.value else changes

    def _bindings(
        self, range_: Range, cluster: str, logical_cluster: Object, maintained: tuple[DefaultBinding, ...], now: str
    ) -> tuple[list[Change], list[str]]:
        """Missing bindings made, and the claims of the others as a new binding would have them."""
        definition = self._host.definitions.api_bindings
        path = self._host.directory.path_of(cluster) or annotations_of(logical_cluster).get(PATH_ANNOTATION, "")
        wanted, waiting = default_bindings(self._host, cluster, path, maintained)
        changes: list[Change] = []
        for binding in wanted:
            record = range_.get(Key(cluster, definition.storage_key, "", binding["metadata"]["name"]))
            if record is None:
                # Unlike in a new cluster, something may be in the way: the binding controller finds out.
                binding["status"] = {}
                changes.append(created(self._host, definition, cluster, binding, now=now))
                continue
            present = orjson.loads(record.value)
            if reference_of(present) != reference_of(binding):
                # Its status, and the locks, are of another export: nobody may have another one bound in its place.
                waiting.append(f"APIBinding {record.key.name} is bound to another export")
                continue
            if not record.head.deleting and present["spec"] != binding["spec"]:
                present["spec"] = binding["spec"]
                present["metadata"]["generation"] = present["metadata"].get("generation", 1) + 1
                changes.append(updated(self._host, definition, record, present))
        return changes, waiting
