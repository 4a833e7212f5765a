"""Which view a path is in, and which range it probably needs."""

from __future__ import annotations

import pytest

from gateway.routing import Router
from tenantry.apiserver.request import Request
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
