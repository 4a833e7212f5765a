"""Processes of views over the registry's gRPC."""

from __future__ import annotations

import grpc
import pytest

from tenantry.client.registry import RegistryClient, RegistryError
from tenantry.http.certificates import CertificateAuthority
from tenantry.placement.view_registration import ViewRegistration
from tenantry.placement.view_rows import ViewProcessRow
from tests.registry.test_service import Service, authority, service
from tests.support.shards import FleetInMemory
from tests.support.waiting import eventually_answers

__all__ = ["authority", "service"]


def registration(fleet: FleetInMemory, *views: str) -> ViewRegistration:
    row = ViewProcessRow("views-1", "https://views-1:6443", "1.2", list(views))
    return ViewRegistration(fleet.store, "uid-1", row, why_not=lambda: "starting" if "b" in views else "", ttl_seconds=60.0)


async def listed(client: RegistryClient) -> dict[str, list[tuple[str, ...]]]:
    return {
        view.name: [(each.name, each.uid, each.url, each.version, each.state, each.unready) for each in view.processes]
        for view in await client.views()
    }


async def test_views_are_listed_and_forgotten(service: Service, fleet: FleetInMemory) -> None:
    client = await service.client()
    assert await listed(client) == {}
    process = registration(fleet, "a", "b")
    await process.start()
    shown = ("views-1", "uid-1", "https://views-1:6443", "1.2", "serving", "starting")

    async def is_shown() -> bool:
        return await listed(client) == {"a": [shown], "b": [shown]}

    await eventually_answers(is_shown)
    with pytest.raises(RegistryError, match="a living process") as refused:
        await client.forget_view("a")
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "VIEW_IS_SERVED")
    with pytest.raises(RegistryError, match="no process of its own") as refused:
        await client.forget_view("c")
    assert refused.value.code == grpc.StatusCode.NOT_FOUND
    assert process._task is not None
    process._task.cancel()
    await fleet.store.revoke_lease(process._lease)

    async def is_gone() -> bool:
        return await listed(client) == {"a": [], "b": []}

    await eventually_answers(is_gone)
    await client.forget_view("a")

    async def is_forgotten() -> bool:
        return await listed(client) == {"b": []}

    await eventually_answers(is_forgotten)


async def test_only_processes_of_the_platform_forget_views(service: Service, authority: CertificateAuthority) -> None:
    client = await service.client("somebody")
    assert await listed(client) == {}
    with pytest.raises(RegistryError, match="does not permit changes"):
        await client.forget_view("a")
