"""Views of types of APIExports: their objects in all consumers, and URLs of the ranges that have some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenantry.kube.objects import Object
from tests.support.one_process import URL, Stack, running
from tests.support.people import person
from tests.virtual.machines import GROUP, Fleets

ANN = person("ann")
CARS = "cars.example.com"
SCHEMA: Object = {
    "apiVersion": "apis.kcp.io/v1alpha1",
    "kind": "APIResourceSchema",
    "metadata": {"name": f"v1.cars.{CARS}"},
    "spec": {
        "group": CARS,
        "names": {"plural": "cars", "singular": "car", "kind": "Car", "listKind": "CarList"},
        "scope": "Cluster",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "type": "object",
                    "properties": {"spec": {"type": "object", "properties": {"doors": {"type": "integer"}}}},
                },
            }
        ],
    },
}
EXPORT: Object = {
    "apiVersion": "apis.kcp.io/v1alpha2",
    "kind": "APIExport",
    "metadata": {"name": "cars"},
    "spec": {"resources": [{"group": CARS, "name": "cars", "schema": f"v1.cars.{CARS}", "storage": {"crd": {}}}]},
}


async def provider(stack: Stack) -> tuple[str, str]:
    """The cluster of an export, and its identity."""
    cluster = await stack.workspace("root", "provider")
    await created(stack, cluster, "apis/apis.kcp.io/v1alpha1/apiresourceschemas", SCHEMA)
    await created(stack, cluster, "apis/apis.kcp.io/v1alpha2/apiexports", EXPORT)

    async def identity() -> str:
        _, found = await stack.call("GET", f"/clusters/{cluster}/apis/apis.kcp.io/v1alpha2/apiexports/cars")
        return str((found.get("status") or {}).get("identityHash") or "")

    return cluster, await stack.eventually(identity)


async def consumer(stack: Stack, name: str, cluster: str) -> str:
    """A workspace that has bound the export, with a car of its name."""
    mine = await stack.workspace("root", name)
    binding = {
        "apiVersion": "apis.kcp.io/v1alpha2",
        "kind": "APIBinding",
        "metadata": {"name": "cars"},
        "spec": {"reference": {"export": {"path": cluster, "name": "cars"}}},
    }
    await created(stack, mine, "apis/apis.kcp.io/v1alpha2/apibindings", binding)
    car = {"apiVersion": f"{CARS}/v1", "kind": "Car", "metadata": {"name": name}, "spec": {"doors": 4}}

    async def made() -> bool:
        return (await stack.call("POST", f"/clusters/{mine}/apis/{CARS}/v1/cars", body=car))[0] == 201

    await stack.eventually(made)
    return mine


async def created(stack: Stack, cluster: str, path: str, obj: Object) -> None:
    status, answer = await stack.call("POST", f"/clusters/{cluster}/{path}", body=obj)
    assert status == 201, answer


def range_of(stack: Stack, cluster: str) -> str:
    info = stack.map.range_of(cluster)
    assert info is not None
    return info.name


async def urls(stack: Stack, cluster: str, name: str, wanted: int) -> list[str]:
    """The URLs of a machine, when it has so many."""

    async def look() -> dict[str, list[Any]] | None:
        _, found = await stack.call("GET", f"/clusters/{cluster}/apis/{GROUP}/v1/machines/{name}")
        published = (found.get("status") or {}).get("virtualWorkspaces")
        return {"urls": published} if published is not None and len(published) == wanted else None

    return [each["url"] for each in (await stack.eventually(look) or {})["urls"]]


async def test_a_view_of_an_exported_type(tmp_path: Path) -> None:
    async with running(tmp_path, views=[Fleets]) as stack:
        cluster, identity = await provider(stack)
        for name in ("one", "two"):
            await consumer(stack, name, cluster)
        path = f"/ranges/{range_of(stack, cluster)}/services/fleets/{identity}/clusters/*/apis/{CARS}/v1/cars"
        status, found = await stack.call("GET", path, ANN)
        assert (status, sorted(obj["metadata"]["name"] for obj in found["items"])) == (200, ["one", "two"])
        assert (await stack.call("GET", path.replace(identity, "nothing"), ANN))[0] == 404


async def test_urls_of_ranges_with_consumers_and_of_new_ranges(tmp_path: Path) -> None:
    async with running(tmp_path, views=[Fleets], capacity=2) as stack:
        cluster, _ = await provider(stack)
        machine = {"apiVersion": f"{GROUP}/v1", "kind": "Machine", "metadata": {"name": "a"}}
        machines = f"apis/{GROUP}/v1/machines"
        await created(stack, cluster, machines, {**machine, "spec": {"export": f"{cluster}/cars"}})
        await created(stack, cluster, machines, {**machine, "metadata": {"name": "none"}, "spec": {}})
        assert await urls(stack, cluster, "none", 0) == []
        known: set[str] = set()
        for number in range(4):
            mine = await consumer(stack, f"consumer-{number}", cluster)
            known.add(range_of(stack, mine))
            found = await urls(stack, cluster, "a", len(known))
            assert found == [f"{URL}/ranges/{name}/services/fleets/{cluster}/a" for name in sorted(known)]
        assert len(known) > 1
