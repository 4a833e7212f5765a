"""The garbage collector."""

from __future__ import annotations

from tenantry.tenancy.controllers.garbage_collector import GarbageCollector
from tests.support.clusters import CLUSTER, ServedCluster, config_map, definition, reference

HOLD = ["x.example/hold"]


async def test_background_takes_dependents_and_theirs() -> None:
    async with ServedCluster() as shard:
        top = await shard.post("configmaps", config_map("top"))
        middle = await shard.post("configmaps", config_map("middle", top))
        await shard.post("configmaps", config_map("leaf", middle))
        await shard.delete("configmaps", "top", policy="Background")
        await shard.gone("configmaps", "middle")
        await shard.gone("configmaps", "leaf")


async def test_orphans_lose_their_references() -> None:
    async with ServedCluster() as shard:
        top = await shard.post("configmaps", config_map("top"))
        await shard.post("configmaps", config_map("child", top))
        await shard.delete("configmaps", "top", policy="Orphan")
        await shard.gone("configmaps", "top")
        child = shard.find("configmaps", "child")
        assert child is not None
        assert "ownerReferences" not in child["metadata"]


async def test_in_the_foreground_the_owner_waits_for_those_that_block_it() -> None:
    async with ServedCluster() as shard:
        top = await shard.post("configmaps", config_map("top"))
        await shard.post("configmaps", config_map("blocking", top, block=True, finalizers=HOLD))
        await shard.post("configmaps", config_map("other", top))
        await shard.delete("configmaps", "top", policy="Foreground")
        await shard.gone("configmaps", "other")
        await shard.until(lambda: (shard.find("configmaps", "blocking") or {})["metadata"].get("deletionTimestamp"))
        await shard.idle()
        assert shard.find("configmaps", "top") is not None
        await shard.patch("configmaps", "blocking", {"metadata": {"finalizers": None}})
        await shard.gone("configmaps", "top")


async def test_an_owner_waits_no_longer_for_what_stops_blocking_it() -> None:
    async with ServedCluster() as shard:
        top = await shard.post("configmaps", config_map("top"))
        other = await shard.post("configmaps", config_map("other"))
        await shard.post("configmaps", config_map("child", top, other, block=True, finalizers=HOLD))
        # It has a living owner, so it stays, and its reference to the waiting one is taken off.
        await shard.delete("configmaps", "top", policy="Foreground")
        await shard.gone("configmaps", "top")
        child = shard.find("configmaps", "child")
        assert child is not None
        assert [ref["name"] for ref in child["metadata"]["ownerReferences"]] == ["other"]


async def test_circles_do_not_wait_for_themselves() -> None:
    async with ServedCluster() as shard:
        one = await shard.post("configmaps", config_map("one"))
        two = await shard.post("configmaps", config_map("two", one, block=True))
        await shard.patch("configmaps", "one", {"metadata": {"ownerReferences": [reference(two, block=True)]}})
        await shard.delete("configmaps", "one", policy="Foreground")
        await shard.gone("configmaps", "one")
        await shard.gone("configmaps", "two")


async def test_owners_that_are_gone_or_were_never_there() -> None:
    async with ServedCluster() as shard:
        stranger = config_map("nobody", uid="00000000-0000-0000-0000-000000000001")
        one, two = await shard.post("configmaps", config_map("one")), await shard.post("configmaps", config_map("two"))
        await shard.post("configmaps", config_map("lost", stranger))
        await shard.post("configmaps", config_map("of-two", one, two))
        await shard.gone("configmaps", "lost")
        await shard.delete("configmaps", "one")
        await shard.until(lambda: len((shard.find("configmaps", "of-two") or {})["metadata"]["ownerReferences"]) == 1)
        await shard.delete("configmaps", "two")
        await shard.gone("configmaps", "of-two")


async def test_an_owner_in_another_namespace_is_none_and_a_cluster_scoped_one_is() -> None:
    async with ServedCluster() as shard:
        await shard.namespace(CLUSTER, "other")
        far = await shard.post("configmaps", config_map("far"), "other")
        namespace = {"apiVersion": "v1", **(shard.find("namespaces", "other", "") or {}), "kind": "Namespace"}
        await shard.post("configmaps", config_map("kept", namespace))
        await shard.post("configmaps", config_map("lost", far))
        await shard.gone("configmaps", "lost")
        await shard.idle()
        assert shard.find("configmaps", "kept") is not None


async def test_a_namespaced_owner_of_what_has_no_namespace_means_nothing() -> None:
    async with ServedCluster() as shard:
        owner = await shard.post("configmaps", config_map("owner"))
        await shard.delete("configmaps", "owner")
        role = {"metadata": {"name": "kept", "ownerReferences": [reference(owner)]}, "rules": []}
        await shard.post("clusterroles", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", **role}, "")
        await shard.idle()
        assert shard.find("clusterroles", "kept", "") is not None


async def test_what_has_an_owner_of_an_unknown_type_is_looked_at_when_the_type_comes() -> None:
    async with ServedCluster() as shard:
        owner = {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "w", "uid": "u-1"}}
        await shard.post("configmaps", config_map("waits", owner))
        await shard.idle()
        assert shard.find("configmaps", "waits") is not None
        await shard.post("customresourcedefinitions", definition("widgets", "Widget"), "")
        await shard.gone("configmaps", "waits")


async def test_nothing_is_kept_of_what_is_gone_or_lost() -> None:
    async with ServedCluster() as shard:
        collector = next(c for c in shard.tenancy.runner.controllers if isinstance(c, GarbageCollector))
        top = await shard.post("configmaps", config_map("top"))
        child = await shard.post("configmaps", config_map("child", top, block=True, finalizers=HOLD))
        await shard.post("configmaps", config_map("unknown", {**top, "kind": "Nothing"}))
        await shard.delete("configmaps", "top", policy="Foreground")
        await shard.until(lambda: (shard.find("configmaps", "child") or {})["metadata"].get("deletionTimestamp"))
        await shard.idle()
        tables = (collector._dependents, collector._waiting, collector._unresolved)
        assert all(tables)
        assert child["metadata"]["uid"]
        collector.released(shard.cell.ranges["root"])
        assert not any(tables)
