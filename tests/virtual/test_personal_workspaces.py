"""Personal workspaces: what somebody may enter, and nothing else."""

from __future__ import annotations

from tenantry.apiserver.user import UNAUTHENTICATED_GROUP, User
from tenantry_personal_workspaces import PersonalWorkspaces
from tests.tenancy.exports_world import World, user
from tests.virtual.watching import Watch

ORG = "rorg000000000000"
PATH = "/services/workspaces/root:org/apis/tenancy.kcp.io/v1alpha1/workspaces"
ANN, BOB = user("ann"), user("bob")


async def organisation(world: World) -> None:
    await world.cluster(ORG, "root:org")
    await world.cluster("rann000000000000", "root:org:anns", owner="ann")
    await world.cluster("000bob0000000000", "root:org:bobs", owner="bob")
    await world.cluster("rshared000000000", "root:org:shared", owner="ann")


async def names(world: World, who: User, path: str = PATH) -> list[str]:
    status, answer = await world.call("GET", path, who)
    assert status == 200, answer
    return [obj["metadata"]["name"] for obj in answer["items"]]


async def test_everybody_sees_their_own() -> None:
    async with World(PersonalWorkspaces) as world:
        await organisation(world)
        assert await names(world, ANN) == ["anns", "shared"]
        assert await names(world, BOB) == ["bobs"]
        assert await names(world, ANN, PATH.replace("root:org", ORG)) == ["anns", "shared"]
        assert (await world.call("GET", f"{PATH}/anns", ANN))[0] == 200
        assert (await world.call("GET", f"{PATH}/anns", BOB))[0] == 404
        assert (await world.call("DELETE", f"{PATH}/anns", ANN))[0] == 405
        body = {"status": {"phase": "Ready"}}
        for path in (f"{PATH}/anns", f"{PATH}/anns/status"):
            assert (await world.call("PATCH", path, ANN, body, content_type="application/merge-patch+json"))[0] in (404, 405)


async def test_strangers_and_unknown_parents() -> None:
    async with World(PersonalWorkspaces) as world:
        await organisation(world)
        assert (await world.call("GET", PATH, User("system:anonymous", (UNAUTHENTICATED_GROUP,))))[0] == 403
        assert (await world.call("GET", PATH.replace("root:org", "root:none"), ANN))[0] == 403


async def test_discovery() -> None:
    async with World(PersonalWorkspaces) as world:
        await organisation(world)
        _, found = await world.call("GET", "/services/workspaces/root:org/apis/tenancy.kcp.io/v1alpha1", ANN)
        assert [(r["name"], sorted(r["verbs"])) for r in found["resources"]] == [("workspaces", ["get", "list", "watch"])]


async def test_watch_follows_rbac() -> None:
    async with World(PersonalWorkspaces) as world:
        await organisation(world)
        async with Watch(world, PATH, BOB) as watch:
            assert await watch.next() == ("ADDED", "bobs")
            await world.bind_role("rshared000000000", "guest", "cluster-admin", "bob")
            assert await watch.next() == ("ADDED", "shared")
            path = "/clusters/rshared000000000/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/guest"
            assert (await world.call("DELETE", path, ANN))[0] == 200
            assert await watch.next() == ("DELETED", "shared")
            await world.cluster("rlate00000000000", "root:org:late", owner="bob")
            assert await watch.next() == ("ADDED", "late")
