import asyncio

import pytest

from tenantry.apiserver import local_client
from tenantry.apiserver.verbs.options import DeleteOptions
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.kube.types import config_map
from tests.apiserver.range_server import RangeServer, cm, thing

CM = config_map.DEFINITION


async def test_create_read_update_delete(server: RangeServer) -> None:
    scope = server.scope
    source = cm("a", {"k": "v"})
    created = await local_client.create(scope, CM, source, namespace="default")
    assert source == cm("a", {"k": "v"})
    assert created["metadata"]["managedFields"][0]["manager"] == "tenantry"
    assert local_client.read(scope, CM, "default", "a") == created
    assert local_client.read(scope, CM, "default", "none") is None

    def change(obj: Object) -> Object:
        obj["data"]["k"] = "w"
        return obj

    updated = await local_client.update(scope, CM, "default", "a", change)
    assert updated is not None
    assert updated["data"] == {"k": "w"}
    again = await local_client.update(scope, CM, "default", "a", change)
    assert again == updated
    assert await local_client.update(scope, CM, "default", "a", lambda obj: None) == updated
    assert await local_client.update(scope, CM, "default", "none", change) is None
    deleted = await local_client.delete(scope, CM, "default", "a")
    assert deleted is not None
    assert deleted["data"] == {"k": "w"}
    assert await local_client.delete(scope, CM, "default", "a") is None


async def test_updates_start_again_when_overtaken(server: RangeServer) -> None:
    await local_client.create(server.scope, CM, cm("a", {}), namespace="default")

    async def add(index: int) -> None:
        def change(obj: Object) -> Object:
            return {**obj, "data": {**(obj.get("data") or {}), f"k{index}": "v"}}

        await local_client.update(server.scope, CM, "default", "a", change)

    await asyncio.gather(*(add(index) for index in range(20)))
    assert len((local_client.read(server.scope, CM, "default", "a") or {})["data"]) == 20


async def test_the_last_finalizer_removes_a_deleted_object(server: RangeServer) -> None:
    await local_client.create(server.scope, CM, cm("a", finalizers=["x.example/y"]), namespace="default")
    marked = await local_client.delete(server.scope, CM, "default", "a", options=DeleteOptions())
    assert marked is not None
    assert marked["metadata"]["deletionTimestamp"]

    def release(obj: Object) -> Object:
        del obj["metadata"]["finalizers"]
        return obj

    assert await local_client.update(server.scope, CM, "default", "a", release) is not None
    assert local_client.read(server.scope, CM, "default", "a") is None


async def test_refusals_are_those_of_clients(server: RangeServer) -> None:
    with pytest.raises(StatusError) as refused:
        await local_client.create(server.scope, CM, cm("Bad_"), namespace="default")
    assert refused.value.code == 422
    with pytest.raises(StatusError):
        await local_client.create(server.scope, server.thing, thing("t", size="big"), namespace="default")
    await local_client.create(server.scope, CM, cm("a"), namespace="default")
    with pytest.raises(StatusError) as refused:
        await local_client.create(server.scope, CM, cm("a"), namespace="default")
    assert refused.value.reason == "AlreadyExists"


async def test_status_is_written_through_its_subresource(server: RangeServer) -> None:
    await local_client.create(server.scope, server.thing, thing("t", a="x"), namespace="default")
    updated = await local_client.update(
        server.scope,
        server.thing,
        "default",
        "t",
        lambda obj: {**obj, "spec": {"a": "no"}, "status": {"phase": "up"}},
        subresource="status",
    )
    assert updated is not None
    assert (updated["spec"]["a"], updated["status"]) == ("x", {"phase": "up"})
