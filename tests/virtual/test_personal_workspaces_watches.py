"""Watches of personal workspaces, whose parent and children are on two shards: they follow all that access depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tenantry.apiserver.visibility_group import VisibilityGroup
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import CLUSTER_ROLE_BINDINGS, LOGICAL_CLUSTERS
from tenantry_personal_workspaces import PersonalWorkspaces
from tests.support.people import person
from tests.support.tenancies import ServedShard
from tests.support.waiting import eventually, quiet, until
from tests.virtual.organisation import ANN, AWAY, BOB, ORG, OWNER_BINDING, PATH, RBAC, away, names, organisation
from tests.virtual.watching import Watch

ACCESS: Object = {"nonResourceURLs": ["/"], "verbs": ["access"]}
STAFF = person("ann", "staff")
REQUIRED = "authorization.kcp.io/required-groups"
LOGICAL_CLUSTER = ("core.kcp.io", "logicalclusters", "cluster")
BOOKMARKS = "watch=true&allowWatchBookmarks=true"


def annotate(value: str) -> Callable[[Object], object]:
    return lambda obj: obj["metadata"].setdefault("annotations", {}).update({REQUIRED: value})


def phase(value: str) -> Callable[[Object], object]:
    return lambda obj: obj.setdefault("status", {}).update(phase=value)


async def move(name: str, source: ServedShard, target: ServedShard) -> None:
    """Moves a range to another shard, as the registry has it done."""
    range_ = source.cell.ranges[name]
    source.tenancy.scopes.cluster(range_.start).hubs.end(range_)
    await source.cell.release(name)
    info = source.map.named(name)
    assert info is not None
    await target.cell.acquire(name, info.start, info.end)
    for shard in (source, target):
        shard.map.put(replace(info, shard=target.name))
        shard.tenancy.ranges_changed()


async def version_of(shard: ServedShard, who: Any) -> str:
    _, listed = await shard.call("GET", PATH, who)
    version: str = listed["metadata"]["resourceVersion"]
    return version


async def test_required_groups() -> None:
    async with away() as (here, there), Watch(here, PATH, ANN) as anns, Watch(here, PATH, STAFF) as staff:
        assert await anns.next() == await staff.next() == ("ADDED", "away")
        await there.edit(AWAY, *LOGICAL_CLUSTER, annotate("staff"))
        assert await anns.next() == ("DELETED", "away")
        await there.edit(AWAY, *LOGICAL_CLUSTER, annotate("staff;system:authenticated"))
        assert await anns.next() == ("ADDED", "away")
        await there.edit(AWAY, *LOGICAL_CLUSTER, annotate("staff"))
        assert await anns.next() == ("DELETED", "away")
        await there.edit(AWAY, *LOGICAL_CLUSTER, lambda obj: obj["metadata"]["annotations"].pop(REQUIRED))
        assert await anns.next() == ("ADDED", "away")
        assert staff.seen == 1


async def test_phases() -> None:
    """The shard of a child writes its phase to its Workspace."""
    async with away() as (here, _), Watch(here, PATH, ANN) as watch:
        await here.cluster("rnear00000000000", "root:org:near", owner="ann")
        assert {await watch.next(), await watch.next()} == {("ADDED", "away"), ("ADDED", "near")}
        await here.edit(ORG, "tenancy.kcp.io", "workspaces", "away", phase("Unavailable"))
        assert await watch.next() == ("DELETED", "away")
        await here.edit(ORG, "tenancy.kcp.io", "workspaces", "away", phase("Ready"))
        assert await watch.next() == ("ADDED", "away")
        await here.edit("rnear00000000000", *LOGICAL_CLUSTER, phase("Unavailable"))
        assert await watch.next() == ("DELETED", "near")
        await here.edit("rnear00000000000", *LOGICAL_CLUSTER, phase("Inactive"))
        assert await watch.next() == ("ADDED", "near")


async def test_an_owner_that_is_named_late() -> None:
    async with away() as (here, _), Watch(here, PATH, BOB) as watch:
        owner = {"experimental.tenancy.kcp.io/owner": '{"username":"bob"}'}
        await here.edit(ORG, "tenancy.kcp.io", "workspaces", "away", lambda obj: obj["metadata"].update(annotations=owner))
        assert await watch.next() == ("ADDED", "away")
        await here.edit(ORG, "tenancy.kcp.io", "workspaces", "away", lambda obj: obj["metadata"].update(annotations={}))
        assert await watch.next() == ("DELETED", "away")


async def test_roles_of_system_admin() -> None:
    async with away() as (here, _), Watch(here, PATH, BOB) as watch:
        await here.role("system:admin", "audit", ACCESS)
        await here.bind_role("system:admin", "audit", "audit", "bob")
        assert await watch.next() == ("ADDED", "away")
        await here.edit("system:admin", "rbac.authorization.k8s.io", "clusterroles", "audit", lambda obj: obj.update(rules=[]))
        assert await watch.next() == ("DELETED", "away")


async def test_workspaces_that_come_and_go() -> None:
    async with away() as (here, there), Watch(here, PATH, ANN) as watch, Watch(here, PATH, BOB) as others:
        assert await watch.next() == ("ADDED", "away")
        workspace: Object = {"metadata": {"name": "late"}, "spec": {}, "status": {"phase": "Scheduling"}}
        await here.put(ORG, "tenancy.kcp.io", "workspaces", workspace)
        late = "900late000000000"
        await there.cluster(late, owner="ann", spec={"createdBy": {"username": "ann"}})
        owner = {"experimental.tenancy.kcp.io/owner": '{"username":"ann"}'}

        def scheduled(obj: Object) -> None:
            obj["metadata"]["annotations"] = owner
            obj["spec"] = {"cluster": late}
            obj["status"] = {"phase": "Ready"}

        await here.edit(ORG, "tenancy.kcp.io", "workspaces", "late", scheduled)
        assert await watch.next() == ("ADDED", "late")
        for name in ("late", "away"):
            record = next(r for r in here.cell.range_of(ORG).list(_workspaces(here), ORG) if r.key.name == name)
            await here.cell.commit([here.tenancy.changes.removed(record)])
            assert await watch.next() == ("DELETED", name)
        assert others.seen == 0


def _workspaces(shard: ServedShard) -> str:
    return shard.tenancy.definitions.workspaces.storage_key


async def test_a_change_costs_a_watcher_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many workspaces there are: a binding of one concerns one."""
    compared = 0

    async def compare(group: VisibilityGroup) -> None:
        nonlocal compared
        compared += 1

    monkeypatch.setattr(VisibilityGroup, "_compare_once", compare)
    async with ServedShard(PersonalWorkspaces) as shard:
        await organisation(shard)
        async with Watch(shard, PATH, BOB) as watch:
            assert await watch.next() == ("ADDED", "bobs")
            for _ in range(3):
                await shard.bind_role("rshared000000000", "guest", "cluster-admin", "bob")
                assert await watch.next() == ("ADDED", "shared")
                path = "/clusters/rshared000000000/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/guest"
                assert (await shard.call("DELETE", path, ANN))[0] == 200
                assert await watch.next() == ("DELETED", "shared")
            assert compared == 0


