"""Home workspaces: one for each person, made when it is asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tenantry.apiserver.user import AUTHENTICATED_GROUP, CLUSTER_NAME_EXTRA, UNAUTHENTICATED_GROUP, User, make_extra
from tenantry.kube.objects import Object
from tenantry.storage.memory import MemoryStore
from tests.support.one_process import WORKSPACES, Stack, new_cell, running
from tests.support.people import ADMIN, MASTER, person

HOME = f"/clusters/root/{WORKSPACES}/~"
ADA = person("ada")


async def home(stack: Stack, who: User = ADA) -> Object:
    """As a client that takes 429 for what it says."""

    async def ask() -> Object | None:
        reply = await stack.answer("GET", HOME, who)
        if reply.status == 429:
            assert reply.headers["Retry-After"] == "1"
            return None
        assert reply.status == 200, reply.body
        return (await stack.call("GET", HOME, who))[1]

    found: Object = await stack.eventually(ask)
    return found


async def test_a_home_is_made_when_it_is_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        assert (await stack.call("GET", HOME, ADA))[0] in (200, 429)
        found = await home(stack)
        cluster = found["spec"]["cluster"]
        assert found["kind"] == "Workspace"
        assert found["metadata"]["name"] == "cluster"
        assert found["spec"] == {
            "type": {"name": "home", "path": "root"},
            "cluster": cluster,
            "URL": f"https://tenantry.test:6443/clusters/{cluster}",
        }
        assert found["status"]["phase"] == "Ready"
        assert stack.tenancy.directory.path_of(cluster) == "user:ada"
        assert stack.tenancy.directory.range_of(cluster) is not None, "minted inside a range"
        _, listed = await stack.call("GET", f"/clusters/root/{WORKSPACES}", ADA)
        assert listed["items"] == [], "it is no object of root"
        status, table = await stack.call("GET", HOME, ADA, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        assert (status, table["kind"], table["rows"][0]["cells"][1]) == (200, "Table", "home")


async def test_its_owner_may_do_everything_in_it_and_others_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        cluster = (await home(stack))["spec"]["cluster"]
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}
        for place in (cluster, "user:ada"):
            path = f"/clusters/{place}/api/v1/namespaces/default/configmaps"
            assert (await stack.call("POST", path, ADA, config_map))[0] in (201, 409)
            assert (await stack.call("GET", path, person("eve")))[0] == 403
        child = await stack.workspace("user:ada", "child", ADA)
        assert stack.tenancy.directory.path_of(child) == "user:ada:child"
        assert (await stack.call("GET", "/clusters/user:ada:child/api/v1/namespaces/default", ADA))[0] == 200
        _, found = await stack.call("GET", f"/clusters/user:ada/{WORKSPACES}/child", ADA)
        assert found["spec"]["URL"].endswith("/clusters/user:ada:child")
        assert found["spec"]["type"] == {"name": "universal", "path": "root"}
        assert (await stack.call("GET", "/clusters/user:eve/api/v1/namespaces"))[0] == 404
        theirs = await home(stack, person("eve"))
        assert theirs["spec"]["cluster"] != cluster


async def test_first_requests_at_once_make_one_home(tmp_path: Path) -> None:
    async with running(tmp_path, shards=2, capacity=1) as stack:
        await asyncio.gather(*(stack.call("GET", HOME, ADA) for _ in range(20)))
        cluster = (await home(stack))["spec"]["cluster"]
        clusters = [c for shard in stack.shards.values() for range_ in shard.cell.ranges.values() for c in range_.clusters()]
        assert [c for c in clusters if stack.tenancy.directory.path_of(c) == "user:ada"] == [cluster]


async def test_homes_are_placed_like_workspaces_also_on_other_shards(tmp_path: Path) -> None:
    store = MemoryStore(new_cell())
    async with running(tmp_path, shards=2, capacity=1, store=store) as stack:
        homes = {name: (await home(stack, person(name)))["spec"]["cluster"] for name in ("ada", "bob", "eve")}
        ranges = {stack.tenancy.directory.locate(cluster).range for cluster in homes.values()}
        assert len(ranges) == 3
        assert len({stack.tenancy_of(cluster).name for cluster in homes.values()}) == 2
        for name, cluster in homes.items():
            await stack.workspace(f"user:{name}", "child", person(name))
            assert stack.tenancy_of(cluster).directory.path_of(cluster) == f"user:{name}"
    async with running(tmp_path, shards=2, capacity=1, store=store) as stack:
        for name, cluster in homes.items():
            status, found = await stack.call("GET", HOME, person(name))
            assert (status, found["spec"]["cluster"]) == (200, cluster)


async def test_who_may_have_a_home(tmp_path: Path) -> None:
    foreign = User(
        "system:serviceaccount:default:default",
        (AUTHENTICATED_GROUP,),
        extra=make_extra({CLUSTER_NAME_EXTRA: ["rsomewhere"]}),
    )
    async with running(tmp_path, home_creator_groups=("staff",)) as stack:
        for nobody in (ADA, foreign, User("system:anonymous", (UNAUTHENTICATED_GROUP,))):
            status, refused = await stack.call("GET", HOME, nobody)
            assert status == 403
            assert refused["message"].endswith("workspace access not permitted")
        assert (await home(stack, person("bob", "staff")))["status"]["phase"] == "Ready"
        assert (await stack.call("GET", HOME, User("bob", (AUTHENTICATED_GROUP,))))[0] == 200, "it is there already"
        assert (await stack.call("PUT", HOME, ADMIN, {}))[0] in (400, 404, 405, 422)
    async with running(tmp_path) as stack:
        assert (await stack.call("GET", HOME, foreign))[0] == 403, "service accounts of all workspaces share their names"
    async with running(tmp_path, home_creator_groups=None) as stack:
        assert (await stack.call("GET", HOME, MASTER))[0] == 404


async def test_the_groups_of_the_setting_are_those_of_the_last_start(tmp_path: Path) -> None:
    store = MemoryStore(new_cell())
    async with running(tmp_path, store=store, home_creator_groups=("staff",)) as stack:
        assert (await stack.call("GET", HOME, ADA))[0] == 403
    async with running(tmp_path, store=store) as stack:
        assert (await home(stack))["status"]["phase"] == "Ready"


async def test_a_home_whose_cluster_was_not_made_is_made_by_the_next_request(tmp_path: Path) -> None:
    async with running(tmp_path, shards=2, capacity=1) as stack:
        cluster = (await home(stack))["spec"]["cluster"]
        path = f"/clusters/{cluster}/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"
        assert (await stack.call("DELETE", path))[0] == 200

        async def gone() -> bool:
            return (await stack.call("GET", path))[0] == 404

        await stack.eventually(gone)
        assert (await home(stack))["spec"]["cluster"] == cluster
