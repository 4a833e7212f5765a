"""Lists of personal workspaces: pages, selectors, versions and tables."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tenantry.kube.objects import Object
from tenantry_personal_workspaces import PersonalWorkspaces
from tests.support.people import person
from tests.support.tenancies import ServedShard
from tests.virtual.organisation import ANN, AWAY, BOB, ORG, PATH, RBAC, away, names, organisation

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def teams(shard: ServedShard, count: int = 6) -> None:
    """Workspaces of ann; bob may access every second one."""
    await shard.cluster(ORG, "root:org")
    for number in range(count):
        cluster = f"rteam{number}".ljust(16, "0")
        await shard.cluster(cluster, f"root:org:team-{number}", owner="ann")
        if number % 2 == 0:
            await shard.bind_role(cluster, "guests", "cluster-admin", "bob")


async def asked(shard: ServedShard, who: Any = BOB, **parameters: Any) -> tuple[int, Any]:
    query = "&".join(f"{name}={quote(str(value))}" for name, value in parameters.items())
    return await shard.call("GET", PATH, who, query=query.replace("from_=", "continue="))


def shown(answer: Any) -> list[str]:
    return [obj["metadata"]["name"] for obj in answer["items"]]


async def close(shard: ServedShard, number: int) -> None:
    """Takes bob's access to a team away."""
    rbac = f"/clusters/{f'rteam{number}'.ljust(16, '0')}/apis/rbac.authorization.k8s.io/v1"
    assert (await shard.call("DELETE", f"{rbac}/clusterrolebindings/guests", ANN))[0] == 200


async def test_pages_have_what_is_visible_and_count_nothing_else() -> None:
    async with ServedShard(PersonalWorkspaces) as shard:
        await teams(shard)
        _, first = await asked(shard, limit=2)
        assert shown(first) == ["team-0", "team-2"]
        assert "remainingItemCount" not in first["metadata"]
        _, last = await asked(shard, limit=2, from_=first["metadata"]["continue"])
        assert shown(last) == ["team-4"]
        assert last["metadata"] == {"continue": "", "resourceVersion": first["metadata"]["resourceVersion"]}
        for limit, more in ((3, False), (2, True)):
            assert bool((await asked(shard, limit=limit))[1]["metadata"]["continue"]) is more


async def test_pages_show_one_version_and_one_visibility() -> None:
    async with ServedShard(PersonalWorkspaces) as shard:
        await teams(shard)
        _, first = await asked(shard, limit=1)
        await close(shard, 2)
        await shard.bind_role("rteam10000000000", "guests", "cluster-admin", "bob")
        await shard.cluster("rnew000000000000", "root:org:team-9", owner="bob")
        _, second = await asked(shard, limit=1, from_=first["metadata"]["continue"])
        _, last = await asked(shard, limit=5, from_=second["metadata"]["continue"])
        assert [shown(page) for page in (first, second, last)] == [["team-0"], ["team-2"], ["team-4"]]
        versions = {page["metadata"]["resourceVersion"] for page in (first, second, last)}
        assert len(versions) == 1
        assert await names(shard, BOB) == ["team-0", "team-1", "team-4", "team-9"]
        # A list that begins now shows no more than what is visible now, at whichever version, and so do its other pages.
        exact = {"resourceVersion": versions.pop(), "resourceVersionMatch": "Exact"}
        assert shown((await asked(shard, **exact))[1]) == ["team-0", "team-1", "team-4"]
        _, begun = await asked(shard, limit=1, **exact)
        await close(shard, 4)
        _, rest = await asked(shard, from_=begun["metadata"]["continue"])
        assert shown(begun) + shown(rest) == ["team-0", "team-1", "team-4"]
        assert shown((await asked(shard, **exact))[1]) == ["team-0", "team-1"]


async def test_pages_whose_visibility_is_not_known_any_more() -> None:
    async with ServedShard(PersonalWorkspaces) as shard:
        await teams(shard)
        _, first = await asked(shard, limit=1)
        await shard.role("system:admin", "everybody", {"nonResourceURLs": ["/"], "verbs": ["access"]})
        status, gone = await asked(shard, limit=1, from_=first["metadata"]["continue"])
        assert (status, gone["reason"]) == (410, "Expired")
        _, rest = await asked(shard, from_=gone["metadata"]["continue"])
        assert shown(rest) == ["team-2", "team-4"]


