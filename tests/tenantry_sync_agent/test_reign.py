"""A process that lost its lease says nothing of the SyncTarget."""

from __future__ import annotations

import asyncio
from typing import Any

from tenantry.base.tasks import awaited
from tenantry_sync_agent.agent import Reign
from tenantry_sync_agent.api_client import Object
from tenantry_sync_agent.election import NotLeading
from tenantry_sync_agent.settings import SyncSettings
from tenantry_syncer.names import Target
from tests.support.waiting import eventually


class Above:
    server = ""

    def __init__(self) -> None:
        self.patched: list[str] = []

    async def patch(self, url: str, body: Object) -> Object:
        self.patched.append(url)
        return {}

    async def get(self, url: str) -> Object:
        return {"groups": [], "resources": []}


class Followers:
    async def update(self, *_: Any) -> None: ...


async def test_no_heartbeat_without_the_lease() -> None:
    leading, asked = True, 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if not leading:
            raise NotLeading

    settings = SyncSettings(target="edge", heartbeat_seconds=0.1)
    above: Any = Above()
    followers: Any = Followers()
    reign = Reign(settings, Target("root", "edge", "1"), above, above, followers, followers, check=check)
    types = awaited(reign.follow_types(), name="types")
    heartbeats = awaited(reign.send_heartbeats(), name="heartbeats")
    await eventually(lambda: len(above.patched) > 1)
    leading, asked, above.patched = False, 0, []
    await eventually(lambda: asked > 2)
    assert len(above.patched) == 0
    for task in (types, heartbeats):
        task.cancel()
    await asyncio.gather(types, heartbeats, return_exceptions=True)
