"""However many types a workspace defines or binds, what it serves is found out in slices, and anew only for what changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from tenantry.kube import discovery, openapi
from tenantry.kube.api_set import ApiSet
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.record import Head, Record
from tenantry.tenancy.custom_definitions import CustomDefinitions
from tenantry.tenancy.resources import API_BINDINGS, CUSTOM_RESOURCE_DEFINITIONS
from tests.growth.meter import assert_linear
from tests.growth.turns import counted_turns
from tests.support.clusters import CLUSTER, ServedCluster
from tests.support.patience import PATIENCE_SECONDS
from tests.support.people import MASTER

MANY = 300
LINES_OF_A_TURN = 4_000 + 60 * MANY
"""A request, and what is put together of definitions that were read: to read one runs hundreds of lines."""
LINES_OF_A_CHANGE = 5 * MANY
OPENAPI = ("/v2", "/v3", "/v3/apis/g.example/v1")
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
SCHEMA: Object = {
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(9)}}},
}


def crd(number: int, established: str = "True", group: str = "g.example") -> Record:
    plural, kind = f"things{number}", f"Thing{number}"
    names = {"plural": plural, "singular": plural[:-1], "kind": kind, "listKind": f"{kind}List"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}
    obj: Object = {
        "metadata": {"name": f"{plural}.{group}", "uid": f"uid-{number}", "generation": 1},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
        "status": {"acceptedNames": names, "conditions": [{"type": "Established", "status": established}]},
    }
    key = Key(CLUSTER, CUSTOM_RESOURCE_DEFINITIONS, "", f"{plural}.{group}")
    return Record(key, orjson.dumps(obj), 1, Head(f"uid-{number}"))


def binding(number: int) -> Record:
    """Of a schema that does not exist."""
    schema = {"UID": f"schema-{number}", "name": f"v1.x{number}.g.example", "identityHash": "i"}
    obj: Object = {
        "metadata": {"name": f"b{number}"},
        "spec": {"permissionClaims": [{"group": "", "resource": "configmaps", "note": "x" * 300}]},
        "status": {"apiExportClusterName": "root", "boundResources": [{"schema": schema}]},
    }
    return Record(Key(CLUSTER, API_BINDINGS, "", f"b{number}"), orjson.dumps(obj), 1, Head(f"uid-b{number}"))


@asynccontextmanager
async def bare_shard(records: Iterator[Record], **parts: Any) -> AsyncIterator[ServedCluster]:
    async with ServedCluster(**parts) as shard:
        await shard.tenancy.runner.stop()
        shard.cell.range_of(CLUSTER).load(records)
        shard.tenancy.apis._clusters.clear()
        yield shard


@pytest.mark.parametrize("kind", ["served", "not served", "bound"])
async def test_apis_are_found_out_in_slices(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    records = (binding(n) if kind == "bound" else crd(n, str(kind == "served")) for n in range(MANY))
    async with bare_shard(records) as shard:
        for path in ("/apis", "/api/v1/configmaps", "/apis"):
            with counted_turns(monkeypatch) as turn:
                status, _ = await shard.call("GET", f"/clusters/{CLUSTER}{path}", MASTER)
            assert status == 200
            assert 0 < turn.longest < LINES_OF_A_TURN, f"{turn.longest} lines in one turn, most of them in {turn.where}"
        if kind == "served":
            assert (await shard.call("GET", f"/clusters/{CLUSTER}/apis/g.example/v1/things7", MASTER))[0] == 200


async def test_the_first_request_is_sliced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bare_shard(crd(n) for n in range(MANY)) as shard:
        with counted_turns(monkeypatch) as turn:
            assert (await shard.call("GET", f"/clusters/{CLUSTER}/apis/g.example/v1/things7", MASTER))[0] == 200
        assert 0 < turn.longest < LINES_OF_A_TURN, f"{turn.longest} lines in one turn, most of them in {turn.where}"


@pytest.mark.parametrize("path", ["/", "/apis", "/apis/g.example/v1", *(f"/openapi{path}" for path in OPENAPI)])
async def test_documents_of_many_types_are_made_in_slices(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    async with bare_shard(crd(n) for n in range(MANY)) as shard:
        for accept in ("application/json", AGGREGATED) if path == "/apis" else ("application/json",):
            with counted_turns(monkeypatch) as turn:
                status, _ = await shard.call("GET", f"/clusters/{CLUSTER}{path}", MASTER, accept=accept)
            assert status == 200
            assert 0 < turn.longest < LINES_OF_A_TURN, f"{turn.longest} lines in one turn, most of them in {turn.where}"


def test_documents_grow_with_the_types_however_many_groups_they_are_in() -> None:
    def make(n: int) -> Callable[[], object]:
        apis = ApiSet(definition_from_crd(orjson.loads(crd(k, group=f"g{k}.example").value)) for k in range(n))
        return lambda: (discovery.aggregated(apis, core=False, version="v2"), openapi.index(apis), list(openapi.v2(apis)))

    assert_linear(make)


async def establish(shard: ServedCluster, name: str, status: str) -> None:
    """The condition Established of a definition, which decides whether its type is served."""

    def change(obj: Object) -> None:
        obj["status"]["conditions"][0].update(status=status)

    await shard.edit(CLUSTER, "apiextensions.k8s.io", "customresourcedefinitions", name, change)


async def test_who_follows_a_clusters_apis_is_told_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch asks at once whether its type is still the same."""
    async with bare_shard(crd(n) for n in range(MANY)) as shard:
        apis = shard.tenancy.apis
        notified = asyncio.Event()
        found: list[ApiSet] = []

        def changed() -> None:
            found.append(apis.for_cluster(CLUSTER))
            notified.set()

        stop = apis.subscribe(CLUSTER, changed)
        await apis.read(CLUSTER)
        name = "things8.g.example"
        with counted_turns(monkeypatch) as turn:
            await establish(shard, name, "False")
            await asyncio.wait_for(notified.wait(), PATIENCE_SECONDS)
        stop()
        assert found[-1].find("g.example", "v1", "things8") is None
        assert found[-1].find("g.example", "v1", "things9") is not None
        assert 0 < turn.longest < LINES_OF_A_CHANGE, f"{turn.longest} lines in one turn, most of them in {turn.where}"


