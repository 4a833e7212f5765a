"""Counts: one computed object for each consumer."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.tenancy.computed import collection
from tenantry.virtual.declared import counts as counts_module
from tenantry.virtual.declared import declared_view
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard
from tests.virtual.apiexport.ranch import STRANGER
from tests.virtual.declared.observatory import CONFIG_MAPS, FAR, NEAR, READER, base, config_map, declare, observatory, relabel
from tests.virtual.watching import Watch

COUNTS: Object = {
    "group": "reports.example.com",
    "resource": "configmapcounts",
    "kind": "ConfigMapCount",
    "of": {**CONFIG_MAPS, "labelSelector": {"matchLabels": {"published": "yes"}}},
}


def counts(cluster: str = "*", name: str = "root") -> str:
    return f"{base(cluster, name)}/apis/reports.example.com/v1/configmapcounts"


async def counted(shard: ServedShard, path: str) -> dict[str, Any]:
    status, found = await shard.call("GET", path, READER)
    assert status == 200, found
    assert all(each["metadata"]["annotations"]["kcp.io/cluster"] == each["cluster"] for each in found["items"])
    return {each["metadata"]["name"]: each["count"] for each in found["items"]}


async def test_one_for_each_consumer() -> None:
    async with ServedShard() as shard:
        await observatory(shard, counts=[COUNTS])
        assert await counted(shard, counts()) == {NEAR: 0}
        await config_map(shard, "one", published="yes")
        await config_map(shard, "two", published="yes")
        await config_map(shard, "three")
        assert await counted(shard, counts()) == {NEAR: 2}
        assert await counted(shard, counts(name="range-2")) == {FAR: 0}
        assert await counted(shard, counts(NEAR)) == {NEAR: 2}
        status, one = await shard.call("GET", f"{counts(NEAR)}/{NEAR}", READER)
        assert (status, one["kind"], one["count"]) == (200, "ConfigMapCount", 2)
        assert (await shard.call("GET", counts(STRANGER), READER))[0] == 403
        assert (await shard.call("GET", counts(), person("stranger")))[0] == 403
        status, answer = await shard.call("DELETE", f"{counts(NEAR)}/{NEAR}", MASTER)
        assert status == 405, answer


async def test_a_watch_of_counts() -> None:
    async with ServedShard() as shard:
        await observatory(shard, counts=[COUNTS])
        async with Watch(shard, counts(), READER) as watch:
            assert await watch.next() == ("ADDED", NEAR)
            await config_map(shard, "one", published="yes")
            assert await watch.next() == ("MODIFIED", NEAR)
            await relabel(shard, "one", published="no")
            assert await watch.next() == ("MODIFIED", NEAR)
            assert [event["object"]["count"] for event in watch.events if event["type"] != "BOOKMARK"] == [0, 1, 0]
            binding = f"/clusters/{NEAR}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys"
            assert (await shard.call("DELETE", binding, MASTER))[0] == 200
            assert await watch.next() == ("DELETED", NEAR)


async def test_a_filter_and_acceptance_count() -> None:
    async with ServedShard() as shard:
        by_size = {**COUNTS, "of": {**CONFIG_MAPS, "filter": "size(object.data.key) > 3"}}
        await observatory(shard, counts=[by_size])
        await config_map(shard, "long", data={"key": "long enough"})
        await config_map(shard, "short", data={"key": "abc"})
        await config_map(shard, "other", data={"another": "long enough"})
        assert await counted(shard, counts()) == {NEAR: 1}

        def edit(binding: Object) -> None:
            binding["spec"]["permissionClaims"][0]["verbs"] = ["get"]

        await shard.edit(NEAR, "apis.kcp.io", "apibindings", "cowboys", edit)
        assert await counted(shard, counts()) == {NEAR: 0}


async def test_a_count_is_not_mixed_with_a_real_type() -> None:
    async with ServedShard() as shard:
        await observatory(shard)
        await declare(shard, counts=[{**COUNTS, "group": "wild.west", "resource": "cowboys"}], resources=[CONFIG_MAPS])
        assert (await shard.call("GET", f"{base()}/apis/wild.west/v1/cowboys", READER))[0] == 404


async def test_writes_without_end_do_not_make_it_count_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(collection, "PAUSE_TIMES", 1e9)
    computed = 0
    own = counts_module.counted

    def count(*given: Any) -> Any:
        nonlocal computed
        computed += 1
        return own(*given)

    monkeypatch.setattr(declared_view, "counted", count)
    async with ServedShard() as shard:
        await observatory(shard, counts=[COUNTS])
        async with Watch(shard, counts(), READER) as watch:
            assert await watch.next() == ("ADDED", NEAR)
            computed = 0
            for number in range(40):
                await config_map(shard, f"n{number}", published="yes")
            while watch.events[-1]["object"]["count"] < 40:
                assert await watch.next() == ("MODIFIED", NEAR)
            assert computed < 20
