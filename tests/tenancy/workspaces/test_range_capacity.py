"""How full ranges get when many workspaces are made at once, on one shard and between two."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tenantry.kube.status import StatusError
from tenantry.placement.map import RangeInfo
from tenantry.placement.paths.cluster_paths import HOME_PREFIX
from tests.support.one_process import WORKSPACES, Stack, running
from tests.support.people import person

CAPACITY = 5


def tenants(stack: Stack) -> Counter[str]:
    """Tenants of each range, counted in the ranges themselves."""
    resource = stack.tenancy.definitions.logical_clusters.storage_key
    found: Counter[str] = Counter()
    for shard in stack.shards.values():
        for name, range_ in shard.cell.ranges.items():
            found[name] = sum(cluster != "root" for cluster in range_.clusters(resource))
    return found


@pytest.mark.parametrize("shards", [1, 2])
async def test_a_burst_does_not_overfill_ranges(tmp_path: Path, shards: int) -> None:
    async with running(tmp_path, shards=shards, capacity=CAPACITY) as stack:
        names = [f"w{number}" for number in range(50)]
        await asyncio.gather(*(stack.create_workspace("root", name) for name in names))
        await asyncio.gather(*(stack.ready("root", name) for name in names))
        found = tenants(stack)
        assert max(found.values()) <= CAPACITY
        assert found.total() == 50
        assert len(found) == 10, "a range is full before the next one opens"
        assert all(stack.tenancy.directory.tenants(name) == count for name, count in found.items())


async def test_parents_on_two_shards_do_not_overfill_ranges_together(tmp_path: Path) -> None:
    async with running(tmp_path, shards=2, capacity=CAPACITY) as stack:
        parents = [await stack.workspace("root", f"parent-{number}") for number in range(2 * CAPACITY)]
        assert len({stack.tenancy_of(parent).name for parent in parents}) == 2
        places = [(parent, f"w{number}") for parent in parents for number in range(3)]
        homes = [person(f"p{number}") for number in range(5)]
        await asyncio.gather(
            *(stack.create_workspace(parent, name) for parent, name in places),
            *(stack.call("GET", f"/clusters/root/{WORKSPACES}/~", who) for who in homes),
        )
        await asyncio.gather(*(stack.ready(parent, name) for parent, name in places))

        async def made() -> bool:
            answers = [await stack.call("GET", f"/clusters/root/{WORKSPACES}/~", who) for who in homes]
            return all(status == 200 for status, _ in answers)

        await stack.eventually(made)
        found = tenants(stack)
        assert max(found.values()) <= CAPACITY, found
        assert found.total() == len(parents) + len(places) + len(homes)
        for who in homes:
            assert stack.tenancy.directory.cluster_of(f"{HOME_PREFIX}:{who.name}") is not None


async def test_the_owner_of_a_full_range_refuses_another_shards_cluster(tmp_path: Path) -> None:
    async with running(tmp_path, shards=2, capacity=1) as stack:
        cluster = await stack.workspace("root", "first")
        scheduler = stack.tenancy_of(cluster).scheduler
        scheduler.admit(cluster)
        with pytest.raises(StatusError, match="is full") as refused:
            scheduler.admit(cluster[:4] + "0" * 12)
        assert refused.value.code == 429


async def test_no_header_of_a_client_goes_beyond_a_ranges_capacity(tmp_path: Path) -> None:
    async with running(tmp_path, shards=2, capacity=1) as stack:
        cluster = await stack.workspace("root", "first")
        place = f"/clusters/{cluster[:4]}{'0' * 12}/apis/core.kcp.io/v1alpha1/logicalclusters"
        body = {"apiVersion": "core.kcp.io/v1alpha1", "kind": "LogicalCluster", "metadata": {"name": "cluster"}}
        stack.tenancy_of(cluster).scheduler.admit(cluster)
        status, answer = await stack.call("POST", place, body=body, x_tenantry_beyond_capacity="true")
        assert (status, answer["reason"]) == (429, "TooManyRequests")


async def far_range(stack: Stack) -> RangeInfo:
    """A range with one workspace and room for one more, which another shard owns than the one that places root's workspaces."""
    for number in range(2 * CAPACITY):
        cluster = await stack.workspace("root", f"first-{number}")
        info = stack.tenancy.directory.range_of(cluster)
        assert info is not None
        if stack.tenancy_of(cluster) is not stack.tenancy and stack.tenancy.directory.tenants(info.name) == 1:
            return info
    raise AssertionError("all ranges are owned by one shard")


async def test_a_cluster_that_came_and_went_takes_no_place(tmp_path: Path) -> None:
    async with running(tmp_path, shards=2, capacity=2) as stack:
        info = await far_range(stack)
        for _ in range(3):
            assert info.holds(await stack.workspace("root", "passing"))
            status, _ = await stack.call("DELETE", f"/clusters/root/{WORKSPACES}/passing")
            assert status == 200
            await stack.gone("root", "passing")


async def test_who_is_refused_looks_elsewhere(tmp_path: Path) -> None:
    """The owner knows of a cluster that the placing shard does not know yet."""
    async with running(tmp_path, shards=2, capacity=2) as stack:
        info = await far_range(stack)
        stack.tenancy_of(info.start).scheduler.admit(info.start + "0" * 13)
        assert not info.holds(await stack.workspace("root", "second"))


async def test_a_range_chosen_by_name_takes_more_than_its_capacity(tmp_path: Path) -> None:
    async with running(tmp_path, shards=2, capacity=2) as stack:
        info = await far_range(stack)
        there = {"selector": {"matchLabels": {"name": info.name}}}
        for number in range(3):
            assert info.holds(await stack.workspace("root", f"wanted-{number}", location=there))
        assert stack.tenancy.directory.tenants(info.name) == 4
        nowhere = {"selector": {"matchLabels": {"region": "nowhere"}}}
        assert [stack.tenancy.scheduler.is_by_name(location) for location in (there, nowhere, {}, None)] == [
            True,
            False,
            False,
            False,
        ]
