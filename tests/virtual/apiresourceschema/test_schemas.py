"""The schemas of a consumer whose provider is on another shard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tenantry.storage import resource_version
from tenantry.tenancy.computed.computed_record import ComputedRecord
from tenantry.tenancy.computed.sources import Sources
from tenantry.tenancy.exports.hashing import EXPORT_LABEL, export_hash
from tenantry.virtual.apiresourceschema.api_resource_schema_view import ApiResourceSchemaView
from tenantry.virtual.view import Place
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard
from tests.virtual.apiresourceschema.town import CONSUMER, NEIGHBOUR, PROVIDER, READER, SCHEMAS, base, town, unbind
from tests.virtual.watching import Watch

COWBOYS = "v1.cowboys.wild.west"
HORSES = "v1.horses.wild.west"
SHEEP = "v2.sheep.wild.west"


async def test_a_proper_list() -> None:
    async with town() as west:
        await west.offer(HORSES, COWBOYS)
        await west.there.until(lambda: west.there.tenancy.exports.schema(PROVIDER, HORSES))
        async with Watch(west.there, f"{base()}{SCHEMAS}", READER) as watch:
            assert [await watch.next(), await watch.next()] == [("ADDED", COWBOYS), ("ADDED", HORSES)]
        status, found = await west.read()
        assert (status, found["kind"], found["apiVersion"]) == (200, "APIResourceSchemaList", "apis.kcp.io/v1alpha1")
        assert [obj["metadata"]["name"] for obj in found["items"]] == [COWBOYS, HORSES]
        version = int(found["metadata"]["resourceVersion"])
        for obj in found["items"]:
            assert (obj["kind"], obj["apiVersion"]) == ("APIResourceSchema", "apis.kcp.io/v1alpha1")
            assert 0 < int(obj["metadata"]["resourceVersion"]) <= version
            assert obj["metadata"]["annotations"]["kcp.io/cluster"] == PROVIDER
            original = west.here.get(PROVIDER, "apis.kcp.io/apiresourceschemas", obj["metadata"]["name"])
            assert original is not None
            assert obj["spec"] == original["spec"]
            assert obj["metadata"]["uid"] == original["metadata"]["uid"]
        for path in (f"{base()}/clusters/{CONSUMER}", f"{base()}/clusters/*", f"/ranges/range-9{base()}"):
            assert (await west.there.call("GET", f"{path}{SCHEMAS}", READER)) == (200, found)
        assert await west.read(f"{SCHEMAS}/{HORSES}") == (200, found["items"][1])
        assert (await west.read(f"{SCHEMAS}/{SHEEP}"))[0] == 404
        # The neighbour has bound nothing.
        status, found = await west.there.call("GET", f"{base(NEIGHBOUR)}{SCHEMAS}", MASTER)
        assert (status, found["items"]) == (200, [])
        assert found["metadata"]["resourceVersion"]


async def test_selectors_pages_and_representations() -> None:
    async with town() as west:
        await west.offer(HORSES, SHEEP, COWBOYS)
        await west.there.until(lambda: west.there.tenancy.exports.schema(PROVIDER, SHEEP))

        async def names(query: str) -> list[str]:
            status, found = await west.read(query=query)
            assert status == 200, found
            return [obj["metadata"]["name"] for obj in found["items"]]

        async with Watch(west.there, f"{base()}{SCHEMAS}", READER, f"watch=true&fieldSelector=metadata.name={SHEEP}") as watch:
            assert await watch.next() == ("ADDED", SHEEP)
        assert await names("") == [COWBOYS, HORSES, SHEEP]
        assert await names("labelSelector=plural=horses") == [HORSES]
        assert await names(f"fieldSelector=metadata.name={SHEEP}") == [SHEEP]
        assert (await west.read(query="fieldSelector=spec.group=wild.west"))[0] == 400
        _, page = await west.read(query="limit=2")
        assert [obj["metadata"]["name"] for obj in page["items"]] == [COWBOYS, HORSES]
        assert page["metadata"]["remainingItemCount"] == 1
        await west.offer(HORSES)
        await west.there.until(lambda: _offered(west.there) == [HORSES])
        assert await names("") == [HORSES]
        # The rest of the list shows the version of its first page.
        assert await names(f"limit=2&continue={page['metadata']['continue']}") == [SHEEP]
        assert await names(f"resourceVersion={page['metadata']['resourceVersion']}&resourceVersionMatch=Exact") == [
            COWBOYS,
            HORSES,
            SHEEP,
        ]
        table = "application/json;as=Table;v=v1;g=meta.k8s.io"
        status, found = await west.read(accept=table)
        assert (status, found["kind"], [row["cells"][0] for row in found["rows"]]) == (200, "Table", [HORSES])
        status, found = await west.read(accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")
        assert (status, found["kind"]) == (200, "PartialObjectMetadataList")
        assert "spec" not in found["items"][0]


def _offered(shard: ServedShard) -> list[str]:
    """What the shard knows of the export."""
    export = shard.tenancy.exports.get(PROVIDER, "cowboys")
    assert export is not None
    return [entry["schema"] for entry in export["spec"]["resources"]]


async def test_a_watch_follows_exports_and_bindings() -> None:
    async with town() as west, Watch(west.there, f"{base()}{SCHEMAS}", READER) as watch:
        assert await watch.next() == ("ADDED", COWBOYS)
        await west.offer(COWBOYS, HORSES)
        assert await watch.next() == ("ADDED", HORSES)
        await west.offer(COWBOYS, SHEEP)
        assert [await watch.next(), await watch.next()] == [("DELETED", HORSES), ("ADDED", SHEEP)]
        # Of one who bound nothing of it, nobody is told, and nothing is computed.
        await west.here.put(PROVIDER, "apis.kcp.io", "apiexports", {"metadata": {"name": "other"}, "spec": {"resources": []}})
        path = f"/clusters/{PROVIDER}/apis/apis.kcp.io/v1alpha2/apiexports/cowboys"
        assert (await west.here.call("DELETE", path, MASTER))[0] == 200
        assert [await watch.next(), await watch.next()] == [("DELETED", COWBOYS), ("DELETED", SHEEP)]
        assert await west.names() == []


async def test_a_deleted_binding_takes_its_schemas_along() -> None:
    async with town() as west:
        async with Watch(west.there, f"{base()}{SCHEMAS}", READER) as watch:
            assert await watch.next() == ("ADDED", COWBOYS)
            await unbind(west.there)
            assert await watch.next() == ("DELETED", COWBOYS)
        assert await west.names() == []
        await west.there.bind(CONSUMER, PROVIDER, "cowboys")
        # The writer reads its own write.
        assert await west.names() == [COWBOYS]


async def test_a_watch_resumes() -> None:
    async with town() as west:
        _, found = await west.read()
        first = found["metadata"]["resourceVersion"]
        await west.offer(COWBOYS, HORSES)
        await west.there.until(lambda: _offered(west.there) == [COWBOYS, HORSES])
        _, found = await west.read()
        second = found["metadata"]["resourceVersion"]
        assert int(second) > int(first)
        await west.offer(COWBOYS)
        await west.there.until(lambda: _offered(west.there) == [COWBOYS])
        resumed = f"watch=true&allowWatchBookmarks=true&resourceVersion={first}"
        async with Watch(west.there, f"{base()}{SCHEMAS}", READER, resumed) as watch:
            assert [await watch.next(), await watch.next()] == [("ADDED", HORSES), ("DELETED", HORSES)]
        async with Watch(west.there, f"{base()}{SCHEMAS}", READER, f"watch=true&resourceVersion={second}") as watch:
            assert await watch.next() == ("DELETED", HORSES)
        old = resource_version.make(west.there.cell.store.cell, 1, 0)
        async with Watch(west.there, f"{base()}{SCHEMAS}", READER, f"watch=true&resourceVersion={old}") as watch:
            assert await watch.error() == 410
        streaming = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
        async with Watch(west.there, f"{base()}{SCHEMAS}", READER, streaming) as watch:
            assert await watch.next() == ("ADDED", COWBOYS)


async def test_a_list_is_not_older_than_a_version_of_another_shard() -> None:
    async with town() as west:
        await west.names()
        await west.offer(COWBOYS, HORSES)
        path = f"/clusters/{PROVIDER}/apis/apis.kcp.io/v1alpha2/apiexports/cowboys"
        _, export = await west.here.call("GET", path, MASTER)
        version = export["metadata"]["resourceVersion"]
        status, found = await west.read(query=f"resourceVersion={version}&resourceVersionMatch=NotOlderThan")
        assert status == 200, found
        assert [obj["metadata"]["name"] for obj in found["items"]] == [COWBOYS, HORSES]
        assert int(found["metadata"]["resourceVersion"]) >= int(version)


async def test_a_released_range_ends_its_streams() -> None:
    async with town() as west:
        shard = west.there
        async with Watch(shard, f"{base()}{SCHEMAS}", READER) as watch:
            assert await watch.next() == ("ADDED", COWBOYS)
            _, found = await west.read()
            range_ = shard.cell.ranges["range-9"]
            await shard.cell.release("range-9")
            shard.tenancy.scopes.hubs.end(range_)
            shard.tenancy.ranges_changed()
            assert await watch.next() == ("END", "")
        assert not shard.collections._followed
        assert not list(shard.collections._kept)
        await shard.cell.acquire("range-9", range_.start, range_.end)
        shard.tenancy.ranges_changed()
        assert await west.names() == [COWBOYS]
        resumed = f"watch=true&resourceVersion={int(found['metadata']['resourceVersion']) - 1}"
        async with Watch(shard, f"{base()}{SCHEMAS}", READER, resumed) as watch:
            assert await watch.error() == 410


async def test_two_providers_of_one_name() -> None:
    async with town() as west:
        second = "rsecond000000000"
        await west.here.cluster(second, "root:second")
        await west.here.export(second, "cowboys", group="wild.west")
        await west.there.until(lambda: west.there.identity(second, "cowboys"))
        await west.there.bind(NEIGHBOUR, second, "cowboys")
        await west.there.put(
            NEIGHBOUR,
            "apis.kcp.io",
            "apibindings",
            {
                "metadata": {"name": "first", "labels": {EXPORT_LABEL: export_hash(PROVIDER, "cowboys")}},
                "spec": {"reference": {"export": {"path": PROVIDER, "name": "cowboys"}}},
                "status": {"phase": "Bound", "apiExportClusterName": PROVIDER},
            },
        )
        status, found = await west.there.call("GET", f"{base(NEIGHBOUR)}{SCHEMAS}", MASTER)
        assert status == 200
        assert [obj["metadata"]["annotations"]["kcp.io/cluster"] for obj in found["items"]] == [PROVIDER]


async def test_nothing_is_computed_for_a_change_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async with town() as west:
        view = west.there.views["apiresourceschema"]
        assert isinstance(view, ApiResourceSchemaView)
        computed = 0
        own = view.compute

        def count(place: Place, sources: Sources) -> Iterator[ComputedRecord | None]:
            nonlocal computed
            computed += 1
            return own(place, sources)

        async def change_elsewhere(name: str) -> None:
            export = {"metadata": {"name": name}, "spec": {"resources": []}}
            await west.here.put(PROVIDER, "apis.kcp.io", "apiexports", export)
            await west.there.until(lambda: west.there.tenancy.exports.get(PROVIDER, name))
            await west.there.put(NEIGHBOUR, "", "configmaps", {"metadata": {"name": name, "namespace": "default"}})

        monkeypatch.setattr(view, "compute", count)
        await west.names()
        await change_elsewhere("one")
        await west.names()
        assert computed == 1
        async with Watch(west.there, f"{base()}{SCHEMAS}", READER) as watch:
            assert await watch.next() == ("ADDED", COWBOYS)
            await change_elsewhere("two")
            assert west.there.collections.idle
            await west.names()
        assert computed == 1