async def test_what_comes_into_sight_is_followed_by_a_bookmark() -> None:
    """Its own version is that of its last write, from which nobody should resume."""
    async with ServedShard(PersonalWorkspaces) as shard:
        await organisation(shard)
        async with Watch(shard, PATH, BOB, BOOKMARKS) as watch:
            assert await watch.next() == ("ADDED", "bobs")
            await shard.bind_role("rshared000000000", "guest", "cluster-admin", "bob")
            assert await watch.next() == ("ADDED", "shared")
            last = watch.events[-1]
            assert last["type"] == "BOOKMARK"
            assert last["object"]["metadata"]["resourceVersion"] == str(shard.cell.range_of(ORG).version)


@pytest.mark.parametrize("place", ["here", "there"])
async def test_a_resumed_watch_tells_what_happened_meanwhile(place: str) -> None:
    async with away() as (here, there):
        near = "rnear00000000000"
        await here.cluster(near, "root:org:near", owner="ann")
        shard, cluster, name = (here, near, "near") if place == "here" else (there, AWAY, "away")
        rbac = f"/clusters/{cluster}/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
        may_access = here.tenancy.authorizer.may_access
        before = await version_of(here, BOB)
        await shard.bind_role(cluster, "guests", "cluster-admin", "bob")
        await here.until(lambda: may_access(BOB, cluster))
        async with Watch(here, PATH, BOB, f"{BOOKMARKS}&resourceVersion={before}") as watch:
            assert await watch.next() == ("ADDED", name)
        await here.namespace(ORG, "moves-the-version")
        between = await version_of(here, BOB)
        async with Watch(here, PATH, BOB, f"{BOOKMARKS}&resourceVersion={between}") as watch:
            await here.namespace(ORG, "moves-it-again")
            await here.cluster("rlast00000000000", "root:org:last", owner="bob")
            assert await watch.next() == ("ADDED", "last")
        assert (await shard.call("DELETE", f"{rbac}/guests", ANN))[0] == 200
        await here.until(lambda: not may_access(BOB, cluster))
        async with Watch(here, PATH, BOB, f"{BOOKMARKS}&resourceVersion={between}") as watch:
            assert {await watch.next(), await watch.next()} == {("ADDED", "last"), ("DELETED", name)}
        assert await names(here, BOB) == ["last"]


