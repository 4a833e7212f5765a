"""The controller of LogicalClusters: it creates their contents, initializes them, copies their status to the Workspace, and
deletes them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import orjson

from tenantry.controllers.controller import Retry
from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.objects import Object, is_deleting, timestamp
from tenantry.placement.catalog import Catalog
from tenantry.placement.paths.directory import Directory
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record, RecordEvent
from tenantry.storage.retry_on_conflict import Attempts
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.resources import API_EXPORTS, API_RESOURCE_SCHEMAS, WORKSPACE_TYPES, WORKSPACES
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.phase_fields import INITIALIZING, SCHEDULING
from tenantry.tenancy.workspaces.logical_cluster_deletion import LogicalClusterDeletion
from tenantry.tenancy.workspaces.new_logical_cluster import ClusterContents
from tenantry.tenancy.workspaces.remote_objects import RemoteObjects
from tenantry.tenancy.workspaces.state import (
    CONTENT_DELETED,
    INITIALIZED,
    URLS_NOT_READY,
    mirror,
    owner_of,
    set_phase,
    without_urls,
)
from tenantry.tenancy.workspaces.system_initializers import SystemInitializers
from tenantry.tenancy.workspaces.workspace_types import ResolvedType, TypeUnresolved, WorkspaceTypes


class LogicalClusterController(ObjectController):
    """Does the next step for one LogicalCluster. Every change in a cluster that is being deleted, or waits for APIBindings,
    enqueues it."""

    name = "logicalcluster"
    workers = 32

    def __init__(
        self,
        *,
        cell: Cell,
        catalog: Catalog,
        directory: Directory,
        definitions: SystemDefinitions,
        workspace_types: WorkspaceTypes,
        changes: Changes,
        remote: RemoteObjects,
        contents: ClusterContents,
        initializers: SystemInitializers,
        deletion: LogicalClusterDeletion,
    ) -> None:
        self._cell = cell
        self._catalog = catalog
        self._directory = directory
        self._definitions = definitions
        self._workspace_types = workspace_types
        self._changes = changes
        self._remote = remote
        self._contents = contents
        self._initializers = initializers
        self._deletion = deletion
        self._waiting: set[str] = set()
        self._reported: dict[str, bytes] = {}
        """Cluster → fingerprint of the status that its Workspace on another shard has."""
        self._unmirrored: set[str] = set()
        self._resource = self._definitions.logical_clusters.storage_key
        for resource in (API_EXPORTS, API_RESOURCE_SCHEMAS, WORKSPACE_TYPES):
            self._catalog.subscribe(resource, self._dependency_changed)
        self._catalog.subscribe(WORKSPACES, self._workspace_changed)

    @property
    def resources(self) -> None:
        return None

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key = event.key
        if key.resource == self._resource:
            return (key,)
        if key.cluster in self._waiting:
            return (Key(key.cluster, self._resource, "", NAME),)
        return ()

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key for record in range_.each(self._resource))

    def released(self, range_: Range) -> None:
        self._waiting = {cluster for cluster in self._waiting if cluster not in range_}
        self._unmirrored = {cluster for cluster in self._unmirrored if cluster not in range_}
        self._reported = {cluster: fingerprint for cluster, fingerprint in self._reported.items() if cluster not in range_}

    def _dependency_changed(self, *_: object) -> None:
        """An export, schema or type changed, for which new clusters may wait."""
        self.enqueue_all("awaited", lambda: (Key(cluster, self._resource, "", NAME) for cluster in tuple(self._waiting)))

    def _workspace_changed(self, _: str, __: str, ___: str, copy: Object | None) -> None:
        """A Workspace of another shard may have its cluster id now: its cluster can patch its status."""
        if copy is not None and copy["cluster"] in self._unmirrored:
            self.enqueue(Key(copy["cluster"], self._resource, "", NAME))

    async def reconcile(self, range_: Range, key: Key) -> None:
        if key.name != NAME:
            return
        async for attempt in Attempts(self._cell, (key,)):
            record = range_.get(key)
            if record is None:
                self._waiting.discard(key.cluster)
                self._reported.pop(key.cluster, None)
                self._unmirrored.discard(key.cluster)
                return
            with attempt:
                await self._advance(range_, record)
                return

    async def _advance(self, range_: Range, record: Record) -> None:
        cluster = record.key.cluster
        logical_cluster = orjson.loads(record.value)
        changes: list[Change] = []
        now = timestamp()
        waiting = filled = False
        status = logical_cluster.get("status") or {}
        if not is_deleting(logical_cluster):
            if (status.get("phase") or SCHEDULING) == SCHEDULING:
                await self._require_urls(range_, record, logical_cluster, now)
                filled = True
                changes = self._contents.fill(cluster, logical_cluster, self._type_of(logical_cluster).bindings, now)
                # If the phase was reset, existing objects are not created again.
                changes = [change for change in changes if change.expected is not None or range_.get(change.key) is None]
            elif status["phase"] == INITIALIZING:
                changes, waiting = self._initializers.initialize(range_, logical_cluster, self._resolve, now)
        if waiting:
            self._waiting.add(cluster)
        if not filled:
            set_phase(logical_cluster, now)
        await self._write(record, logical_cluster, changes, now)
        if is_deleting(logical_cluster):
            await self._empty(range_, record.key)
        elif not waiting:
            self._waiting.discard(cluster)

    async def _empty(self, range_: Range, key: Key) -> None:
        """Continues the deletion of the contents. Terminators have to be removed first."""
        self._waiting.add(key.cluster)
        await self._cell.writes_done((key,))
        record = range_.get(key)
        if record is not None and (orjson.loads(record.value).get("status") or {}).get("terminators"):
            self._waiting.discard(key.cluster)
            return
        if record is None or await self._deletion.step(range_, record):
            self._waiting.discard(key.cluster)

    async def _write(self, record: Record, logical_cluster: Object, changes: list[Change], now: str) -> None:
        """Commits the LogicalCluster with `changes` and with its Workspace; if the Workspace is on another shard, patches it
        after that."""
        change = self._changes.updated(self._definitions.logical_clusters, record, logical_cluster)
        batch = list(changes)
        if change.value != record.value:
            batch.insert(0, change)
        owner = owner_of(logical_cluster)
        if owner is not None and self._cell.owns(owner[0]):
            mirrored = self._mirrored(owner, logical_cluster, now)
            if mirrored is not None:
                batch.append(mirrored)
        if batch:
            await self._cell.commit(batch)
        if owner is not None and not self._cell.owns(owner[0]):
            await self._mirror_remote(record.key.cluster, owner, logical_cluster)

    def _mirrored(self, owner: tuple[str, str], logical_cluster: Object, now: str) -> Change | None:
        definition = self._definitions.workspaces
        record = self._cell.range_of(owner[0]).get(Key(owner[0], definition.storage_key, "", owner[1]))
        if record is None:
            return None
        workspace = orjson.loads(record.value)
        if workspace["metadata"].get("uid") != logical_cluster["spec"]["owner"].get("uid"):
            return None
        if not (workspace.get("spec") or {}).get("cluster"):
            return None
        mirror(workspace, logical_cluster, now)
        change = self._changes.updated(definition, record, workspace)
        return change if change.value != record.value else None

    async def _mirror_remote(self, cluster: str, owner: tuple[str, str], logical_cluster: Object) -> None:
        """Patches the status of a Workspace on another shard, if it differs."""
        source = logical_cluster.get("status") or {}
        waits = None
        if (source.get("phase") or SCHEDULING) == SCHEDULING:
            # The parent's shard may have read this cluster before it was known why it waits.
            waits = conditions.find(source, INITIALIZED)
            if waits is None:
                return
        shown: Object = {"metadata": {}, "status": {}}
        mirror(shown, logical_cluster, timestamp())
        status = {field: shown["status"].get(field) for field in ("phase", "initializers", "terminators")}
        fingerprint = sha256(orjson.dumps([status, conditions.find(shown["status"], CONTENT_DELETED), waits])).digest()
        if self._reported.get(cluster) == fingerprint:
            return
        copy = self._directory.workspace(*owner)
        if copy is None or copy["cluster"] != cluster or copy.get("phase") == SCHEDULING:
            self._unmirrored.add(cluster)
            return
        workspace = await self._remote.get_workspace(*owner)
        if workspace is not None and (workspace.get("spec") or {}).get("cluster") == cluster:
            before = orjson.dumps(workspace.get("status"))
            mirror(workspace, logical_cluster, timestamp())
            if orjson.dumps(workspace["status"]) != before:
                status["conditions"] = workspace["status"].get("conditions")
                await self._remote.patch_workspace_status(*owner, status)
        self._reported[cluster] = fingerprint
        self._unmirrored.discard(cluster)

    async def _require_urls(self, range_: Range, record: Record, logical_cluster: Object, now: str) -> None:
        """Raises Retry while a controller does not know the URL at which this cluster will wait for it. A condition says so."""
        missing = self._workspace_types.unpublished(logical_cluster.get("spec") or {}, range_.name)
        if missing:
            self._waiting.add(record.key.cluster)
            why = without_urls(missing, range_.name)
            status = logical_cluster.setdefault("status", {})
            conditions.mark_false(status, INITIALIZED, URLS_NOT_READY, why, now, severity=conditions.INFO)
            await self._write(record, logical_cluster, [], now)
            raise Retry(None, why)

    def _type_of(self, logical_cluster: Object) -> ResolvedType:
        resolved = self._resolve(logical_cluster)
        if resolved is None:
            raise Retry(None, "the workspace type is not known here yet")
        return resolved

    def _resolve(self, logical_cluster: Object) -> ResolvedType | None:
        name = self._workspace_types.of(logical_cluster["metadata"]["annotations"]["kcp.io/cluster"], logical_cluster)
        if name is None:
            return None
        try:
            return self._workspace_types.resolve(*name)
        except TypeUnresolved:
            return None
