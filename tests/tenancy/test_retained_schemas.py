"""What consumers have bound stays theirs when the provider deletes the schema, over restarts too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenantry.storage.memory import MemoryStore
from tenantry.tenancy.retained_schemas import RETAINED
from tests.support.one_process import Stack, new_cell, running
from tests.tenancy.cowboys import APIS, EXPORT, SCHEMA, binding, bound, post


def retained(stack: Stack) -> int:
    return sum(
        len(range_.list(RETAINED, range_.start)) for shard in stack.shards.values() for range_ in shard.cell.ranges.values()
    )


async def test_bound_apis_outlive_their_schema_and_its_workspace(tmp_path: Path) -> None:
    store = MemoryStore(new_cell())
    shape: dict[str, Any] = {"shards": 2, "capacity": 2}
    consumers: list[str] = []
    async with running(tmp_path, store=store, **shape) as stack:
        provider = await stack.workspace("root", "provider")
        await post(stack, f"/clusters/{provider}/{APIS}/v1alpha1/apiresourceschemas", SCHEMA)
        await post(stack, f"/clusters/{provider}/{APIS}/v1alpha2/apiexports", EXPORT)
        for number in range(4):
            consumer = await stack.workspace("root", f"consumer-{number}")
            consumers.append(consumer)
            await post(stack, f"/clusters/{consumer}/{APIS}/v1alpha2/apibindings", binding("root:provider"))
            await bound(stack, consumer)
            cowboy = {"apiVersion": "wild.west/v1", "kind": "Cowboy", "metadata": {"name": "joe"}, "spec": {"size": number}}
            await post(stack, f"/clusters/{consumer}/apis/wild.west/v1/namespaces/default/cowboys", cowboy)
        ranges = {stack.tenancy.directory.locate(consumer).range for consumer in consumers}

        async def kept() -> bool:
            return retained(stack) == len(ranges)

        await stack.eventually(kept)
        path = f"/clusters/{provider}/{APIS}/v1alpha1/apiresourceschemas/v1.cowboys.wild.west"
        assert (await stack.call("DELETE", path))[0] == 200
    async with running(tmp_path, store=store, **shape) as stack:
        await _still_served(stack, consumers)
        assert (await stack.call("DELETE", "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces/provider"))[0] == 200
        await stack.gone("root", "provider")
    async with running(tmp_path, store=store, **shape) as stack:
        await _still_served(stack, consumers)
        for consumer in consumers:
            assert (await stack.call("DELETE", f"/clusters/{consumer}/{APIS}/v1alpha2/apibindings/cowboys"))[0] == 200

        async def given_up() -> bool:
            return retained(stack) == 0

        await stack.eventually(given_up)


async def _still_served(stack: Stack, consumers: list[str]) -> None:
    for number, consumer in enumerate(consumers):
        path = f"/clusters/{consumer}/apis/wild.west/v1/namespaces/default/cowboys"
        status, joe = await stack.call("GET", f"{path}/joe")
        assert status == 200, joe
        assert joe["spec"]["size"] == number
        bad = {"apiVersion": "wild.west/v1", "kind": "Cowboy", "metadata": {"name": "bad"}, "spec": {"size": "large"}}
        assert (await stack.call("POST", path, body=bad))[0] == 422, "its schema still holds"
