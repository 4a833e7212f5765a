"""The garbage collector."""

from __future__ import annotations

from tenantry.tenancy.controllers.garbage_collector import GarbageCollector
from tests.tenancy.plain_world import CLUSTER, World, config_map, definition, reference

HOLD = ["x.example/hold"]


async def test_background_takes_dependents_and_theirs() -> None:
    async with World() as world:
        top = await world.post("configmaps", config_map("top"))
        middle = await world.post("configmaps", config_map("middle", top))
        await world.post("configmaps", config_map("leaf", middle))
        await world.delete("configmaps", "top", policy="Background")
        await world.gone("configmaps", "middle")
        await world.gone("configmaps", "leaf")


async def test_orphans_lose_their_references() -> None:
    async with World() as world:
        top = await world.post("configmaps", config_map("top"))
        await world.post("configmaps", config_map("child", top))
        await world.delete("configmaps", "top", policy="Orphan")
        await world.gone("configmaps", "top")
        child = world.find("configmaps", "child")
        assert child is not None
        assert "ownerReferences" not in child["metadata"]


async def test_in_the_foreground_the_owner_waits_for_those_that_block_it() -> None:
    async with World() as world:
        top = await world.post("configmaps", config_map("top"))
        await world.post("configmaps", config_map("blocking", top, block=True, finalizers=HOLD))
        await world.post("configmaps", config_map("other", top))
        await world.delete("configmaps", "top", policy="Foreground")
        await world.gone("configmaps", "other")
        await world.until(lambda: (world.find("configmaps", "blocking") or {})["metadata"].get("deletionTimestamp"))
        await world.settled()
        assert world.find("configmaps", "top") is not None
        await world.patch("configmaps", "blocking", {"metadata": {"finalizers": None}})
        await world.gone("configmaps", "top")


async def test_an_owner_waits_no_longer_for_what_stops_blocking_it() -> None:
    async with World() as world:
        top = await world.post("configmaps", config_map("top"))
        other = await world.post("configmaps", config_map("other"))
        await world.post("configmaps", config_map("child", top, other, block=True, finalizers=HOLD))
        # It has a living owner, so it stays, and its reference to the waiting one is taken off.
        await world.delete("configmaps", "top", policy="Foreground")
        await world.gone("configmaps", "top")
        child = world.find("configmaps", "child")
        assert child is not None
        assert [ref["name"] for ref in child["metadata"]["ownerReferences"]] == ["other"]


async def test_circles_do_not_wait_for_themselves() -> None:
    async with World() as world:
        one = await world.post("configmaps", config_map("one"))
        two = await world.post("configmaps", config_map("two", one, block=True))
        await world.patch("configmaps", "one", {"metadata": {"ownerReferences": [reference(two, block=True)]}})
        await world.delete("configmaps", "one", policy="Foreground")
        await world.gone("configmaps", "one")
        await world.gone("configmaps", "two")


async def test_owners_that_are_gone_or_were_never_there() -> None:
    async with World() as world:
        stranger = config_map("nobody", uid="00000000-0000-0000-0000-000000000001")
        one, two = await world.post("configmaps", config_map("one")), await world.post("configmaps", config_map("two"))
        await world.post("configmaps", config_map("lost", stranger))
        await world.post("configmaps", config_map("of-two", one, two))
        await world.gone("configmaps", "lost")
        await world.delete("configmaps", "one")
        await world.until(lambda: len((world.find("configmaps", "of-two") or {})["metadata"]["ownerReferences"]) == 1)
        await world.delete("configmaps", "two")
        await world.gone("configmaps", "of-two")


async def test_an_owner_in_another_namespace_is_none_and_a_cluster_scoped_one_is() -> None:
    async with World() as world:
        await world.namespace(CLUSTER, "other")
        far = await world.post("configmaps", config_map("far"), "other")
        namespace = {"apiVersion": "v1", **(world.find("namespaces", "other", "") or {}), "kind": "Namespace"}
        await world.post("configmaps", config_map("kept", namespace))
        await world.post("configmaps", config_map("lost", far))
        await world.gone("configmaps", "lost")
        await world.settled()
        assert world.find("configmaps", "kept") is not None


async def test_a_namespaced_owner_of_what_has_no_namespace_means_nothing() -> None:
    async with World() as world:
        owner = await world.post("configmaps", config_map("owner"))
        await world.delete("configmaps", "owner")
        role = {"metadata": {"name": "kept", "ownerReferences": [reference(owner)]}, "rules": []}
        await world.post("clusterroles", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", **role}, "")
        await world.settled()
        assert world.find("clusterroles", "kept", "") is not None


async def test_what_has_an_owner_of_an_unknown_type_is_looked_at_when_the_type_comes() -> None:
    async with World() as world:
        owner = {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "w", "uid": "u-1"}}
        await world.post("configmaps", config_map("waits", owner))
        await world.settled()
        assert world.find("configmaps", "waits") is not None
        await world.post("customresourcedefinitions", definition("widgets", "Widget"), "")
        await world.gone("configmaps", "waits")


async def test_nothing_is_kept_of_what_is_gone_or_lost() -> None:
    async with World() as world:
        collector = next(c for c in world.tenancy.runner.controllers if isinstance(c, GarbageCollector))
        top = await world.post("configmaps", config_map("top"))
        child = await world.post("configmaps", config_map("child", top, block=True, finalizers=HOLD))
        await world.post("configmaps", config_map("unknown", {**top, "kind": "Nothing"}))
        await world.delete("configmaps", "top", policy="Foreground")
        await world.until(lambda: (world.find("configmaps", "child") or {})["metadata"].get("deletionTimestamp"))
        await world.settled()
        tables = (collector._dependents, collector._waiting, collector._unresolved)
        assert all(tables)
        assert child["metadata"]["uid"]
        collector.released(world.cell.ranges["root"])
        assert not any(tables)
