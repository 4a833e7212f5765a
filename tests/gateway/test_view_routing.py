"""Which view a path is in, and which range it probably needs."""

from __future__ import annotations

import aiohttp
import pytest

from gateway.routing import Router
from tenantry.apiserver.request import Handler, Request
from tenantry.http.messages import Reply, Response
from tests.gateway.front_proxy import A, B, running_door


@pytest.mark.parametrize(
    ("path", "view", "place"),
    [
        ("/services/workspaces/root:org/apis/tenancy.kcp.io/v1alpha1/workspaces", "workspaces", "range-a"),
        (f"/services/workspaces/{B}", "workspaces", "range-b"),
        (f"/services/apiexport/{A}/cowboys/clusters/{B}/api/v1/configmaps", "apiexport", "range-b"),
        (f"/services/apiexport/{A}/cowboys/clusters/*/api/v1/configmaps", "apiexport", "root"),
        (f"/ranges/range-b/services/apiexport/{A}/cowboys/clusters/*/apis", "apiexport", "range-b"),
        ("/services/workspaces/:::/apis", "workspaces", "root"),
        ("/services/workspaces", "workspaces", "root"),
        ("/services/", "", "root"),
        ("/services", "", "root"),
        ("/ranges/range-b", "", "range-b"),
        ("/ranges/range-b/clusters/x/services/y", "", "range-b"),
        ("/clusters/root/services/workspaces", "", "root"),
        ("/readyz", "", "root"),
    ],
)
async def test_view_and_place(path: str, view: str, place: str) -> None:
    async with running_door() as door:
        router = Router(door.directory, token_cluster=lambda _: None)
        assert router.view_of(path) == view
        if view:
            assert router.place_of(path) == place
        assert router.range_of(Request("GET", path)) is not None


async def test_a_view_in_a_process_of_its_own_gets_its_requests_and_the_callers_name() -> None:
    def answering(name: str) -> Handler:
        async def answer(request: Request) -> Reply:
            return Response(200, f"{name}: {request.header('x-remote-user')}".encode(), "text/plain")

        return answer

    async with running_door() as door, aiohttp.ClientSession() as session:
        tls = door.caller("ada", ["devs"])

        async def ask(path: str) -> tuple[int, str, str]:
            async with session.get(f"{door.url}{path}", ssl=tls) as answer:
                return answer.status, answer.headers.get("Retry-After", ""), await answer.text()

        await door.edge_shard("one", answering("shard"), "root", "range-a", "range-b")
        in_view = (f"/services/notes/{A}", f"/ranges/range-b/services/notes/{A}")
        assert [await ask(path) for path in in_view] == [(200, "", "shard: ada")] * 2
        await door.edge_views("views-1", answering("views"), "notes")
        assert [await ask(path) for path in in_view] == [(200, "", "views: ada")] * 2
        assert await ask(f"/clusters/{A}/api/v1") == (200, "", "shard: ada"), "others go to shards"
        await door.views_end("views-1")
        for path in in_view:
            status, again, _ = await ask(path)
            assert (status, again) == (503, "1"), "it does not fall on shards"