async def test_the_range_of_a_child_moves() -> None:
    async with away() as (here, there), Watch(here, PATH, BOB) as watch, Watch(here, PATH, ANN) as anns:
        assert await anns.next() == ("ADDED", "away")
        await move("range-9", there, here)
        await here.bind_role(AWAY, "guests", "cluster-admin", "bob")
        assert await watch.next() == ("ADDED", "away")
        await move("range-9", here, there)
        assert (await there.call("DELETE", f"{RBAC}/clusterrolebindings/guests", ANN))[0] == 200
        assert await watch.next() == ("DELETED", "away")
        assert anns.seen == 1


async def test_the_range_of_the_parent_moves() -> None:
    async with away() as (here, there):
        await there.bind_role(AWAY, "guests", "cluster-admin", "bob")
        await here.until(lambda: here.tenancy.authorizer.may_access(BOB, AWAY))
        async with Watch(here, PATH, BOB, BOOKMARKS) as watch:
            assert await watch.next() == ("ADDED", "away")
            await here.namespace(ORG, "moves-the-version")
            before = await version_of(here, BOB)
            await move("root", here, there)
            assert await watch.next() == ("END", "")
        assert await names(there, BOB) == ["away"]
        after = await version_of(there, BOB)
        if int(after) > int(before):
            # What was visible then is not known here, so the client lists again.
            async with Watch(there, PATH, BOB, f"{BOOKMARKS}&resourceVersion={before}") as watch:
                await eventually(lambda: [event["type"] for event in watch.events] == ["ERROR"])
                assert watch.events[0]["object"]["code"] == 410
        async with Watch(there, PATH, BOB, f"{BOOKMARKS}&resourceVersion={after}") as watch:
            assert (await there.call("DELETE", f"{RBAC}/clusterrolebindings/guests", ANN))[0] == 200
            assert await watch.next() == ("DELETED", "away")


async def test_the_owner_binding_is_the_last_word() -> None:
    async with away() as (here, there):
        await there.bind_role(AWAY, "admins", "cluster-admin", "bob")
        assert (await there.call("DELETE", OWNER_BINDING, BOB))[0] == 200
        await here.until(lambda: here.tenancy.catalog.entry(CLUSTER_ROLE_BINDINGS, AWAY, "workspace-admin") is not None)
        assert await names(here, ANN) == []
        async with Watch(here, PATH, ANN) as watch:
            await there.bind_role(AWAY, "workspace-admin", "cluster-admin", "ann")
            assert await watch.next() == ("ADDED", "away")


