"""Workspaces whose CustomResourceDefinitions say the same share all that is computed from them."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import orjson
import pytest

from tenantry.apiserver.request import Request
from tenantry.base.cache import caches
from tenantry.http.messages import Response
from tenantry.kube.custom import crd_content, definition_from_content
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Head, Record
from tenantry.tenancy.resources import API_BINDINGS, CUSTOM_RESOURCE_DEFINITIONS
from tests.support.clusters import ServedCluster
from tests.support.people import MASTER

KINDS = 50
FURTHER = 20
BYTES_OF_A_FURTHER_WORKSPACE = 1024
GROUP = "g.example"
DOCUMENTS = (
    ("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    (f"/apis/{GROUP}/v1", "application/json"),
    ("/openapi/v2", "application/json"),
    ("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"),
    ("/openapi/v3", "application/json"),
    (f"/openapi/v3/apis/{GROUP}/v1", "application/json"),
)


def crd(cluster: str, number: int, *, reverse: bool = False, **properties: str) -> Record:
    plural, kind = f"things{number}", f"Thing{number}"
    names = {"plural": plural, "singular": plural[:-1], "kind": kind, "listKind": f"{kind}List"}
    fields = {f"p{n}": {"type": "string", "maxLength": 9} for n in range(9)}
    fields |= {name: {"type": form} for name, form in properties.items()}
    spec: Object = {
        "type": "object",
        "properties": dict(reversed(fields.items())) if reverse else fields,
        "x-kubernetes-validations": [{"rule": "self.p1 <= self.p2", "message": "in order"}],
        "required": ["p1", "p2"],
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
        "additionalPrinterColumns": [{"name": "P", "type": "string", "jsonPath": ".spec.p1"}],
    }
    uid, name = f"{cluster}-{number}", f"{plural}.{GROUP}"
    obj: Object = {
        "metadata": {"name": name, "uid": uid, "generation": 1},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
        "status": {"acceptedNames": names, "conditions": [{"type": "Established", "status": "True"}]},
    }
    return Record(Key(cluster, CUSTOM_RESOURCE_DEFINITIONS, "", name), orjson.dumps(obj), 1, Head(uid))


def kinds(cluster: str, **more: Any) -> list[Record]:
    return [crd(cluster, number, **more) for number in range(KINDS)]


@asynccontextmanager
async def shard_with(clusters: dict[str, Iterable[Record]]) -> AsyncIterator[ServedCluster]:
    async with ServedCluster() as shard:
        for cluster in clusters:
            await shard.cluster(cluster)
            await shard.namespace(cluster, "default")
        for cluster, records in clusters.items():
            shard.cell.range_of(cluster).load(iter(records))
            shard.tenancy.apis._clusters.pop(cluster)
        yield shard


async def nothing(limit_bytes: int) -> bytes:
    return b""


async def read_documents(shard: ServedCluster, cluster: str) -> None:
    for path, accept in DOCUMENTS:
        request = Request("GET", f"/clusters/{cluster}{path}", "", {"accept": accept}, nothing, user=MASTER)
        reply = await shard.pipeline(request)
        assert isinstance(reply, Response)
        assert reply.status == 200


async def write_an_object(shard: ServedCluster, cluster: str) -> None:
    """What its schema, its rules and its columns are compiled for."""
    path = f"/clusters/{cluster}/apis/{GROUP}/v1/namespaces/default/things7"
    body: Object = {"apiVersion": f"{GROUP}/v1", "kind": "Thing7", "metadata": {"name": "a"}, "spec": {"p1": "2", "p2": "1"}}
    status, answer = await shard.call("POST", path, MASTER, body)
    assert (status, "in order" in answer["message"]) == (422, True)


def named(number: int) -> str:
    return f"requal{number:010}"


async def grown_bytes(shard: ServedCluster, *, write: bool) -> float:
    """By how much memory grows for each further workspace whose documents are read."""

    async def use(number: int) -> None:
        await read_documents(shard, named(number))
        if write:
            await write_an_object(shard, named(number))

    await use(0)
    await use(1)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(2, FURTHER + 2):
            await use(number)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / FURTHER
    finally:
        tracemalloc.stop()


async def test_memory_of_a_further_workspace() -> None:
    async with shard_with({named(number): kinds(named(number)) for number in range(FURTHER + 2)}) as shard:
        assert await grown_bytes(shard, write=True) < BYTES_OF_A_FURTHER_WORKSPACE


async def test_memory_of_a_further_workspace_that_binds_an_export() -> None:
    async with shard_with({named(number): () for number in range(FURTHER + 2)}) as shard:
        await shard.tenancy.runner.stop()
        uids = [await export_schema(shard, named(0), number) for number in range(KINDS)]
        for number in range(FURTHER + 2):
            cluster = named(number)
            shard.cell.range_of(cluster).load(iter((binding(cluster, named(0), uids),)))
            shard.tenancy.apis._clusters.pop(cluster)
        assert await grown_bytes(shard, write=False) < BYTES_OF_A_FURTHER_WORKSPACE


async def export_schema(shard: ServedCluster, cluster: str, number: int) -> str:
    """The uid of a new APIResourceSchema of the same type."""
    spec = orjson.loads(crd(cluster, number).value)["spec"]
    for version in spec["versions"]:
        version["schema"] = version["schema"]["openAPIV3Schema"]
    name = f"v1.{spec['names']['plural']}.{GROUP}"
    body = {"apiVersion": "apis.kcp.io/v1alpha1", "kind": "APIResourceSchema", "metadata": {"name": name}, "spec": spec}
    path = f"/clusters/{cluster}/apis/apis.kcp.io/v1alpha1/apiresourceschemas"
    status, made = await shard.call("POST", path, MASTER, body)
    assert status == 201, made
    return str(made["metadata"]["uid"])


def binding(cluster: str, provider: str, uids: list[str]) -> Record:
    schemas = [{"UID": uid, "name": f"v1.things{number}.{GROUP}", "identityHash": "i" * 64} for number, uid in enumerate(uids)]
    obj: Object = {
        "metadata": {"name": "b", "uid": cluster},
        "spec": {"reference": {"export": {"path": "root:provider", "name": "e"}}},
        "status": {
            "apiExportClusterName": provider,
            "boundResources": [
                {"group": GROUP, "resource": f"things{number}", "schema": schema, "storageVersions": ["v1"]}
                for number, schema in enumerate(schemas)
            ],
        },
    }
    return Record(Key(cluster, API_BINDINGS, "", "b"), orjson.dumps(obj), 1, Head(cluster))


async def test_the_documents_of_a_further_workspace_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []

    def counted(content: bytes) -> ResourceDefinition:
        made.append(content)
        return definition_from_content(content)

    monkeypatch.setattr("tenantry.tenancy.custom_definitions.definition_from_content", counted)
    # The order in which a client sends fields does not matter.
    async with shard_with({named(0): kinds(named(0)), named(1): kinds(named(1), reverse=True)}) as shard:
        await read_documents(shard, named(0))
        assert len(made) == KINDS
        first, second = [await shard.tenancy.apis.read(named(number)) for number in (0, 1)]
        assert second is first
        assert len(made) == KINDS


async def test_where_one_definition_differs_the_others_are_shared() -> None:
    other = [*kinds(named(1))[:-1], crd(named(1), KINDS - 1, more="integer")]
    async with shard_with({named(0): kinds(named(0)), named(1): other}) as shard:
        sets = [await shard.tenancy.apis.read(named(number)) for number in (0, 1)]
        first, second = ({each.plural: each for each in found if each.crd} for found in sets)
        assert {plural for plural in first if first[plural] is not second[plural]} == {f"things{KINDS - 1}"}
        assert "more" not in first[f"things{KINDS - 1}"].versions["v1"].schema.properties["spec"].properties
        assert "more" in second[f"things{KINDS - 1}"].versions["v1"].schema.properties["spec"].properties


async def test_the_end_of_one_workspaces_definition_is_its_own() -> None:
    async with shard_with({named(number): kinds(named(number)) for number in (0, 1)}) as shard:
        apis = shard.tenancy.apis
        await apis.read(named(0))
        await apis.read(named(1))

        def end(obj: Object) -> None:
            obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            obj["metadata"]["finalizers"] = ["customresourcecleanup.apiextensions.k8s.io"]

        await shard.edit(named(0), "apiextensions.k8s.io", "customresourcedefinitions", f"things7.{GROUP}", end)
        found = [(await apis.read(named(number))).find(GROUP, "v1", "things7") for number in (0, 1)]
        assert [each[0].terminating for each in found if each is not None] == [True, False]


async def test_nothing_stays_of_what_no_workspace_has() -> None:
    async with shard_with({named(number): kinds(named(number)) for number in range(3)}) as shard:
        for number in range(3):
            await read_documents(shard, named(number))
            await write_an_object(shard, named(number))
        wanted = {crd_content(orjson.loads(record.value)) for record in kinds(named(0))}
        assert len(shard.tenancy.apis._custom._known) == len(wanted) == len(alive())
        for number in range(3):
            cluster = named(number)
            path = f"/clusters/{cluster}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            assert (await shard.call("DELETE", path, MASTER))[0] == 200
            range_ = shard.cell.range_of(cluster)
            await shard.until(partial(_has_no_definitions, range_, cluster))
            assert (await shard.call("GET", f"/clusters/{cluster}/apis/{GROUP}/v1", MASTER))[0] == 404
        for cache in caches():
            cache.clear()
        assert alive() == []
        assert len(shard.tenancy.apis._custom._known) == 0


def _has_no_definitions(range_: Range, cluster: str) -> bool:
    return range_.count(CUSTOM_RESOURCE_DEFINITIONS, cluster) == 0


def alive() -> list[ResourceDefinition]:
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, ResourceDefinition) and each.crd]