async def test_what_did_not_change_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    define = CustomDefinitions.of

    def of(definitions: CustomDefinitions, crd: Object) -> ResourceDefinition | None:
        read.append(crd["metadata"]["name"])
        return define(definitions, crd)

    monkeypatch.setattr(CustomDefinitions, "of", of)
    async with bare_shard(crd(n, "True" if n % 2 else "False") for n in range(MANY)) as shard:
        path = f"/clusters/{CLUSTER}/apis/g.example/v1/things7"
        assert (await shard.call("GET", path, MASTER))[0] == 200
        assert len(read) == MANY
        read.clear()
        name = "things8.g.example"
        await establish(shard, name, "True")
        assert (await shard.call("GET", path.replace("things7", "things8"), MASTER))[0] == 200
        assert set(read) == {name}


async def test_large_bound_schemas_are_read_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = {f"p{n}": {"type": "string", "description": "x" * 20} for n in range(4_000)}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"type": "object", "properties": properties}}
    names = {"plural": "x0", "singular": "x0", "kind": "X0", "listKind": "X0List"}
    body: Object = {
        "apiVersion": "apis.kcp.io/v1alpha1",
        "kind": "APIResourceSchema",
        "metadata": {"name": "v1.x0.g.example"},
        "spec": {"group": "g.example", "scope": "Cluster", "names": names, "versions": [version]},
    }
    async with bare_shard(iter(())) as shard:
        schemas = f"/clusters/{CLUSTER}/apis/apis.kcp.io/v1alpha1/apiresourceschemas"
        status, schema = await shard.call("POST", schemas, MASTER, body)
        assert status == 201, schema
        record = binding(0)
        obj = orjson.loads(record.value)
        obj["status"]["apiExportClusterName"] = CLUSTER
        obj["status"]["boundResources"][0]["schema"]["UID"] = schema["metadata"]["uid"]
        shard.cell.range_of(CLUSTER).load(iter((Record(record.key, orjson.dumps(obj), 1, record.head),)))
        shard.tenancy.apis._clusters.clear()
        with counted_turns(monkeypatch) as turn:
            apis = await shard.tenancy.apis.read(CLUSTER)
        assert apis.find("g.example", "v1", "x0") is not None
        assert 0 < turn.longest < LINES_OF_A_TURN, f"{turn.longest} lines in one turn, most of them in {turn.where}"
