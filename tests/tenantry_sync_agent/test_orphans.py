"""What is below is deleted only if the server above says that its object does not exist."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry_sync_agent.api_client import ApiError, Object
from tenantry_sync_agent.discovery import Type
from tenantry_sync_agent.election import NotLeading
from tenantry_sync_agent.reflector import Place
from tenantry_sync_agent.steps import Stale, Steps
from tenantry_syncer.names import Target, downstream_namespace
from tests.tenantry_sync_agent.fake_server import DOWN, UP, FakeServer

TARGET = Target("root", "edge")
KIND = Type("", "v1", "widgets", "Widget", True, frozenset(), True)
PLACE = Place("one", "default", "a")
BELOW = f"{DOWN}/api/v1/namespaces/{downstream_namespace(TARGET, 'one', 'default')}/widgets/a"


def steps(above: Any, below: FakeServer, *, leading: bool = True) -> Steps:
    def check() -> None:
        if not leading:
            raise NotLeading

    return Steps(above, below, TARGET, check)  # type: ignore[arg-type]


def below() -> tuple[FakeServer, Object]:
    server = FakeServer(DOWN)
    return server, server.put(BELOW, {"metadata": {"name": "a"}})


async def test_gone_everywhere() -> None:
    server, down = below()
    await steps(FakeServer(UP), server).delete_orphan(KIND, PLACE, down, [f"{UP}/1", f"{UP}/2"])
    assert BELOW not in server.objects


async def test_no_url_says_nothing() -> None:
    server, down = below()
    with pytest.raises(Stale):
        await steps(FakeServer(UP), server).delete_orphan(KIND, PLACE, down, [])
    assert BELOW in server.objects


async def test_another_url_has_it() -> None:
    server, down = below()
    above = FakeServer(UP)
    above.put(f"{UP}/2/clusters/one/api/v1/namespaces/default/widgets/a", {"metadata": {"name": "a"}})
    with pytest.raises(Stale):
        await steps(above, server).delete_orphan(KIND, PLACE, down, [f"{UP}/1", f"{UP}/2"])
    assert BELOW in server.objects


@pytest.mark.parametrize("code", [401, 403, 429, 500, 503])
async def test_an_error_is_no_answer(code: int) -> None:
    class Broken(FakeServer):
        async def get(self, url: str, **query: str) -> Object:
            raise ApiError("GET", code, "", "")

    server, down = below()
    with pytest.raises(ApiError):
        await steps(Broken(UP), server).delete_orphan(KIND, PLACE, down, [UP])
    assert BELOW in server.objects


async def test_whose_lease_ended_deletes_nothing() -> None:
    server, down = below()
    with pytest.raises(NotLeading):
        await steps(FakeServer(UP), server, leading=False).delete_orphan(KIND, PLACE, down, [UP])
    assert BELOW in server.objects


async def test_another_object_of_the_name_is_left() -> None:
    server, down = below()
    del server.objects[BELOW]
    server.put(BELOW, {"metadata": {"name": "a"}})
    with pytest.raises(ApiError):
        await steps(FakeServer(UP), server).delete_orphan(KIND, PLACE, down, [UP])
    assert BELOW in server.objects
