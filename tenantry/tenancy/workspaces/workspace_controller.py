"""The controller of Workspaces: it schedules them, creates their logical clusters, and deletes these with them.

If this shard owns the chosen range, one transaction writes the Workspace's cluster and URL, the LogicalCluster and its
contents.

If another shard owns the range, there are two steps. The first writes the chosen cluster id to the Workspace, so that a
repeated step creates nothing twice. The second asks the owner of the range to create the LogicalCluster. The owner creates the
contents and patches the status of the Workspace (`logical_cluster_controller`). When the LogicalCluster is deleted, the owner
writes a catalog entry (`tenantry.tenancy.catalog_copies.ENDED`), so that no side has to poll, even if the other one was down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import orjson

from tenantry.base.cache import cached
from tenantry.controllers.controller import Retry
from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.objects import Object, annotations_of, finalizers_of, is_deleting, labels_of, timestamp
from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog
from tenantry.placement.map import RangeInfo
from tenantry.placement.paths.directory import Directory
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key, catalog_key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record
from tenantry.storage.store import Delete
from tenantry.tenancy.catalog_copies import ENDED
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.resources import SHARDS
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.phase_fields import INITIALIZING, READY
from tenantry.tenancy.types.workspace import CLUSTER_ANNOTATION
from tenantry.tenancy.well_known import PHASE_LABEL, SHARD_ANNOTATION
from tenantry.tenancy.workspaces.identifiers import base36
from tenantry.tenancy.workspaces.logical_cluster_deletion import without_workspace_finalizer
from tenantry.tenancy.workspaces.new_logical_cluster import ClusterContents, new_logical_cluster
from tenantry.tenancy.workspaces.remote_objects import RemoteObjects
from tenantry.tenancy.workspaces.scheduler import Scheduler, Unschedulable
from tenantry.tenancy.workspaces.state import (
    INITIALIZED,
    SCHEDULED,
    URLS_NOT_READY,
    WORKSPACE_FINALIZER,
    mark_deleting,
    mirror,
    set_phase,
    without_finalizers,
    without_urls,
)
from tenantry.tenancy.workspaces.workspace_types import ResolvedType, TypeUnresolved, WorkspaceTypes

LEGACY_SHARD_ANNOTATION = "internal.tenancy.kcp.io/shard"
REGION_LABEL = "region"


class WorkspaceController(ObjectController):
    """Does the next step for one Workspace."""

    name = "workspace"
    workers = 32
    """Workers mostly wait for commits, and one commit takes the writes of all of them."""

    def __init__(
        self,
        *,
        cell: Cell,
        catalog: Catalog,
        directory: Directory,
        definitions: SystemDefinitions,
        workspace_types: WorkspaceTypes,
        scheduler: Scheduler,
        urls: Urls,
        changes: Changes,
        remote: RemoteObjects,
        contents: ClusterContents,
    ) -> None:
        self._contents = contents
        self._cell = cell
        self._catalog = catalog
        self._directory = directory
        self._definitions = definitions
        self._workspace_types = workspace_types
        self._urls = urls
        self._changes = changes
        self._scheduler = scheduler
        self._remote = remote
        self._unschedulable: set[Key] = set()
        self._to_enqueue: set[Key] = set()
        """The keys of `_unschedulable` that the next listing enqueues."""
        self._deletion_requested: dict[Key, str] = {}
        """Workspace → its uid, once its LogicalCluster on another shard was asked to go. A new Workspace may have the same
        name."""
        self._catalog.subscribe(SHARDS, self._shard_changed)
        self._catalog.subscribe(ENDED, self._cluster_ended)

    @property
    def resources(self) -> Sequence[str]:
        return (self._definitions.workspaces.storage_key,)

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        yield from super().initial_keys(range_)
        resource = self._definitions.workspaces.storage_key
        for cluster, names in self._catalog.names(ENDED):
            if cluster in range_:
                yield from (Key(cluster, resource, "", name) for name in names)

    def released(self, range_: Range) -> None:
        self._unschedulable = {key for key in self._unschedulable if key.cluster not in range_}
        self._deletion_requested = {key: uid for key, uid in self._deletion_requested.items() if key.cluster not in range_}

    async def reconcile(self, range_: Range, key: Key) -> None:
        await self._cell.writes_done((key,))
        record = range_.get(key)
        if record is None:
            self._unschedulable.discard(key)
            self._deletion_requested.pop(key, None)
        ended = self._catalog.get(ENDED, key.cluster, key.name)
        if ended is not None:
            await self._end(key, record, ended)
            return
        if record is None:
            return
        workspace = orjson.loads(record.value)
        spec = workspace.get("spec") or {}
        if spec.get("mount") and not (spec.get("cluster") or annotations_of(workspace).get(CLUSTER_ANNOTATION)):
            return
        if is_deleting(workspace):
            await self._delete(key, record, workspace)
        elif not spec.get("cluster"):
            await self._create(key, record, workspace)
        else:
            await self._reconcile_created(key, record, workspace, spec["cluster"])

    async def _create(self, key: Key, record: Record, workspace: Object) -> None:
        reference = (workspace.get("spec") or {}).get("type") or {}
        path = f"{self._directory.path_of(key.cluster) or key.cluster}:{key.name}"
        try:
            resolved = self._workspace_types.resolve(reference.get("path") or key.cluster, reference.get("name", ""))
        except TypeUnresolved as error:
            raise Retry(None, str(error)) from error
        scheduled = annotations_of(workspace).get(CLUSTER_ANNOTATION, "")
        if scheduled:
            info = self._directory.range_of(scheduled)
            if info is None:
                raise Retry(None, f"the range of cluster {scheduled} is not known")
            await self._create_remote(key, record, workspace, resolved, info, scheduled, path)
            return
        try:
            info, cluster = await self._scheduler.place((workspace.get("spec") or {}).get("location"))
        except Unschedulable as error:
            await self._mark_unschedulable(key, record, workspace, str(error))
            return
        try:
            if self._cell.owns(cluster):
                await self._create_local(key, record, workspace, resolved, info, cluster, path)
            else:
                self._set_placement(workspace, info, cluster)
                await self._cell.commit([self._changes.updated(self._definitions.workspaces, record, workspace)])
        finally:
            self._scheduler.placed(cluster)

    async def _create_local(
        self, key: Key, record: Record, workspace: Object, resolved: ResolvedType, info: RangeInfo, cluster: str, path: str
    ) -> None:
        now = timestamp()
        logical_cluster = new_logical_cluster(
            workspace, key.cluster, resolved, path=path, range_name=info.name, url=self._urls.cluster(cluster)
        )
        missing = self._workspace_types.unpublished(logical_cluster["spec"], info.name)
        if missing:
            why = without_urls(missing, info.name)
            status = workspace.setdefault("status", {})
            conditions.mark_false(status, INITIALIZED, URLS_NOT_READY, why, now, severity=conditions.INFO)
            change = self._changes.updated(self._definitions.workspaces, record, workspace)
            if change.value != record.value:
                await self._cell.commit([change])
            raise Retry(None, why)
        contents = self._contents.fill(cluster, logical_cluster, resolved.bindings, now)
        self._set_placement(workspace, info, cluster)
        self._set_initializing(workspace, cluster, path, now)
        mirror(workspace, logical_cluster, now)
        changes: list[Change] = [
            self._changes.updated(self._definitions.workspaces, record, workspace),
            self._changes.created(self._definitions.logical_clusters, cluster, logical_cluster, now=now),
            *contents,
        ]
        await self._cell.commit(changes)

    async def _create_remote(
        self, key: Key, record: Record, workspace: Object, resolved: ResolvedType, info: RangeInfo, cluster: str, path: str
    ) -> None:
        wanted = new_logical_cluster(
            workspace, key.cluster, resolved, path=path, range_name=info.name, url=self._urls.cluster(cluster)
        )
        wanted.pop("status")
        by_name = self._scheduler.is_by_name((workspace.get("spec") or {}).get("location"))
        try:
            found = await self._remote.create_logical_cluster(cluster, wanted, beyond_capacity=by_name)
        except StatusError as error:
            if error.reason != "TooManyRequests":
                raise
            self._scheduler.refused(info.name)
            found = None
        await self._cell.writes_done((key,))
        if found is not None and _is_owned(found, workspace):
            self._set_initializing(workspace, cluster, path, timestamp())
        else:
            # The range is full, or the id is taken: schedule again, with another id.
            del workspace["metadata"]["annotations"][CLUSTER_ANNOTATION]
        await self._cell.commit([self._changes.updated(self._definitions.workspaces, record, workspace)])

    async def _reconcile_created(self, key: Key, record: Record, workspace: Object, cluster: str) -> None:
        """Brings a Workspace whose cluster exists up to date: its status, and the finalizer without which the cluster would
        outlive it.

        The status of a cluster on another shard is read until the Workspace is Ready: it may have changed before the other
        shard could patch the Workspace. After that, the other shard patches it.
        """
        local = self._cell.owns(cluster)
        has_finalizer = WORKSPACE_FINALIZER in finalizers_of(workspace)
        _add_finalizer(workspace)
        if local:
            found = self._cell.range_of(cluster).get(_logical_cluster_key(self._definitions, cluster))
            logical_cluster = orjson.loads(found.value) if found is not None else None
        elif (workspace.get("status") or {}).get("phase") == READY:
            if not has_finalizer:
                await self._cell.commit([self._changes.updated(self._definitions.workspaces, record, workspace)])
            return
        else:
            logical_cluster = await self._remote.get_logical_cluster(cluster)
            await self._cell.writes_done((key,))
        now = timestamp()
        if logical_cluster is None:
            status = workspace.setdefault("status", {})
            conditions.mark_false(status, INITIALIZED, "WorkspaceDisappeared", "error getting logicalcluster: not found", now)
        else:
            mirror(workspace, logical_cluster, now)
        change = self._changes.updated(self._definitions.workspaces, record, workspace)
        if change.value != record.value:
            await self._cell.commit([change])

    async def _delete(self, key: Key, record: Record, workspace: Object) -> None:
        metadata = workspace["metadata"]
        if without_finalizers(metadata, WORKSPACE_FINALIZER):
            return
        cluster = (workspace.get("spec") or {}).get("cluster") or annotations_of(workspace).get(CLUSTER_ANNOTATION)
        if cluster and self._cell.owns(cluster):
            await self._delete_local(key, cluster)
            return
        if self._deletion_requested.get(key) == record.head.uid:
            return
        if cluster:
            found = await self._remote.get_logical_cluster(cluster)
            if found is not None and _is_owned(found, workspace) and await self._remote.delete_logical_cluster(cluster):
                self._deletion_requested[key] = record.head.uid
                return
        await self._cell.writes_done((key,))
        await self._cell.commit([self._changes.removed(record)])

    async def _delete_local(self, key: Key, cluster: str) -> None:
        """Marks the LogicalCluster as deleted. Removes the Workspace if the LogicalCluster does not exist or is not its own."""
        cluster_key = _logical_cluster_key(self._definitions, cluster)
        await self._cell.writes_done((key, cluster_key))
        record, found = self._cell.range_of(key.cluster).get(key), self._cell.range_of(cluster).get(cluster_key)
        if record is None:
            return
        workspace = orjson.loads(record.value)
        logical_cluster = orjson.loads(found.value) if found is not None else None
        if found is None or logical_cluster is None or not _is_owned(logical_cluster, workspace):
            await self._cell.commit([self._changes.removed(record)])
            return
        if found.head.deleting:
            return
        now = timestamp()
        mark_deleting(logical_cluster, now)
        set_phase(logical_cluster, now)
        mirror(workspace, logical_cluster, now)
        await self._cell.commit(
            [
                self._changes.updated(self._definitions.logical_clusters, found, logical_cluster),
                self._changes.updated(self._definitions.workspaces, record, workspace),
            ]
        )

    def _set_placement(self, workspace: Object, info: RangeInfo, cluster: str) -> None:
        """Writes the range and cluster id that the scheduler chose into the Workspace, in place."""
        metadata = workspace["metadata"]
        metadata["annotations"] = {
            **annotations_of(workspace),
            SHARD_ANNOTATION: info.name,
            LEGACY_SHARD_ANNOTATION: _legacy_shard(info.name),
            CLUSTER_ANNOTATION: cluster,
        }
        labels = dict(labels_of(workspace))
        region = self._scheduler.labels(info).get(REGION_LABEL)
        if region:
            labels[REGION_LABEL] = region
        metadata["labels"] = labels
        _add_finalizer(workspace)

    def _set_initializing(self, workspace: Object, cluster: str, path: str, now: str) -> None:
        """Sets spec.cluster, spec.URL and phase Initializing, in place: the cluster exists now."""
        workspace["spec"] = {**(workspace.get("spec") or {}), "cluster": cluster, "URL": self._urls.cluster(path)}
        metadata = workspace["metadata"]
        metadata["generation"] = metadata.get("generation", 1) + 1
        metadata["labels"] = {**labels_of(workspace), PHASE_LABEL: INITIALIZING}
        status = workspace.setdefault("status", {})
        status["phase"] = INITIALIZING
        conditions.mark_true(status, SCHEDULED, now)

    async def _mark_unschedulable(self, key: Key, record: Record, workspace: Object, why: str) -> None:
        self._unschedulable.add(key)
        conditions.mark_false(workspace.setdefault("status", {}), SCHEDULED, "Unschedulable", why, timestamp())
        change = self._changes.updated(self._definitions.workspaces, record, workspace)
        if change.value != record.value:
            await self._cell.commit([change])

    async def _end(self, key: Key, record: Record | None, ended: Object) -> None:
        """Removes a Workspace, and the catalog entry `ended` by which another shard reports that its logical cluster is gone."""
        ended_entry = catalog_key(ENDED, key.cluster, key.name)
        if record is None or record.head.uid != ended["uid"]:
            await self._cell.commit([], deletes=[Delete(ended_entry)])
            return
        last = without_workspace_finalizer(self._changes, self._definitions, record, orjson.loads(record.value))
        await self._cell.commit([Change(last.key, last.value, last.head, last.expected, {**last.catalog, ended_entry: None})])

    def _cluster_ended(self, _: str, parent: str, name: str, ended: Object | None) -> None:
        # Also when the entry is removed: a new Workspace of the same name may have waited for that.
        if self._definitions.complete and self._cell.owns(parent):
            self.enqueue(Key(parent, self._definitions.workspaces.storage_key, "", name))

    def _shard_changed(self, *_: object) -> None:
        waiting, self._unschedulable = self._unschedulable, set()
        if waiting:
            self._to_enqueue |= waiting
            self.enqueue_all("shards", self._take_to_enqueue)

    def _take_to_enqueue(self) -> Iterable[Key]:
        keys, self._to_enqueue = self._to_enqueue, set()
        return keys


def _add_finalizer(workspace: Object) -> None:
    """Adds the finalizer that keeps a Workspace until its logical cluster is deleted, in place."""
    finalizers = finalizers_of(workspace)
    if WORKSPACE_FINALIZER not in finalizers:
        workspace["metadata"]["finalizers"] = [*finalizers, WORKSPACE_FINALIZER]


@cached("legacy_shard_names", bytes_max=128 << 10)
def _legacy_shard(name: str) -> str:
    return base36(hashlib.sha224(name.encode()).digest())[:8]


def _is_owned(logical_cluster: Object, workspace: Object) -> bool:
    owner = (logical_cluster.get("spec") or {}).get("owner") or {}
    return bool(owner.get("uid") == workspace["metadata"].get("uid"))


def _logical_cluster_key(definitions: SystemDefinitions, cluster: str) -> Key:
    return Key(cluster, definitions.logical_clusters.storage_key, "", NAME)
