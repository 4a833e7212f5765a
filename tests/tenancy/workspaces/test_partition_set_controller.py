"""PartitionSets: a Partition for each combination of labels that Shards have, and no other."""

from __future__ import annotations

from typing import Any

from tenantry.kube.objects import Object
from tenantry.placement.map import RangeInfo
from tests.tenancy.world import World, running

PLACES = {
    "eu-1": {"region": "eu", "cloud": "a"},
    "eu-2": {"region": "eu", "cloud": "a"},
    "us-1": {"region": "us", "cloud": "B"},
    "none": {"region": "us"},
}


def partition_set(**spec: Any) -> Object:
    return {"apiVersion": "topology.kcp.io/v1alpha1", "kind": "PartitionSet", "metadata": {"name": "set"}, "spec": spec}


async def with_shards(world: World) -> None:
    for number, (name, labels) in enumerate(PLACES.items()):
        await world.registry.add(RangeInfo(name=name, start=f"{number}00", end=f"{number}01", shard="shard-1", labels=labels))
    await world.until("root", lambda: all(world.get("root", world.tenancy.definitions.shards, name) for name in PLACES))


def partitions(world: World) -> dict[str, Object]:
    definition = world.tenancy.definitions.partitions
    records = world.tenancy.cell.range_of("root").list(definition.storage_key, "root")
    return {r.key.name: world.get("root", definition, r.key.name) or {} for r in records}


def selectors(world: World) -> list[Object]:
    chosen = [p["spec"]["selector"] for p in partitions(world).values()]
    return sorted(chosen, key=str)


def status(world: World) -> Object:
    found = world.get("root", world.tenancy.definitions.partition_sets, "set") or {}
    return found.get("status") or {}


def condition(world: World, kind: str) -> Object:
    return next((c for c in status(world).get("conditions") or () if c["type"] == kind), {})


async def test_a_partition_for_each_combination_that_exists() -> None:
    async with running() as world:
        await with_shards(world)
        definitions = world.tenancy.definitions
        await world.create("root", definitions.partition_sets, partition_set(dimensions=["region", "cloud"]))
        await world.until("root", lambda: status(world).get("count") == 2)
        assert selectors(world) == [
            {"matchLabels": {"cloud": "B", "region": "us"}},
            {"matchLabels": {"cloud": "a", "region": "eu"}},
        ]
        assert [condition(world, kind)["status"] for kind in ("PartitionSetValid", "PartitionsReady")] == ["True", "True"]
        name, first = sorted(partitions(world).items())[0]
        assert name.startswith("set-")
        owner = first["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("PartitionSet", "set", True)

        def move(obj: Object) -> Object:
            obj["metadata"]["labels"]["region"] = "asia"
            return obj

        await world.update("root", definitions.shards, "us-1", move)
        await world.until("root", lambda: any(s["matchLabels"]["region"] == "asia" for s in selectors(world)))
        assert len(partitions(world)) == 2, "no shard has the old combination any more"


async def test_partitions_are_kept_as_the_set_has_them() -> None:
    async with running() as world:
        await with_shards(world)
        definitions = world.tenancy.definitions
        spec = {"dimensions": ["region"], "shardSelector": {"matchLabels": {"cloud": "a"}}}
        await world.create("root", definitions.partition_sets, partition_set(**spec))
        wanted = [{"matchLabels": {"cloud": "a", "region": "eu"}}]
        await world.until("root", lambda: selectors(world) == wanted)
        (name,) = partitions(world)

        def spoil(obj: Object) -> Object:
            obj["spec"]["selector"] = {}
            return obj

        await world.update("root", definitions.partitions, name, spoil)
        await world.until("root", lambda: selectors(world) == wanted)
        await world.delete("root", definitions.partitions, name)
        await world.until("root", lambda: selectors(world) == wanted)


async def test_a_set_without_dimensions_and_one_with_a_bad_selector() -> None:
    async with running() as world:
        await with_shards(world)
        definitions = world.tenancy.definitions
        where = [{"key": "cloud", "operator": "Exists"}]
        await world.create("root", definitions.partition_sets, partition_set(shardSelector={"matchExpressions": where}))
        await world.until("root", lambda: selectors(world) == [{"matchExpressions": where}])

        def break_it(obj: Object) -> Object:
            obj["spec"]["shardSelector"] = {"matchExpressions": [{"key": "cloud", "operator": "In", "values": []}]}
            return obj

        await world.update("root", definitions.partition_sets, "set", break_it)
        await world.until("root", lambda: condition(world, "PartitionSetValid").get("reason") == "InvalidSelector")
