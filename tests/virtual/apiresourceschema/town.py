"""A provider of cowboys on one shard, a consumer on another, and people who may look or may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from tenantry.apiserver.user import User
from tenantry.kube.objects import Object
from tests.support.people import MASTER, person
from tests.support.tenancies import SCHEMA_VERSION, ServedShard

PROVIDER = "rprovider0000000"
CONSUMER = "900consumer00000"
NEIGHBOUR = "900neighbour0000"
READER = person("reader")
ACCESS: Object = {"nonResourceURLs": ["/"], "verbs": ["access"]}
GET_BINDINGS: Object = {"apiGroups": ["apis.kcp.io"], "resources": ["apibindings"], "verbs": ["get"]}
SCHEMAS = "/apis/apis.kcp.io/v1alpha1/apiresourceschemas"


class Town(NamedTuple):
    """`here`: the shard of the provider. `there`: the shard of the consumer."""

    here: ServedShard
    there: ServedShard

    async def read(self, path: str = SCHEMAS, who: User = READER, query: str = "", **headers: str) -> tuple[int, Any]:
        return await self.there.call("GET", f"{base()}{path}", who, query=query, **headers)

    async def names(self) -> list[str]:
        status, answer = await self.read()
        assert status == 200, answer
        return [obj["metadata"]["name"] for obj in answer["items"]]

    async def offer(self, *schemas: str) -> None:
        """Makes these the schemas of the export; those that do not exist are created."""
        for name in schemas:
            if self.here.get(PROVIDER, "apis.kcp.io/apiresourceschemas", name) is None:
                await self.here.put(PROVIDER, "apis.kcp.io", "apiresourceschemas", schema(name))
        entries = [{"name": name.split(".")[1], "group": "wild.west", "schema": name, "storage": {"crd": {}}} for name in schemas]
        await self.here.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", lambda obj: obj["spec"].update(resources=entries))


def base(cluster: str = CONSUMER) -> str:
    return f"/services/apiresourceschema/{cluster}"


def schema(name: str) -> Object:
    """`name`: `<version>.<plural>.wild.west`."""
    plural = name.split(".")[1]
    kind = plural[:-1].capitalize()
    names = {"plural": plural, "singular": plural[:-1], "kind": kind, "listKind": f"{kind}List"}
    return {
        "metadata": {"name": name, "labels": {"plural": plural}},
        "spec": {"group": "wild.west", "names": names, "scope": "Namespaced", "versions": [SCHEMA_VERSION]},
    }


@asynccontextmanager
async def town() -> AsyncIterator[Town]:
    async with ServedShard() as here:
        there = ServedShard(store=here.store, name="there")
        async with there:
            await here.cluster(PROVIDER, "root:provider")
            await here.export(PROVIDER)
            await there.until(lambda: there.identity(PROVIDER, "cowboys"))
            for cluster in (CONSUMER, NEIGHBOUR):
                await there.cluster(cluster)
            await there.role(CONSUMER, "reader", ACCESS, GET_BINDINGS)
            await there.bind_role(CONSUMER, "reader", "reader", READER.name)
            await there.bind(CONSUMER, PROVIDER, "cowboys")
            yield Town(here, there)


async def unbind(shard: ServedShard) -> None:
    path = f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys"
    assert (await shard.call("DELETE", path, MASTER))[0] == 200
