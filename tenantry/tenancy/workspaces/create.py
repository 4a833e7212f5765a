"""Workspaces on their parent's side: scheduled, created and, when they are deleted, handed to their logical cluster.

A workspace whose range this shard holds is made in one transaction: the Workspace's cluster and URL, the LogicalCluster and all
that it holds. In another shard's range it is two steps, idempotent by the id that the Workspace remembers: the owner of the
range is asked for the LogicalCluster and fills it itself (`lifecycle`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from tenantry.kube.objects import Object, annotations_of, is_deleting, labels_of, timestamp
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record
from tenantry.tenancy.changes import created, removed, updated
from tenantry.tenancy.directory import RangeInfo
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.reconcile import Controller, Retry
from tenantry.tenancy.types.lifecycle import INITIALIZING, READY
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.shard import RESOURCE as SHARDS
from tenantry.tenancy.workspaces.identifiers import PHASE_LABEL, base36
from tenantry.tenancy.workspaces.logical_clusters import fill, new_logical_cluster
from tenantry.tenancy.workspaces.remote import RemoteObjects
from tenantry.tenancy.workspaces.schedule import Scheduler, Unschedulable
from tenantry.tenancy.workspaces.state import (
    CLUSTER_ANNOTATION,
    INITIALIZED,
    SCHEDULED,
    SHARD_ANNOTATION,
    WORKSPACE_FINALIZER,
    mark_deleting,
    mirror,
    settle,
    without_finalizers,
)
from tenantry.tenancy.workspaces.types import ResolvedType, TypeUnresolved

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

LEGACY_SHARD_ANNOTATION = "internal.tenancy.kcp.io/shard"
REGION_LABEL = "region"
FIRST_LOOK_SECONDS = 0.02
LAST_LOOK_SECONDS = 5.0
"""How soon, and at the latest how often, a workspace whose cluster another shard holds is looked at while it changes."""


class WorkspaceController(Controller):
    """One Workspace at a time, whatever it needs next."""

    name = "workspace"
    workers = 32
    """Each waits for a commit most of the time, and a commit takes all that wait together."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._scheduler = Scheduler(host)
        self._remote = RemoteObjects(host)
        self._unschedulable: set[Key] = set()
        self._looks: dict[Key, float] = {}
        host.catalog.subscribe(SHARDS, self._shard_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (self._host.definitions.workspaces.storage_key,)

    async def reconcile(self, held: Range, key: Key) -> None:
        await self._host.cell.settled((key,))
        record = held.get(key)
        if record is None:
            self._unschedulable.discard(key)
            self._looks.pop(key, None)
            return
        workspace = orjson.loads(record.value)
        spec = workspace.get("spec") or {}
        if spec.get("mount"):
            return
        if is_deleting(workspace):
            await self._delete(key, record, workspace)
        elif not spec.get("cluster"):
            await self._create(key, record, workspace)
        else:
            await self._follow(key, record, workspace, spec["cluster"])

    async def _create(self, key: Key, record: Record, workspace: Object) -> None:
        host = self._host
        reference = (workspace.get("spec") or {}).get("type") or {}
        path = f"{host.directory.path_of(key.cluster) or key.cluster}:{key.name}"
        try:
            resolved = host.workspace_types.resolve(reference.get("path") or key.cluster, reference.get("name", ""))
        except TypeUnresolved as error:
            raise Retry(None, str(error)) from error
        drawn = annotations_of(workspace).get(CLUSTER_ANNOTATION, "")
        if drawn:
            info = host.directory.range_of(drawn)
            if info is None:
                raise Retry(None, f"the range of cluster {drawn} is not known")
            await self._create_remote(key, record, workspace, resolved, info, drawn, path)
            return
        try:
            info, cluster = await self._scheduler.place(workspace)
        except Unschedulable as error:
            await self._cannot(key, record, workspace, str(error))
            return
        try:
            if host.cell.owns(cluster):
                await self._create_local(key, record, workspace, resolved, info, cluster, path)
            else:
                self._take_place(workspace, info, cluster)
                await host.cell.commit([updated(host, host.definitions.workspaces, record, workspace)])
        finally:
            self._scheduler.placed(info.name)

    async def _create_local(
        self, key: Key, record: Record, workspace: Object, resolved: ResolvedType, info: RangeInfo, cluster: str, path: str
    ) -> None:
        host = self._host
        now = timestamp()
        logical_cluster = new_logical_cluster(
            workspace, key.cluster, resolved, path=path, range_name=info.name, url=host.urls.cluster(cluster)
        )
        contents = fill(host, cluster, logical_cluster, resolved.bindings, now)
        self._take_place(workspace, info, cluster)
        self._enter(workspace, cluster, path, now)
        mirror(workspace, logical_cluster, now)
        changes: list[Change] = [
            updated(host, host.definitions.workspaces, record, workspace),
            created(host, host.definitions.logical_clusters, cluster, logical_cluster, now=now),
            *contents,
        ]
        await host.cell.commit(changes)

    async def _create_remote(
        self, key: Key, record: Record, workspace: Object, resolved: ResolvedType, info: RangeInfo, cluster: str, path: str
    ) -> None:
        host = self._host
        wanted = new_logical_cluster(
            workspace, key.cluster, resolved, path=path, range_name=info.name, url=host.urls.cluster(cluster)
        )
        wanted.pop("status")
        found = await self._remote.create_logical_cluster(cluster, wanted)
        owner = (found.get("spec") or {}).get("owner") or {}
        await host.cell.settled((key,))
        if owner.get("uid") != workspace["metadata"].get("uid"):
            del workspace["metadata"]["annotations"][CLUSTER_ANNOTATION]
        else:
            self._enter(workspace, cluster, path, timestamp())
        await host.cell.commit([updated(host, host.definitions.workspaces, record, workspace)])

    async def _follow(self, key: Key, record: Record, workspace: Object, cluster: str) -> None:
        """Heals what a lost mirror left behind, and asks after clusters that other shards hold until they are Ready."""
        host = self._host
        local = host.cell.owns(cluster)
        if local:
            found = host.cell.range_of(cluster).get(_logical_cluster_key(host, cluster))
            logical_cluster = orjson.loads(found.value) if found is not None else None
        elif (workspace.get("status") or {}).get("phase") == READY:
            self._looks.pop(key, None)
            return
        else:
            logical_cluster = await self._remote.get_logical_cluster(cluster)
            await host.cell.settled((key,))
        now = timestamp()
        if logical_cluster is None:
            status = workspace.setdefault("status", {})
            conditions.mark_false(status, INITIALIZED, "WorkspaceDisappeared", "error getting logicalcluster: not found", now)
        else:
            mirror(workspace, logical_cluster, now)
        change = updated(host, host.definitions.workspaces, record, workspace)
        if change.value != record.value:
            await host.cell.commit([change])
        if not local and (workspace.get("status") or {}).get("phase") != READY:
            self._look_again(key)

    async def _delete(self, key: Key, record: Record, workspace: Object) -> None:
        metadata = workspace["metadata"]
        if without_finalizers(metadata, WORKSPACE_FINALIZER):
            return
        cluster = (workspace.get("spec") or {}).get("cluster") or annotations_of(workspace).get(CLUSTER_ANNOTATION)
        if cluster and self._host.cell.owns(cluster):
            await self._delete_local(key, cluster)
            return
        if cluster and await self._remote.delete_logical_cluster(cluster):
            self._look_again(key)
            return
        await self._host.cell.settled((key,))
        await self._host.cell.commit([removed(self._host, record)])

    async def _delete_local(self, key: Key, cluster: str) -> None:
        """Marks the LogicalCluster deleted, or ends the Workspace where there is none any more."""
        host = self._host
        cluster_key = _logical_cluster_key(host, cluster)
        await host.cell.settled((key, cluster_key))
        record, found = host.cell.range_of(key.cluster).get(key), host.cell.range_of(cluster).get(cluster_key)
        if record is None:
            return
        if found is None:
            await host.cell.commit([removed(host, record)])
            return
        if found.head.deleting:
            return
        now = timestamp()
        logical_cluster, workspace = orjson.loads(found.value), orjson.loads(record.value)
        mark_deleting(logical_cluster, now)
        settle(logical_cluster, now)
        mirror(workspace, logical_cluster, now)
        await host.cell.commit(
            [
                updated(host, host.definitions.logical_clusters, found, logical_cluster),
                updated(host, host.definitions.workspaces, record, workspace),
            ]
        )

    def _take_place(self, workspace: Object, info: RangeInfo, cluster: str) -> None:
        """Writes down the choice of the scheduler."""
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
        finalizers = metadata.get("finalizers") or []
        if WORKSPACE_FINALIZER not in finalizers:
            metadata["finalizers"] = [*finalizers, WORKSPACE_FINALIZER]

    def _enter(self, workspace: Object, cluster: str, path: str, now: str) -> None:
        """The cluster exists: the Workspace points to it and is Initializing."""
        workspace["spec"] = {**(workspace.get("spec") or {}), "cluster": cluster, "URL": self._host.urls.cluster(path)}
        metadata = workspace["metadata"]
        metadata["generation"] = metadata.get("generation", 1) + 1
        metadata["labels"] = {**labels_of(workspace), PHASE_LABEL: INITIALIZING}
        status = workspace.setdefault("status", {})
        status["phase"] = INITIALIZING
        conditions.mark_true(status, SCHEDULED, now)

    async def _cannot(self, key: Key, record: Record, workspace: Object, why: str) -> None:
        self._unschedulable.add(key)
        conditions.mark_false(workspace.setdefault("status", {}), SCHEDULED, "Unschedulable", why, timestamp())
        change = updated(self._host, self._host.definitions.workspaces, record, workspace)
        if change.value != record.value:
            await self._host.cell.commit([change])

    def _look_again(self, key: Key) -> None:
        seconds = self._looks.get(key, FIRST_LOOK_SECONDS)
        self._looks[key] = min(seconds * 2, LAST_LOOK_SECONDS)
        raise Retry(seconds, "another shard is at work on the logical cluster")

    def _shard_changed(self, *_: object) -> None:
        waiting, self._unschedulable = self._unschedulable, set()
        for key in waiting:
            self.enqueue(key)


@lru_cache(maxsize=1024)
def _legacy_shard(name: str) -> str:
    return base36(hashlib.sha224(name.encode()).digest())[:8]


def _logical_cluster_key(host: Host, cluster: str) -> Key:
    return Key(cluster, host.definitions.logical_clusters.storage_key, "", NAME)