@pytest.mark.parametrize("late", ["workspace", "phase"])
async def test_a_workspace_whose_copy_comes_late(late: str) -> None:
    """The new owner of the parent has the Workspace before it knows from the catalog whose workspace the child is, and its
    phase."""
    child = "000child00000000"
    owner = {"experimental.tenancy.kcp.io/owner": '{"username":"ann"}'}
    async with ServedShard(PersonalWorkspaces) as here:
        there = ServedShard(PersonalWorkspaces, store=here.store, name="there")
        async with there:
            await here.cluster(ORG, "root:org")
            await there.until(lambda: there.tenancy.directory.cluster_of("root:org"))
            workspace: Object = {
                "metadata": {"name": "child", "annotations": owner},
                "spec": {"cluster": child},
                "status": {"phase": "Unavailable"},
            }
            if late == "phase":
                await here.put(ORG, "tenancy.kcp.io", "workspaces", workspace)
                await there.until(lambda: there.tenancy.directory.knows(child))
            held: list[tuple[Any, ...]] = []
            catalog = there.tenancy.catalog
            apply = catalog._apply
            catalog._apply = lambda *change: held.append(change)  # type: ignore[method-assign]
            if late == "phase":
                await here.edit(ORG, "tenancy.kcp.io", "workspaces", "child", phase("Ready"))
            else:
                await here.put(ORG, "tenancy.kcp.io", "workspaces", {**workspace, "status": {"phase": "Ready"}})
            await move("root", here, there)
            async with Watch(there, PATH, ANN) as watch:
                await quiet()
                assert watch.seen == 0
                catalog._apply = apply  # type: ignore[method-assign]
                await until(lambda: held)
                for change in held:
                    apply(*change)
                assert await watch.next() == ("ADDED", "child")


async def test_a_watch_of_what_was_listed_after_a_change_on_another_shard() -> None:
    """It begins, although this shard commits nothing and does not know who had access before the change."""
    async with away() as (here, there):
        await quiet()
        before = here.cell.range_of(ORG).version
        await there.edit(AWAY, *LOGICAL_CLUSTER, annotate("system:authenticated"))
        await until(lambda: here.cell.range_of(ORG).version > before)
        since = await version_of(here, ANN)
        async with Watch(here, PATH, ANN, f"watch=true&resourceVersion={since}") as watch:
            await there.edit(AWAY, *LOGICAL_CLUSTER, annotate("staff"))
            assert await watch.next() == ("DELETED", "away")
            assert watch.seen == 1


async def test_a_watch_of_what_was_listed_after_a_change_of_a_workspace() -> None:
    async with away() as (here, _):
        await here.until(lambda: here.tenancy.directory.knows(AWAY))
        here.tenancy.authorizer._access_index._known.clear()  # type: ignore[attr-defined]
        await here.edit(ORG, "tenancy.kcp.io", "workspaces", "away", phase("Unavailable"))
        since = await version_of(here, ANN)
        async with Watch(here, PATH, ANN, f"watch=true&resourceVersion={since}") as watch:
            await here.edit(ORG, "tenancy.kcp.io", "workspaces", "away", phase("Ready"))
            assert await watch.next() == ("ADDED", "away")


async def test_a_watch_that_resumes_from_before_an_end_in_one_commit() -> None:
    """Where a workspace and its logical cluster end in one commit, it is still known who could access it before."""
    async with ServedShard(PersonalWorkspaces) as shard:
        await organisation(shard)
        async with Watch(shard, PATH, BOB) as watch:
            assert await watch.next() == ("ADDED", "bobs")
        version = await version_of(shard, BOB)
        cluster = shard.tenancy.directory.child_of(ORG, "bobs")
        assert cluster is not None
        workspaces = shard.tenancy.definitions.workspaces
        ended = [Key(cluster, LOGICAL_CLUSTERS, "", "cluster"), Key(ORG, workspaces.storage_key, "", "bobs")]
        records = [shard.cell.range_of(key.cluster).get(key) for key in ended]
        await shard.cell.commit([shard.tenancy.changes.removed(record) for record in records if record is not None])
        async with Watch(shard, PATH, BOB, f"{BOOKMARKS}&resourceVersion={version}") as watch:
            assert await watch.next() == ("DELETED", "bobs")
