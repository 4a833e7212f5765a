"""The URLs of a range are in the status of a WorkspaceType before a workspace there waits for its controller."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.tenancy.workspaces.logical_cluster_controller import LogicalClusterController
from tenantry.tenancy.workspaces.workspace_controller import WorkspaceController
from tenantry.tenancy.workspaces.workspace_type_controller import WorkspaceTypeController
from tenantry.tenancy.workspaces.workspace_types import WorkspaceTypes
from tests.support.patience import PATIENCE_SECONDS
from tests.tenancy.open_platform import OpenPlatform, running, workspace


def urls(platform: OpenPlatform) -> str:
    found = platform.get("root", platform.tenancy.definitions.workspace_types, "custom") or {}
    return str((found.get("status") or {}).get("virtualWorkspaces") or "")


def reason(platform: OpenPlatform) -> str:
    """Why the workspace `one` is not initialized."""
    status = (platform.get("root", platform.tenancy.definitions.workspaces, "one") or {}).get("status") or {}
    return str((conditions.find(status, "WorkspaceInitialized") or {}).get("reason", ""))


@pytest.mark.parametrize("field", ["initializer", "terminator"])
@pytest.mark.parametrize("shards", [1, 2])
async def test_a_workspace_waits_for_the_urls_of_its_type(field: str, shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On two shards, its range is on another one than the type."""
    resumed, waited, early = asyncio.Event(), asyncio.Event(), []
    reconcile, unpublished = WorkspaceTypeController.reconcile, WorkspaceTypes.unpublished

    async def paused(self: WorkspaceTypeController, range_: Range, key: Key) -> None:
        if key.name == "custom":
            await resumed.wait()
        await reconcile(self, range_, key)

    def noted(self: WorkspaceTypes, spec: Object, range_name: str) -> str:
        missing = unpublished(self, spec, range_name)
        if missing:
            waited.set()
        return missing

    monkeypatch.setattr(WorkspaceTypeController, "reconcile", paused)
    monkeypatch.setattr(WorkspaceTypes, "unpublished", noted)
    async with running(shards, capacity=1) as platform:
        definitions = platform.tenancy.definitions

        def committed(_: int, changes: Sequence[Change]) -> None:
            for change in changes:
                if change.key.resource == LOGICAL_CLUSTERS and change.value is not None:
                    status = orjson.loads(change.value).get("status") or {}
                    name = platform.tenancy_of(change.key.cluster).cell.range_of(change.key.cluster).name
                    if status.get(f"{field}s") == ["root:custom"] and f"/ranges/{name}/" not in urls(platform):
                        early.append(change.key)

        for shard in platform.shards:
            shard.cell.commits.subscribe(committed)
        await platform.workspace("root", "first")
        kind: Object = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "WorkspaceType", "metadata": {"name": "custom"}}
        await platform.create("root", definitions.workspace_types, {**kind, "spec": {field: True}})
        await platform.create("root", definitions.workspaces, workspace("one", type={"name": "custom", "path": "root"}))
        await waited.wait()
        assert platform.phase("root", "one") in ("Scheduling", "Initializing") and early == []
        await platform.until(lambda: reason(platform) == "VirtualWorkspaceURLsNotReady")
        resumed.set()
        wanted = "Initializing" if field == "initializer" else "Ready"
        await platform.until(lambda: platform.phase("root", "one") == wanted)
        cluster = (platform.get("root", definitions.workspaces, "one") or {})["spec"]["cluster"]
        assert platform.tenancy_of(cluster) is platform.tenancies[-1]
        assert early == []
        await platform.until(lambda: reason(platform) == ("InitializerExists" if field == "initializer" else ""))


async def test_another_shard_learns_why_a_workspace_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although it has read the logical cluster before that was known."""
    read, told = asyncio.Event(), asyncio.Event()
    created, required = WorkspaceController._reconcile_created, LogicalClusterController._require_urls

    async def reading(self: WorkspaceController, *given: Any) -> None:
        await created(self, *given)
        read.set()

    async def late(self: LogicalClusterController, *given: Any) -> None:
        await told.wait()
        await required(self, *given)

    async def never(self: WorkspaceTypeController, range_: Range, key: Key) -> None:
        return None

    async with running(2, capacity=1) as platform:
        definitions = platform.tenancy.definitions
        await platform.workspace("root", "first")
        monkeypatch.setattr(WorkspaceController, "_reconcile_created", reading)
        monkeypatch.setattr(LogicalClusterController, "_require_urls", late)
        monkeypatch.setattr(WorkspaceTypeController, "reconcile", never)
        kind: Object = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "WorkspaceType", "metadata": {"name": "custom"}}
        await platform.create("root", definitions.workspace_types, {**kind, "spec": {"initializer": True}})
        await platform.create("root", definitions.workspaces, workspace("one", type={"name": "custom", "path": "root"}))
        await platform.until(lambda: platform.phase("root", "one") == "Initializing")
        read.clear()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await read.wait()
        assert reason(platform) != "VirtualWorkspaceURLsNotReady"
        told.set()
        await platform.until(lambda: reason(platform) == "VirtualWorkspaceURLsNotReady")


async def test_a_type_that_is_being_deleted_has_the_urls_of_new_ranges() -> None:
    """It waits for a finalizer, and workspaces of it are still there, and new ones."""
    async with running(1, capacity=1) as platform:
        definitions = platform.tenancy.definitions
        kind: Object = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "WorkspaceType"}
        metadata = {"name": "custom", "finalizers": ["example.com/wait"]}
        await platform.create("root", definitions.workspace_types, {**kind, "metadata": metadata, "spec": {"initializer": True}})
        await platform.until(lambda: urls(platform))
        await platform.delete("root", definitions.workspace_types, "custom")
        for name in ("one", "two"):
            await platform.create("root", definitions.workspaces, workspace(name, type={"name": "custom", "path": "root"}))
        await platform.until(lambda: {platform.phase("root", name) for name in ("one", "two")} == {"Initializing"})
