"""How views become paths, and what refuses to start."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tenantry.apiserver.authorization import Attributes
from tenantry.kube.definition import ResourceDefinition
from tenantry.virtual.services_resolver import load_views
from tenantry.virtual.view import Place, View
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard

SOMEBODY = person("somebody")


class Open(View):
    """Everything there is to see for everybody: two arguments, and the LogicalClusters."""

    name = "open"
    arguments = ("first", "second")

    def allows(self, place: Place, question: Attributes) -> bool:
        return place.arguments == ("a", "b")

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        return (self.definition("core.kcp.io", "logicalclusters"),)


class Again(Open):
    pass


class Nameless(View):
    pass


LIST = "/apis/core.kcp.io/v1alpha1/logicalclusters"


async def test_a_name_twice_does_not_start() -> None:
    with pytest.raises(
        ValueError,
        match=(
            r"two views are named 'open': tests\.virtual\.test_services_resolver\.Open"
            r" and tests\.virtual\.test_services_resolver\.Again"
        ),
    ):
        load_views([], ServedShard(Open).context, [Open, Again])
    with pytest.raises(ValueError, match="must be a lower-case DNS label"):
        load_views([], ServedShard(Open).context, [Nameless])


async def test_arguments_and_cluster() -> None:
    async with ServedShard(Open) as shard:
        await shard.cluster("rone000000000000")
        await shard.cluster("000two0000000000")
        status, found = await shard.call("GET", f"/services/open/a/b/clusters/*{LIST}", SOMEBODY)
        assert status == 200
        assert "rone000000000000" in [o["metadata"]["annotations"]["kcp.io/cluster"] for o in found["items"]]
        status, found = await shard.call("GET", f"/services/open/a/b/clusters/000two0000000000{LIST}", SOMEBODY)
        assert [o["metadata"]["annotations"]["kcp.io/cluster"] for o in found["items"]] == ["000two0000000000"]
        assert (await shard.call("GET", f"/services/open/a/c/clusters/*{LIST}", SOMEBODY))[0] == 403
        status, found = await shard.call("GET", "/services/open/a/b/clusters/*", SOMEBODY)
        assert status == 200
        assert LIST.rpartition("/")[0] in found["paths"]


@pytest.mark.parametrize(
    "path",
    [
        "/services/none/a/b/clusters/*",
        "/services/open/a/clusters/*",
        "/services/open/a/b",
        "/services/open/a/b/cluster/x",
        "/services/open/a/b/clusters/",
        "/services/open/a/b/clusters/root:org",
        "/ranges/root/services/open/a/b/clusters/000two0000000000",
        "/services/open/a/b/clusters/zzz",
    ],
)
async def test_paths_of_no_view(path: str) -> None:
    async with ServedShard(Open) as shard:
        assert (await shard.call("GET", f"{path}{LIST}", SOMEBODY))[0] == 403
        assert (await shard.call("GET", f"{path}{LIST}", MASTER))[0] == 404


async def test_ranges_of_others_are_passed_on() -> None:
    async with ServedShard(Open) as shard:
        path = f"/services/open/a/b/clusters/900other00000000{LIST}"
        assert await shard.call("GET", path, SOMEBODY) == (200, {"passed": "range-9", "path": f"/ranges/range-9{path}"})
