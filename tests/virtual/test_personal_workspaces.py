"""Personal workspaces: what somebody may enter, and nothing else."""

from __future__ import annotations

from tenantry.apiserver.user import UNAUTHENTICATED_GROUP, User
from tenantry.kube.objects import Object
from tenantry.tenancy.resources import CLUSTER_ROLE_BINDINGS
from tenantry_personal_workspaces import PersonalWorkspaces
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard
from tests.virtual.organisation import (
    ANN,
    AWAY,
    BOB,
    ORG,
    OWNER_BINDING,
    PATH,
    RBAC,
    away,
    copied,
    names,
    organisation,
)
from tests.virtual.watching import Watch


async def test_everybody_sees_their_own() -> None:
    async with ServedShard(PersonalWorkspaces) as shard:
        await organisation(shard)
        assert await names(shard, ANN) == ["anns", "shared"]
        assert await names(shard, BOB) == ["bobs"]
        assert await names(shard, ANN, PATH.replace("root:org", ORG)) == ["anns", "shared"]
        assert (await shard.call("GET", f"{PATH}/anns", ANN))[0] == 200
        assert (await shard.call("GET", f"{PATH}/anns", BOB))[0] == 404
        assert (await shard.call("DELETE", f"{PATH}/anns", ANN))[0] == 405
        body = {"status": {"phase": "Ready"}}
        for path in (f"{PATH}/anns", f"{PATH}/anns/status"):
            assert (await shard.call("PATCH", path, ANN, body, content_type="application/merge-patch+json"))[0] in (404, 405)


async def test_anonymous_callers_and_unknown_parents() -> None:
    async with ServedShard(PersonalWorkspaces) as shard:
        await organisation(shard)
        assert (await shard.call("GET", PATH, User("system:anonymous", (UNAUTHENTICATED_GROUP,))))[0] == 403
        assert (await shard.call("GET", PATH.replace("root:org", "root:none"), MASTER))[0] == 404
        # A parent that is not there looks like one in which there is nothing of one's own.
        nothing = person("eve")
        for parent in ("root:org", "root:none", "rnone00000000000", "9none00000000000", "NO", "root:org:x"):
            path = PATH.replace("root:org", parent)
            assert await names(shard, nothing, path) == []
            assert (await shard.call("GET", f"{path}/anns", nothing))[0] == 404
            assert (await shard.call("POST", path, nothing, {}))[0] == 405
            async with Watch(shard, path, nothing):
                pass


async def test_discovery() -> None:
    async with ServedShard(PersonalWorkspaces) as shard:
        await organisation(shard)
        _, found = await shard.call("GET", "/services/workspaces/root:org/apis/tenancy.kcp.io/v1alpha1", ANN)
        assert [(r["name"], sorted(r["verbs"])) for r in found["resources"]] == [("workspaces", ["get", "list", "watch"])]


async def test_watch_follows_rbac() -> None:
    async with ServedShard(PersonalWorkspaces) as shard:
        await organisation(shard)
        async with Watch(shard, PATH, BOB) as watch:
            assert await watch.next() == ("ADDED", "bobs")
            await shard.bind_role("rshared000000000", "guest", "cluster-admin", "bob")
            assert await watch.next() == ("ADDED", "shared")
            path = "/clusters/rshared000000000/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/guest"
            assert (await shard.call("DELETE", path, ANN))[0] == 200
            assert await watch.next() == ("DELETED", "shared")
            await shard.cluster("rlate00000000000", "root:org:late", owner="bob")
            assert await watch.next() == ("ADDED", "late")


async def test_owners_are_known_without_a_copy() -> None:
    async with away() as (here, there):
        assert await names(here, ANN) == ["away"]
        assert await names(here, BOB) == []
        assert not copied(there, "clusterrolebindings", "workspace-admin")()


async def test_whoever_is_let_in_on_another_shard_sees_it_here() -> None:
    access = {"nonResourceURLs": ["/"], "verbs": ["access"]}
    async with away() as (here, there), Watch(here, PATH, BOB) as watch:
        await there.bind_role(AWAY, "admins", "cluster-admin", "bob")
        assert await watch.next() == ("ADDED", "away")
        assert await names(here, BOB) == ["away"]
        assert (await there.call("DELETE", f"{RBAC}/clusterrolebindings/admins", ANN))[0] == 200
        assert await watch.next() == ("DELETED", "away")
        await there.role(AWAY, "guests", access)
        await there.bind_role(AWAY, "guests", "guests", "friends", group=True)
        await here.until(copied(here, "clusterrolebindings", "guests"))
        assert await names(here, person("eve", "friends")) == ["away"]
        assert await names(here, BOB) == []
        await there.bind_role(AWAY, "early", "later", "bob")
        await there.role(AWAY, "later", access)
        assert await watch.next() == ("ADDED", "away")


async def test_roles_that_begin_to_let_in() -> None:
    """What was bound before has no copy, until its role lets somebody in."""
    pods = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}
    access = {"nonResourceURLs": ["*"], "verbs": ["*"]}
    async with away() as (here, there), Watch(here, PATH, BOB) as watch:
        await there.role(AWAY, "workers", pods)
        await there.bind_role(AWAY, "workers", "workers", "bob")
        assert not copied(there, "clusterroles", "workers")()
        assert not copied(there, "clusterrolebindings", "workers")()
        change: Object = {"rules": [pods, access]}
        merge = "application/merge-patch+json"
        status, answer = await there.call("PATCH", f"{RBAC}/clusterroles/workers", ANN, change, content_type=merge)
        assert status == 200, answer
        assert await watch.next() == ("ADDED", "away")
        change = {"rules": [pods]}
        assert (await there.call("PATCH", f"{RBAC}/clusterroles/workers", ANN, change, content_type=merge))[0] == 200
        assert await watch.next() == ("DELETED", "away")


async def test_an_owner_who_was_shut_out() -> None:
    async with away() as (here, there), Watch(here, PATH, ANN) as watch:
        assert await watch.next() == ("ADDED", "away")
        await there.bind_role(AWAY, "admins", "cluster-admin", "bob")
        assert (await there.call("DELETE", OWNER_BINDING, BOB))[0] == 200
        assert await watch.next() == ("DELETED", "away")
        assert await names(here, ANN) == []
        await there.bind_role(AWAY, "workspace-admin", "cluster-admin", "ann")
        assert await watch.next() == ("ADDED", "away")


async def test_required_groups_hold_from_afar() -> None:
    annotations = {"authorization.kcp.io/required-groups": "staff"}
    async with away(metadata={"annotations": annotations}) as (here, _):
        assert await names(here, ANN) == []
        assert await names(here, person("ann", "staff")) == ["away"]


async def test_nothing_stays_of_a_cluster_that_is_gone() -> None:
    async with away() as (_, there):
        await there.bind_role(AWAY, "admins", "cluster-admin", "bob")
        assert (await there.call("DELETE", OWNER_BINDING, BOB))[0] == 200
        assert copied(there, "clusterrolebindings", "workspace-admin")()
        range_ = there.cell.range_of(AWAY)
        for resource in list(range_.resources(AWAY)):
            for record in list(range_.list(resource, AWAY)):
                await there.cell.commit([there.tenancy.changes.removed(record)])
        found = there.tenancy.catalog.list(CLUSTER_ROLE_BINDINGS, AWAY)
        assert found == []
