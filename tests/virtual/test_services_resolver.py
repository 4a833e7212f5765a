"""How views become paths, and what refuses to start."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.path_resolver import RemoteRoute
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.status import StatusError
from tenantry.tenancy.path_resolvers import RangesResolver
from tenantry.virtual.services_resolver import ServicesResolver, ViewRoute, load_views
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


class Names:
    """The views that processes of their own serve."""

    names = frozenset(("open", "uninstalled"))


async def test_views_that_a_process_of_its_own_serves_are_located_there() -> None:
    async with ServedShard(Open) as shard:
        tenancy = shard.tenancy
        services = ServicesResolver(
            tenancy.directory, tenancy.scopes, shard.views, shard_name="here", ranges=shard.cell.ranges, elsewhere=Names()
        )
        path = f"open/a/b/clusters/000two0000000000{LIST}"
        found = services.locate(path)
        assert isinstance(found, RemoteRoute)
        assert (found.view, found.range_name, found.path) == ("open", "range-2", f"/services/{path}")
        found = services.locate(path, range_name="range-2")
        assert isinstance(found, RemoteRoute) and found.path == f"/ranges/range-2/services/{path}"
        assert found.here is not None and isinstance(found.here(), ViewRoute), "what that process sends on is served here"
        unknown = services.locate("uninstalled/x")
        assert isinstance(unknown, RemoteRoute) and unknown.here is not None
        with pytest.raises(StatusError, match="install its package there too") as refused:
            unknown.here()
        assert refused.value.code == 501
        assert not isinstance(services.locate("none/x"), RemoteRoute)
        ranges = RangesResolver(
            tenancy.range_map,
            {"services": services},
            ranges=shard.cell.ranges,
            is_privileged=tenancy.authorizer.is_privileged,
            elsewhere=Names.names.__contains__,
        )
        for name in ("range-2", "range-9"):
            found = ranges.locate(f"/{name}/services/open/a/b/clusters/*{LIST}")
            assert isinstance(found, RemoteRoute) and (found.view, found.range_name) == ("open", name), "whoever owns the range"
        found = ranges.locate(f"/range-9/services/none/a/b/clusters/*{LIST}")
        assert isinstance(found, RemoteRoute) and found.view == ""
