"""Workspaces from POST to Ready to gone, on one shard and on two."""

from __future__ import annotations

import pytest

from tenantry.apiserver.user import SYSTEM
from tenantry.kube.status import StatusError
from tests.tenancy.world import USER, running, workspace


async def test_a_workspace_becomes_ready_through_all_phases() -> None:
    async with running() as world:
        phases: list[str] = []
        resource = world.host.definitions.workspaces.storage_key

        def seen(events) -> None:  # type: ignore[no-untyped-def]
            import orjson

            phases.extend(orjson.loads(e.record.value)["status"]["phase"] for e in events if e.record)

        world.host.cell.ranges["root"].subscribe(seen, resource, "root")
        ready = await world.workspace("root", "one")
        assert phases == ["Scheduling", "Initializing", "Ready"]
        assert ready["spec"]["type"] == {"name": "organization", "path": "root"}
        assert ready["spec"]["URL"] == "https://tenantry.test:6443/clusters/root:one"
        assert world.host.directory.cluster_of("root:one") == ready["spec"]["cluster"]
        assert len(world.host.cell.range_of("root").list("core/namespaces", ready["spec"]["cluster"])) == 2
