"""A whole registry's process over a store in memory, and the command itself."""

from __future__ import annotations

import asyncio
import dataclasses
from functools import partial
from typing import Any

import aiohttp
import grpc
import pytest

from registry.main import RegistryProcess
from registry.settings import RegistrySettings
from tenantry.apiserver.authentication import common_names
from tenantry.apiserver.authentication.shared_authority import shared_authority
from tenantry.base.flags import SettingError
from tenantry.client.registry import RegistryClient
from tenantry.storage.store import Store
from tests.support.shards import FleetInMemory
from tests.support.waiting import eventually

SETTINGS = RegistrySettings(bind_address="127.0.0.1", registry_port=0, health_port=0, range_capacity=7)


def _has_owners(process: RegistryProcess) -> bool:
    return [info.shard for info in process.registry.map.ranges()] == ["one"]


async def test_process_answers_and_says_how_it_is(store: Store, fleet: FleetInMemory) -> None:
    first = RegistryProcess(SETTINGS, store, await shared_authority(store))
    second = RegistryProcess(SETTINGS, store, await shared_authority(store))
    await first.start()
    await second.start()
    try:
        await fleet.join("one")
        await eventually(fleet.placed)
        # Each registry follows the map by itself, and whichever the client asks tells what it has seen of it.
        for process in (first, second):
            await eventually(partial(_has_owners, process))
        pair = (await shared_authority(store)).issue_client("tenantry-shard")
        client = RegistryClient(
            [f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"],
            ca=(await shared_authority(store)).certificate,
            certificate=pair.certificate,
            key=pair.key,
            server_name=common_names.REGISTRY,
        )
        async with client, aiohttp.ClientSession() as session:
            assert [(r.name, r.capacity, r.shard) for r in await client.ranges()] == [("root", 7, "one")]
            assert sorted([first.registry.election.leading, second.registry.election.leading]) == [False, True]
            for process in (first, second):
                async with session.get(f"http://127.0.0.1:{process.health_port}/readyz") as ready:
                    assert ready.status == 200
                async with session.get(f"http://127.0.0.1:{process.health_port}/metrics") as metrics:
                    text = await metrics.text()
                assert f"tenantry_registry_leading {float(process.registry.election.leading)}" in text
                assert "tenantry_registry_ranges_without_owner 0.0" in text
                async with session.get(f"http://127.0.0.1:{process.health_port}/other") as other:
                    assert other.status == 404
            # The leader ends in order: the other one leads at once, and clients go on.
            leader, other_one = (first, second) if first.registry.election.leading else (second, first)
            await leader.stop()
            await eventually(lambda: other_one.registry.election.leading)
            assert (await client.open_range({}, fleet.map.version)).name == "range-2"
    finally:
        await first.stop()
        await second.stop()


async def test_a_taken_port_is_said_so(store: Store) -> None:
    authority = await shared_authority(store)
    first = RegistryProcess(SETTINGS, store, authority)
    await first.start()
    second = RegistryProcess(dataclasses.replace(SETTINGS, registry_port=first.port), store, authority)
    try:
        with pytest.raises(OSError, match="choose another port"):
            await second.start()
    finally:
        await second.stop()
        await first.stop()


async def test_connections_without_a_certificate_are_refused(store: Store) -> None:
    authority = await shared_authority(store)
    process = RegistryProcess(SETTINGS, store, authority)
    await process.start()
    try:
        credentials = grpc.ssl_channel_credentials(authority.certificate)
        async with grpc.aio.secure_channel(f"127.0.0.1:{process.port}", credentials) as channel:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await channel.channel_ready()
    finally:
        await process.stop()


@pytest.mark.parametrize(
    ("name", "value"), [("registry_port", -1), ("range_capacity", 0), ("balance_churn", 2), ("log_level", "loud")]
)
def test_bad_settings_name_themselves(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=name.replace("_", "-")):
        dataclasses.replace(SETTINGS, **{name: value})