async def test_versions() -> None:
    async with ServedShard(PersonalWorkspaces) as shard:
        await teams(shard)
        _, listed = await asked(shard)
        version = int(listed["metadata"]["resourceVersion"])
        for match in ("", "NotOlderThan", "Exact"):
            more = {"resourceVersionMatch": match} if match else {}
            assert shown((await asked(shard, resourceVersion=version, **more))[1]) == ["team-0", "team-2", "team-4"]
        assert (await asked(shard, resourceVersion=1, resourceVersionMatch="Exact"))[0] == 410
        assert (await asked(shard, resourceVersion=0))[0] == 200
        assert (await asked(shard, resourceVersion="x"))[0] == 400
        assert (await asked(shard, resourceVersionMatch="Exact"))[0] == 422


async def test_selectors() -> None:
    async with ServedShard(PersonalWorkspaces) as shard:
        await teams(shard)
        for name in ("team-0", "team-1"):
            await shard.edit(
                ORG, "tenancy.kcp.io", "workspaces", name, lambda obj: obj["metadata"].update(labels={"tier": "gold"})
            )
        assert shown((await asked(shard, labelSelector="tier=gold"))[1]) == ["team-0"]
        assert shown((await asked(shard, labelSelector="tier!=gold"))[1]) == ["team-2", "team-4"]
        assert shown((await asked(shard, fieldSelector="metadata.name=team-2"))[1]) == ["team-2"]
        assert shown((await asked(shard, fieldSelector="metadata.name=team-1"))[1]) == []
        assert shown((await asked(shard, fieldSelector="metadata.name!=team-2"))[1]) == ["team-0", "team-4"]
        status, refused = await asked(shard, fieldSelector="spec.cluster=x")
        assert (status, refused["message"]) == (400, "field label not supported: spec.cluster")


async def test_tables() -> None:
    async with ServedShard(PersonalWorkspaces) as shard:
        await teams(shard, 1)
        change: Object = {
            "type": {"name": "universal", "path": "root"},
            "URL": "https://tenantry.example/clusters/root:org:team-0",
        }
        await shard.edit(ORG, "tenancy.kcp.io", "workspaces", "team-0", lambda obj: obj["spec"].update(change))
        _, table = await shard.call("GET", PATH, BOB, accept=TABLE)
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Type", "Region", "Phase", "URL", "Age"]
        (row,) = table["rows"]
        assert row["cells"][:5] == ["team-0", "universal", None, "Ready", "https://tenantry.example/clusters/root:org:team-0"]
        assert row["object"]["kind"] == "PartialObjectMetadata"


@pytest.mark.parametrize("path", ["", "/apis", "/apis/tenancy.kcp.io", "/openapi/v2", "/openapi/v3"])
async def test_documents(path: str) -> None:
    async with ServedShard(PersonalWorkspaces) as shard:
        await organisation(shard)
        base = "/services/workspaces/root:org"
        for who in (ANN, person("nobody")):
            status, answer = await shard.call("GET", f"{base}{path}", who)
            assert status == 200, answer
        assert "tenancy.kcp.io" in str(answer)
        if path == "/openapi/v3":
            status, answer = await shard.call("GET", f"{base}{path}/apis/tenancy.kcp.io/v1alpha1", ANN)
            assert status == 200
            assert any("Workspace" in name for name in answer["components"]["schemas"])


async def test_pages_over_two_shards() -> None:
    async with away() as (here, there):
        await here.cluster("rnear00000000000", "root:org:near", owner="bob")
        await there.bind_role(AWAY, "guests", "cluster-admin", "bob")
        await here.until(lambda: here.tenancy.authorizer.may_access(BOB, AWAY))
        _, first = await asked(here, limit=1)
        assert shown(first) == ["away"]
        assert (await there.call("DELETE", f"{RBAC}/clusterrolebindings/guests", ANN))[0] == 200
        await here.until(lambda: not here.tenancy.authorizer.may_access(BOB, AWAY))
        _, last = await asked(here, limit=1, from_=first["metadata"]["continue"])
        assert shown(last) == ["near"]
        assert await names(here, BOB) == ["near"]
