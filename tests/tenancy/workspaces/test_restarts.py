"""A process that ends between any two commits of a workspace's life leaves nothing behind that the next one does not finish."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from tenantry.base.cache import caches
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Compare, Delete, Put
from tenantry.tenancy.catalog_copies import ENDED
from tests.support.one_process import WORKSPACES, Stack, new_cell, running
from tests.support.people import person

COMMITS_MAX = 40
PARENT = f"/clusters/root/{WORKSPACES}"
Work = Callable[[Stack], Awaitable[None]]


class RecordedStore(MemoryStore):
    """Keeps what it held after each commit while it is told to: what a process that is killed then leaves behind."""

    def __init__(self) -> None:
        super().__init__(new_cell())
        self.left_behind: list[MemoryStore] | None = None

    async def commit(self, compares: Sequence[Compare], puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
        before = self._revision
        revision = await super().commit(compares, puts, deletes)
        if self.left_behind is not None and self._revision > before:
            self.left_behind.append(self.copied())
        return revision

    def copied(self) -> MemoryStore:
        """Another store that holds the same, with the same past and the same leases."""
        copied = MemoryStore(self.cell)
        for name in ("_revision", "_compacted", "_last_lease"):
            setattr(copied, name, getattr(self, name))
        for name in ("_kvs", "_keys", "_log", "_lease_of"):
            setattr(copied, name, copy(getattr(self, name)))
        for lease, ttl_seconds in self._leases._ttls.items():
            copied._leases.add(lease, ttl_seconds)
        return copied


def strays(stack: Stack) -> list[str]:
    """Clusters that hold something and belong to nobody."""
    found = []
    for shard in stack.shards.values():
        for range_ in shard.cell.ranges.values():
            tenants = [c for c in range_.clusters() if c not in ("root", range_.start) and not c.startswith("system:")]
            found += [c for c in tenants if not stack.tenancy.directory.knows(c)]
    return found


async def cleaned_up(stack: Stack) -> None:
    async def check() -> bool:
        news = [shard.tenancy.catalog.list(ENDED) for shard in stack.shards.values()]
        return not strays(stack) and not any(news)

    await stack.eventually(check)


async def left_behind(keys: Path, prepare: Work, work: Work, **shape: Any) -> list[MemoryStore]:
    """What each end leaves behind, from the one before the work's first commit to the one after its last."""
    store = RecordedStore()
    async with running(keys, store=store, **shape) as stack:
        await prepare(stack)
        store.left_behind = [store.copied()]
        await work(stack)
        found, store.left_behind = store.left_behind, None
    assert 1 < len(found) <= COMMITS_MAX
    return found


@asynccontextmanager
async def after(keys: Path, store: MemoryStore, **shape: Any) -> AsyncIterator[Stack]:
    """A process that begins with what another one left. It remembers nothing of those before, which had the same versions."""
    for cache in caches():
        cache.clear()
    async with running(keys, store=store, **shape) as stack:
        yield stack


@pytest.mark.parametrize("remote", [False, True])
async def test_creation(tmp_path: Path, remote: bool) -> None:
    shape: dict[str, Any] = {"shards": 2, "capacity": 1} if remote else {}

    async def prepare(stack: Stack) -> None:
        if remote:
            await stack.workspace("root", "first")

    async def create(stack: Stack) -> None:
        await stack.workspace("root", "one")

    for store in await left_behind(tmp_path, prepare, create, **shape):
        async with after(tmp_path, store, **shape) as stack:
            if (await stack.call("GET", f"{PARENT}/one"))[0] == 404:
                await stack.create_workspace("root", "one")
            found = await stack.ready("root", "one")
            cluster = found["spec"]["cluster"]
            assert (await stack.call("GET", "/clusters/root:one/api/v1/namespaces/default"))[0] == 200
            assert (stack.tenancy_of(cluster) is not stack.tenancy) is remote
            await cleaned_up(stack)


@pytest.mark.parametrize("remote", [False, True])
async def test_deletion(tmp_path: Path, remote: bool) -> None:
    shape: dict[str, Any] = {"shards": 2, "capacity": 1} if remote else {}
    clusters: list[str] = []

    async def prepare(stack: Stack) -> None:
        if remote:
            await stack.workspace("root", "first")
        clusters.append(await stack.workspace("root", "one"))
        clusters.append(await stack.workspace(clusters[0], "child"))

    async def delete(stack: Stack) -> None:
        assert (await stack.call("DELETE", f"{PARENT}/one"))[0] == 200
        await stack.gone("root", "one")
        await cleaned_up(stack)

    for store in await left_behind(tmp_path, prepare, delete, **shape):
        async with after(tmp_path, store, **shape) as stack:
            await stack.call("DELETE", f"{PARENT}/one")
            await stack.gone("root", "one")
            for gone in clusters:
                assert not list(stack.tenancy_of(gone).cell.range_of(gone).resources(gone))
            await cleaned_up(stack)
            assert await stack.workspace("root", "one") != clusters[0]


async def test_a_home(tmp_path: Path) -> None:
    who = person("ada")
    shape: dict[str, Any] = {"shards": 2, "capacity": 1}

    async def prepare(stack: Stack) -> None:
        await stack.workspace("root", "first")

    for store in await left_behind(tmp_path, prepare, _home, **shape):
        async with after(tmp_path, store, **shape) as stack:
            await _home(stack)
            assert (await stack.call("GET", "/clusters/user:ada/api/v1/namespaces/default", who))[0] == 200
            await cleaned_up(stack)


async def _home(stack: Stack) -> None:
    async def ready() -> bool:
        return (await stack.call("GET", f"{PARENT}/~", person("ada")))[0] == 200

    await stack.eventually(ready)


async def test_the_end_of_a_cluster_reaches_a_parent_that_was_away(tmp_path: Path) -> None:
    """The cluster's shard ends it while its parent's shard takes no writes; the parent's next start finds the news."""
    store = MemoryStore(new_cell())
    async with running(tmp_path, store=store, shards=2, capacity=1) as stack:
        await stack.workspace("root", "first")
        cluster = await stack.workspace("root", "one")
        other = stack.tenancy_of(cluster)
        assert other is not stack.tenancy
        await stack.tenancy.runner.stop()
        assert (await stack.call("DELETE", f"/clusters/{cluster}/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"))[0] == 200

        async def ended() -> bool:
            return bool(other.catalog.list(ENDED)) and not list(other.cell.range_of(cluster).resources(cluster))

        await stack.eventually(ended)
        assert (await stack.call("GET", f"{PARENT}/one"))[0] == 200
    async with running(tmp_path, store=store, shards=2, capacity=1) as stack:
        await stack.gone("root", "one")
        await cleaned_up(stack)
