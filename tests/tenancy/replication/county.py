"""A provider of sheriffs on one shard, who replicates them, and consumers on another shard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from tenantry.apiserver.user import User
from tenantry.kube.objects import Object
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard, changes_of
from tests.support.waiting import after_changes

PROVIDER = "rprovider0000000"
CONSUMER = "900consumer00000"
NEIGHBOUR = "900neighbour0000"
READER = person("reader")
GROUP, VERSION = "wild.dev", "v1alpha1"
SCHEMA_NAME = "v1.sheriffs.wild.dev"
SHERIFFS = f"/apis/{GROUP}/{VERSION}/sheriffs"
CACHE = "/apis/cache.kcp.io/v1alpha1"
APIS = "/apis/apis.kcp.io/v1alpha2"
RESOURCE = "cache.kcp.io/clustercachedresources"
SLICE = "cache.kcp.io/clustercachedresourceendpointslices"
ACCESS: Object = {"nonResourceURLs": ["/"], "verbs": ["access"]}
READ: Object = {"apiGroups": [GROUP], "resources": ["sheriffs"], "verbs": ["get", "list", "watch"]}

OPEN_SCHEMA: Object = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"star": {"type": "string"}}},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    },
}


def crd(plural: str = "sheriffs", scope: str = "Cluster") -> Object:
    names = {"plural": plural, "singular": plural[:-1], "kind": plural[:-1].capitalize(), "listKind": f"{plural}List"}
    version = {"name": VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": OPEN_SCHEMA}}
    return {
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": scope, "versions": [version | {"subresources": {"status": {}}}]},
        "status": {"conditions": [{"type": "Established", "status": "True"}], "acceptedNames": names},
    }


def sheriff(name: str, labels: dict[str, str] | None = None, star: str = "tin") -> Object:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Sheriff",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"star": star},
    }


def cached_resource(name: str = "sheriffs", **spec: Any) -> Object:
    return {
        "apiVersion": "cache.kcp.io/v1alpha1",
        "kind": "ClusterCachedResource",
        "metadata": {"name": name},
        "spec": {"group": GROUP, "version": VERSION, "resource": "sheriffs", **spec},
    }


def endpoint_slice(name: str = "sh", **spec: Any) -> Object:
    return {
        "apiVersion": "cache.kcp.io/v1alpha1",
        "kind": "ClusterCachedResourceEndpointSlice",
        "metadata": {"name": name},
        "spec": {"clusterCachedResource": {"name": "sheriffs"}, "export": {"name": "offices"}, **spec},
    }


class County(NamedTuple):
    """`here`: the shard of the provider. `there`: the shard of the consumers."""

    here: ServedShard
    there: ServedShard

    async def post(self, path: str, body: Object, who: User = MASTER, cluster: str = PROVIDER) -> Object:
        status, answer = await self.here.call("POST", f"/clusters/{cluster}{path}", who, body)
        assert status == 201, answer
        return dict(answer)

    async def merge(self, path: str, patch: Object) -> None:
        status, answer = await self.here.call(
            "PATCH", f"/clusters/{PROVIDER}{path}", MASTER, patch, content_type="application/merge-patch+json"
        )
        assert status == 200, answer

    async def delete(self, path: str) -> None:
        status, answer = await self.here.call("DELETE", f"/clusters/{PROVIDER}{path}", MASTER)
        assert status == 200, answer

    async def sheriff(self, name: str, labels: dict[str, str] | None = None, star: str = "tin") -> None:
        await self.post(SHERIFFS, sheriff(name, labels, star))

    def cached(self, name: str = "sheriffs") -> Object:
        """A ClusterCachedResource of the provider; empty if there is none."""
        return self.here.get(PROVIDER, RESOURCE, name) or {}

    def status(self) -> Object:
        return dict(self.cached().get("status") or {})

    def counts(self) -> tuple[int, int]:
        """(cache, local) of `sheriffs`; -1 before they are known."""
        counts = self.status().get("resourceCounts") or {}
        return counts.get("cache", -1), counts.get("local", -1)

    def conditions(self) -> dict[str, tuple[str, str]]:
        """Type → status and reason."""
        found = self.status().get("conditions") or ()
        return {each["type"]: (each["status"], each.get("reason", "")) for each in found}

    async def replicate(self, **spec: Any) -> None:
        """A ClusterCachedResource of sheriffs; returns when it is Ready."""
        await self.post(f"{CACHE}/clustercachedresources", cached_resource(**spec))
        await self.here.until(lambda: self.status().get("phase") == "Ready")

    async def offer(self, kind: str = "ClusterCachedResourceEndpointSlice") -> None:
        """The slice, and an export that serves the replicated sheriffs."""
        await self.post(f"{CACHE}/clustercachedresourceendpointslices", endpoint_slice())
        await self.export(kind)

    async def export(self, kind: str, *, identity: str = "", cluster: str = PROVIDER) -> None:
        names = {"plural": "sheriffs", "singular": "sheriff", "kind": "Sheriff", "listKind": "SheriffList"}
        version = {"name": VERSION, "served": True, "storage": True, "schema": OPEN_SCHEMA, "subresources": {"status": {}}}
        schema = {
            "metadata": {"name": SCHEMA_NAME},
            "spec": {"group": GROUP, "names": names, "scope": "Cluster", "versions": [version]},
        }
        await self.here.put(cluster, "apis.kcp.io", "apiresourceschemas", schema)
        reference = {"apiGroup": "cache.kcp.io", "kind": kind, "name": "sh"}
        virtual = {"reference": reference, "identityHash": identity or self.status()["identityHash"]}
        entry = {"name": "sheriffs", "group": GROUP, "schema": SCHEMA_NAME, "storage": {"virtual": virtual}}
        body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIExport", "metadata": {"name": "offices"}}
        await self.post(f"{APIS}/apiexports", {**body, "spec": {"resources": [entry]}}, cluster=cluster)
        await self.there.until(lambda: self.there.identity(cluster, "offices"))
        # The other shard learns of all of this from the store.
        await self.there.until(lambda: self.there.tenancy.exports.schema(cluster, SCHEMA_NAME))

    async def read(self, path: str = SHERIFFS, who: User = READER, query: str = "", **headers: str) -> tuple[int, Any]:
        """A request of the consumer."""
        return await self.there.call("GET", f"/clusters/{CONSUMER}{path}", who, query=query, **headers)

    async def names(self, query: str = "") -> list[str]:
        status, answer = await self.read(query=query)
        assert status == 200, answer
        return [obj["metadata"]["name"] for obj in answer["items"]]

    async def shows(self, *names: str) -> None:
        """Returns when the consumer sees these sheriffs."""

        async def same() -> bool:
            status, answer = await self.read()
            return status == 200 and [obj["metadata"]["name"] for obj in answer["items"]] == list(names)

        await self.after(same)

    async def after(self, look: Callable[[], Awaitable[Any]]) -> Any:
        """The first answer of `look` that is true, asked after each change on one of the shards."""
        return await after_changes(look, changes_of(self.here.tenancy), changes_of(self.there.tenancy))


@asynccontextmanager
async def county() -> AsyncIterator[County]:
    async with ServedShard() as here:
        there = ServedShard(store=here.store, name="there")
        async with there:
            await here.cluster(PROVIDER, "root:provider")
            await here.put(PROVIDER, "apiextensions.k8s.io", "customresourcedefinitions", crd())
            await there.until(lambda: there.tenancy.directory.cluster_of("root:provider") == PROVIDER)
            for cluster in (CONSUMER, NEIGHBOUR):
                await there.cluster(cluster)
            await there.role(CONSUMER, "reader", ACCESS, READ)
            await there.bind_role(CONSUMER, "reader", "reader", READER.name)
            yield County(here, there)


@asynccontextmanager
async def bound_county(**spec: Any) -> AsyncIterator[County]:
    """With two sheriffs, `doc` and `wyatt`, and a consumer that has bound the export."""
    async with county() as made:
        await made.sheriff("wyatt", {"star": "yes"})
        await made.sheriff("doc")
        await made.replicate(**spec)
        await made.offer()
        await made.there.bind(CONSUMER, PROVIDER, "offices")
        yield made
