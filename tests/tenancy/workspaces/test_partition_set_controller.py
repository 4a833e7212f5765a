"""PartitionSets: a Partition for each combination of labels that Shards have, and no other."""

from __future__ import annotations

from typing import Any

from tenantry.kube.objects import Object
from tenantry.placement.map import RangeInfo
from tests.tenancy.open_platform import OpenPlatform, running

PLACES = {
    "eu-1": {"region": "eu", "cloud": "a"},
    "eu-2": {"region": "eu", "cloud": "a"},
    "us-1": {"region": "us", "cloud": "B"},
    "none": {"region": "us"},
}


def partition_set(**spec: Any) -> Object:
    return {"apiVersion": "topology.kcp.io/v1alpha1", "kind": "PartitionSet", "metadata": {"name": "set"}, "spec": spec}


async def with_shards(platform: OpenPlatform) -> None:
    for number, (name, labels) in enumerate(PLACES.items()):
        await platform.map.add(RangeInfo(name=name, start=f"{number}00", end=f"{number}01", shard="shard-1", labels=labels))
    await platform.until(lambda: all(platform.get("root", platform.tenancy.definitions.shards, name) for name in PLACES))


def partitions(platform: OpenPlatform) -> dict[str, Object]:
    definition = platform.tenancy.definitions.partitions
    records = platform.tenancy.cell.range_of("root").list(definition.storage_key, "root")
    return {r.key.name: platform.get("root", definition, r.key.name) or {} for r in records}


def selectors(platform: OpenPlatform) -> list[Object]:
    chosen = [p["spec"]["selector"] for p in partitions(platform).values()]
    return sorted(chosen, key=str)


def status(platform: OpenPlatform) -> Object:
    found = platform.get("root", platform.tenancy.definitions.partition_sets, "set") or {}
    return found.get("status") or {}


def condition(platform: OpenPlatform, kind: str) -> Object:
    return next((c for c in status(platform).get("conditions") or () if c["type"] == kind), {})


async def test_a_partition_for_each_combination_that_exists() -> None:
    async with running() as platform:
        await with_shards(platform)
        definitions = platform.tenancy.definitions
        await platform.create("root", definitions.partition_sets, partition_set(dimensions=["region", "cloud"]))
        await platform.until(lambda: status(platform).get("count") == 2)
        assert selectors(platform) == [
            {"matchLabels": {"cloud": "B", "region": "us"}},
            {"matchLabels": {"cloud": "a", "region": "eu"}},
        ]
        assert [condition(platform, kind)["status"] for kind in ("PartitionSetValid", "PartitionsReady")] == ["True", "True"]
        name, first = sorted(partitions(platform).items())[0]
        assert name.startswith("set-")
        owner = first["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("PartitionSet", "set", True)

        def move(obj: Object) -> Object:
            obj["metadata"]["labels"]["region"] = "asia"
            return obj

        await platform.update("root", definitions.shards, "us-1", move)
        await platform.until(lambda: any(s["matchLabels"]["region"] == "asia" for s in selectors(platform)))
        assert len(partitions(platform)) == 2, "no shard has the old combination any more"


async def test_partitions_are_kept_as_the_set_has_them() -> None:
    async with running() as platform:
        await with_shards(platform)
        definitions = platform.tenancy.definitions
        spec = {"dimensions": ["region"], "shardSelector": {"matchLabels": {"cloud": "a"}}}
        await platform.create("root", definitions.partition_sets, partition_set(**spec))
        wanted = [{"matchLabels": {"cloud": "a", "region": "eu"}}]
        await platform.until(lambda: selectors(platform) == wanted)
        (name,) = partitions(platform)

        def spoil(obj: Object) -> Object:
            obj["spec"]["selector"] = {}
            return obj

        await platform.update("root", definitions.partitions, name, spoil)
        await platform.until(lambda: selectors(platform) == wanted)
        await platform.delete("root", definitions.partitions, name)
        await platform.until(lambda: selectors(platform) == wanted)


async def test_a_set_without_dimensions_and_one_with_a_bad_selector() -> None:
    async with running() as platform:
        await with_shards(platform)
        definitions = platform.tenancy.definitions
        where = [{"key": "cloud", "operator": "Exists"}]
        await platform.create("root", definitions.partition_sets, partition_set(shardSelector={"matchExpressions": where}))
        await platform.until(lambda: selectors(platform) == [{"matchExpressions": where}])

        def break_it(obj: Object) -> Object:
            obj["spec"]["shardSelector"] = {"matchExpressions": [{"key": "cloud", "operator": "In", "values": []}]}
            return obj

        await platform.update("root", definitions.partition_sets, "set", break_it)
        await platform.until(lambda: condition(platform, "PartitionSetValid").get("reason") == "InvalidSelector")
