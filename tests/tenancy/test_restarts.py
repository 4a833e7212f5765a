"""A process that ends between any two commits of a workspace's life leaves nothing behind that the next one does not finish."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Delete, Fence, Put, Unavailable
from tenantry.tenancy.copies import ENDED
from tests.tenancy.stack import WORKSPACES, Stack, new_cell, person, running

STEPS_MAX = 40
PARENT = f"/clusters/root/{WORKSPACES}"


class MortalStore(MemoryStore):
    """Takes so many more commits and then none, as if the process that writes had been killed right after the last one."""

    def __init__(self) -> None:
        super().__init__(new_cell())
        self.left: int | None = None
        self.dead = asyncio.Event()

    def live(self) -> None:
        self.left = None
        self.dead = asyncio.Event()

    async def commit(self, fences: Sequence[Fence], puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
        if self.left is not None:
            if self.left == 0:
                self.dead.set()
                raise Unavailable("the process is dead")
            self.left -= 1
        return await super().commit(fences, puts, deletes)


def strays(stack: Stack) -> list[str]:
    """Clusters that hold something and belong to nobody."""
    found = []
    for shard in stack.shards.values():
        for held in shard.cell.ranges.values():
            tenants = [c for c in held.clusters() if c not in ("root", held.start) and not c.startswith("system:")]
            found += [c for c in tenants if not stack.host.directory.knows(c)]
    return found


async def settled(stack: Stack) -> None:
    async def check() -> bool:
        news = [shard.host.catalog.list(ENDED) for shard in stack.shards.values()]
        return not strays(stack) and not any(news)

    await stack.eventually(check)


async def dies(store: MortalStore, work: asyncio.Task[None]) -> bool:
    """True when the store's last commit came before the work was done."""
    dead = asyncio.create_task(store.dead.wait())
    done, _ = await asyncio.wait({dead, work}, return_when=asyncio.FIRST_COMPLETED)
    for task in (dead, work):
        task.cancel()
    await asyncio.gather(dead, work, return_exceptions=True)
    return work not in done or store.dead.is_set()


@pytest.mark.parametrize("remote", [False, True])
async def test_creation(tmp_path: Path, remote: bool) -> None:
    shape: dict[str, Any] = {"shards": 2, "capacity": 1} if remote else {}
    for step in range(STEPS_MAX):
        store = MortalStore()
        async with running(tmp_path, store=store, **shape) as stack:
            if remote:
                await stack.workspace("root", "first")
            store.left = step
            died = await dies(store, asyncio.create_task(_create(stack)))
        store.live()
        async with running(tmp_path, store=store, **shape) as stack:
            if (await stack.call("GET", f"{PARENT}/one"))[0] == 404:
                await stack.create_workspace("root", "one")
            found = await stack.ready("root", "one")
            cluster = found["spec"]["cluster"]
            assert (await stack.call("GET", "/clusters/root:one/api/v1/namespaces/default"))[0] == 200
            assert (stack.host_of(cluster) is not stack.host) is remote
            await settled(stack)
        if not died:
            return
    raise AssertionError("no end of commits")


async def _create(stack: Stack) -> None:
    await stack.create_workspace("root", "one")
    await stack.ready("root", "one")


@pytest.mark.parametrize("remote", [False, True])
async def test_deletion(tmp_path: Path, remote: bool) -> None:
    shape: dict[str, Any] = {"shards": 2, "capacity": 1} if remote else {}
    for step in range(STEPS_MAX):
        store = MortalStore()
        async with running(tmp_path, store=store, **shape) as stack:
            if remote:
                await stack.workspace("root", "first")
            cluster = await stack.workspace("root", "one")
            child = await stack.workspace(cluster, "child")
            store.left = step
            died = await dies(store, asyncio.create_task(_delete(stack)))
        store.live()
        async with running(tmp_path, store=store, **shape) as stack:
            await stack.call("DELETE", f"{PARENT}/one")
            await stack.gone("root", "one")
            for gone in (cluster, child):
                assert not list(stack.host_of(gone).cell.range_of(gone).resources(gone))
            await settled(stack)
            assert await stack.workspace("root", "one") != cluster
        if not died:
            return
    raise AssertionError("no end of commits")


async def _delete(stack: Stack) -> None:
    assert (await stack.call("DELETE", f"{PARENT}/one"))[0] == 200
    await stack.gone("root", "one")
    await settled(stack)


async def test_a_home(tmp_path: Path) -> None:
    who = person("ada")
    for step in range(STEPS_MAX):
        store = MortalStore()
        async with running(tmp_path, store=store, shards=2, capacity=1) as stack:
            await stack.workspace("root", "first")
            store.left = step
            died = await dies(store, asyncio.create_task(_home(stack)))
        store.live()
        async with running(tmp_path, store=store, shards=2, capacity=1) as stack:
            await _home(stack)
            assert (await stack.call("GET", "/clusters/user:ada/api/v1/namespaces/default", who))[0] == 200
            await settled(stack)
        if not died:
            return
    raise AssertionError("no end of commits")


async def _home(stack: Stack) -> None:
    async def ready() -> bool:
        return (await stack.call("GET", f"{PARENT}/~", person("ada")))[0] == 200

    await stack.eventually(ready)


async def test_the_end_of_a_cluster_reaches_a_parent_that_was_away(tmp_path: Path) -> None:
    """The cluster's shard ends it while its parent's shard takes no writes; the parent's next start finds the news."""
    store = MortalStore()
    async with running(tmp_path, store=store, shards=2, capacity=1) as stack:
        await stack.workspace("root", "first")
        cluster = await stack.workspace("root", "one")
        other = stack.host_of(cluster)
        assert other is not stack.host
        await stack.host.runner.stop()
        assert (await stack.call("DELETE", f"/clusters/{cluster}/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"))[0] == 200

        async def ended() -> bool:
            return bool(other.catalog.list(ENDED)) and not list(other.cell.range_of(cluster).resources(cluster))

        await stack.eventually(ended)
        assert (await stack.call("GET", f"{PARENT}/one"))[0] == 200
    async with running(tmp_path, store=store, shards=2, capacity=1) as stack:
        await stack.gone("root", "one")
        await settled(stack)
