"""What a consumer reads of a resource with virtual storage, whose provider is on another shard."""

from __future__ import annotations

from tenantry.base.cache import caches
from tenantry.placement.catalog import DECODED_AGAIN_BYTES
from tenantry.tenancy.exports.hashing import EXPORT_LABEL
from tenantry.tenancy.replication.publications import REPLICATED
from tests.support.people import MASTER, person
from tests.tenancy.replication.county import (
    CACHE,
    CONSUMER,
    NEIGHBOUR,
    PROVIDER,
    SHERIFFS,
    SLICE,
    County,
    bound_county,
    endpoint_slice,
    sheriff,
)
from tests.virtual.watching import Watch

WRITES = (
    ("POST", SHERIFFS, "create"),
    ("PUT", f"{SHERIFFS}/doc", "update"),
    ("PATCH", f"{SHERIFFS}/doc", "patch"),
    ("DELETE", f"{SHERIFFS}/doc", "delete"),
    ("DELETE", SHERIFFS, "deletecollection"),
    ("GET", f"{SHERIFFS}/doc/status", "get"),
    ("PATCH", f"{SHERIFFS}/doc/status", "patch"),
)


async def test_a_consumer_reads_what_the_provider_has() -> None:
    async with bound_county() as county:
        binding = county.there.get(CONSUMER, "apis.kcp.io/apibindings", "offices")
        assert binding is not None
        bound = binding["status"]["boundResources"][0]
        assert "storageVersions" not in bound
        assert bound["schema"]["identityHash"] == county.there.identity(PROVIDER, "offices")
        assert EXPORT_LABEL in binding["metadata"]["labels"]
        status, found = await county.read()
        assert (status, found["kind"], found["apiVersion"]) == (200, "SheriffList", "wild.dev/v1alpha1")
        assert [obj["metadata"]["name"] for obj in found["items"]] == ["doc", "wyatt"]
        version = int(found["metadata"]["resourceVersion"])
        original = county.here.get(PROVIDER, "wild.dev/sheriffs", "wyatt")
        assert original is not None
        shown = found["items"][1]
        assert (shown["kind"], shown["apiVersion"]) == ("Sheriff", "wild.dev/v1alpha1")
        assert shown["metadata"]["annotations"] == {"kcp.io/cluster": CONSUMER}
        assert shown["metadata"]["labels"] == {"star": "yes"}
        assert shown["metadata"]["uid"] == original["metadata"]["uid"]
        assert "managedFields" not in shown["metadata"]
        assert 0 < int(shown["metadata"]["resourceVersion"]) <= version
        assert shown["spec"] == {"star": "tin"}
        assert await county.read(f"{SHERIFFS}/wyatt") == (200, shown)
        assert (await county.read(f"{SHERIFFS}/nobody"))[0] == 404


async def test_selectors_pages_and_representations() -> None:
    async with bound_county() as county:
        assert await county.names("labelSelector=star=yes") == ["wyatt"]
        assert await county.names("fieldSelector=metadata.name=doc") == ["doc"]
        assert (await county.read(query="fieldSelector=spec.star=tin"))[0] == 400
        _, page = await county.read(query="limit=1")
        assert [obj["metadata"]["name"] for obj in page["items"]] == ["doc"]
        assert await county.names(f"limit=1&continue={page['metadata']['continue']}") == ["wyatt"]
        _, table = await county.read(accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        assert [row["cells"][0] for row in table["rows"]] == ["doc", "wyatt"]
        partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
        _, found = await county.read(accept=partial)
        assert found["kind"] == "PartialObjectMetadataList"
        assert found["items"][0]["metadata"]["annotations"] == {"kcp.io/cluster": CONSUMER}


async def test_a_watch_follows_the_provider_and_resumes() -> None:
    async with bound_county() as county:
        _, found = await county.read()
        version = found["metadata"]["resourceVersion"]
        path = f"/clusters/{CONSUMER}{SHERIFFS}"
        async with Watch(county.there, path, MASTER, f"watch=true&resourceVersion={version}") as watch:
            await county.sheriff("bat")
            assert await watch.next() == ("ADDED", "bat")
            await county.merge(f"{SHERIFFS}/bat", {"spec": {"star": "gold"}})
            assert await watch.next() == ("MODIFIED", "bat")
            await county.delete(f"{SHERIFFS}/bat")
            assert await watch.next() == ("DELETED", "bat")
            assert watch.events[0]["object"]["metadata"]["annotations"] == {"kcp.io/cluster": CONSUMER}
            assert [event["object"]["spec"]["star"] for event in watch.events if event["type"] != "BOOKMARK"][:2] == [
                "tin",
                "gold",
            ]
            middle = watch.events[0]["object"]["metadata"]["resourceVersion"]
            assert int(version) < int(middle) < int(watch.events[-1]["object"]["metadata"]["resourceVersion"])
            async with Watch(county.there, path, MASTER, f"watch=true&resourceVersion={middle}") as resumed:
                assert [await resumed.next(), await resumed.next()] == [("MODIFIED", "bat"), ("DELETED", "bat")]
        async with Watch(county.there, path, MASTER, "watch=true&labelSelector=star") as watch:
            assert await watch.next() == ("ADDED", "wyatt")
            await county.merge(f"{SHERIFFS}/wyatt", {"metadata": {"labels": {"star": None}}})
            assert await watch.next() == ("DELETED", "wyatt")


async def test_consumers_share_objects_but_not_annotations() -> None:
    async with bound_county() as county:
        await county.there.bind(NEIGHBOUR, PROVIDER, "offices")
        _, mine = await county.read()
        _, other = await county.there.call("GET", f"/clusters/{NEIGHBOUR}{SHERIFFS}", MASTER)
        assert other["metadata"]["resourceVersion"] == mine["metadata"]["resourceVersion"]
        for obj, cluster in ((mine["items"][0], CONSUMER), (other["items"][0], NEIGHBOUR)):
            assert obj["metadata"].pop("annotations") == {"kcp.io/cluster": cluster}
        assert mine["items"][0] == other["items"][0]
        watches = [Watch(county.there, f"/clusters/{each}{SHERIFFS}", MASTER) for each in (CONSUMER, NEIGHBOUR)]
        async with watches[0], watches[1]:
            for watch, cluster in zip(watches, (CONSUMER, NEIGHBOUR), strict=True):
                assert await watch.next() == ("ADDED", "doc")
                assert watch.events[0]["object"]["metadata"]["annotations"] == {"kcp.io/cluster": cluster}


async def test_a_consumer_writes_nothing() -> None:
    async with bound_county() as county:
        for method, path, verb in WRITES:
            body = sheriff("doc") if method in ("POST", "PUT") else {} if method == "PATCH" else None
            content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
            where = f"/clusters/{CONSUMER}{path}"
            status, answer = await county.there.call(method, where, MASTER, body, content_type=content_type)
            message = f'{verb} is not supported on resources of kind "sheriffs.wild.dev"'
            assert (status, answer["reason"], answer["message"]) == (405, "MethodNotAllowed", message), verb
            # RBAC is asked first.
            status, answer = await county.there.call(method, where, person("stranger"), body, content_type=content_type)
            assert status == 403, verb
        assert await county.names() == ["doc", "wyatt"]
        _, found = await county.read("/apis/wild.dev/v1alpha1", MASTER)
        assert [(entry["name"], entry["verbs"]) for entry in found["resources"]] == [
            ("sheriffs", ["get", "list", "watch"]),
            ("sheriffs/status", None),
        ]


async def test_openapi_has_what_can_be_done() -> None:
    async with bound_county() as county:
        status, found = await county.read("/openapi/v3/apis/wild.dev/v1alpha1", MASTER)
        assert status == 200
        operations = {path: sorted(set(item) - {"parameters"}) for path, item in found["paths"].items()}
        assert operations == {SHERIFFS: ["get"], f"{SHERIFFS}/{{name}}": ["get"]}
        assert "dev.wild.v1alpha1.Sheriff" in found["components"]["schemas"]


async def test_replicated_objects_leave_room_in_the_cache_of_copies() -> None:
    async with bound_county() as county:
        await county.sheriff("bat", star="x" * DECODED_AGAIN_BYTES)
        await county.shows("bat", "doc", "wyatt")
        catalog = county.there.tenancy.catalog
        copies = [copy for group, _ in catalog.names(REPLICATED) for _, copy in catalog.entries(REPLICATED, group)]
        (cache,) = (cache for cache in caches() if cache.name == "catalog_objects")
        before = set(cache)
        assert all(copy.decode() == copy.object for copy in copies)
        # By keys: a cache that other tests have filled may free more entries than it gains.
        assert set(cache) - before


async def test_a_wildcard_is_not_served() -> None:
    async with bound_county() as county:
        identity = county.there.identity(PROVIDER, "offices")
        for path in (
            f"/ranges/range-9/services/apiexport/{PROVIDER}/offices/clusters/*{SHERIFFS}",
            f"/ranges/range-9/clusters/*{SHERIFFS}:{identity}",
        ):
            status, answer = await county.there.call("GET", path, MASTER)
            assert (status, answer["message"]) == (400, "Wildcard request not supported"), path
        view = f"/ranges/range-9/services/apiexport/{PROVIDER}/offices/clusters/{CONSUMER}{SHERIFFS}"
        status, found = await county.there.call("GET", view, MASTER)
        assert (status, [obj["metadata"]["name"] for obj in found["items"]]) == (200, ["doc", "wyatt"])
        assert (await county.there.call("DELETE", f"{view}/doc", MASTER))[0] == 405


async def discovered(county: County, **headers: str) -> list[tuple[str, list[str]]]:
    """The versions of the group in aggregated discovery, with their resources."""
    _, found = await county.read("/apis", MASTER, **headers)
    (group,) = (each for each in found["items"] if each["metadata"]["name"] == "wild.dev")
    return [(each["version"], [one["resource"] for one in each["resources"]]) for each in group["versions"]]


async def test_what_is_missing_is_told_and_comes_back() -> None:
    async with bound_county() as county:
        await county.delete(f"{CACHE}/clustercachedresourceendpointslices/sh")

        async def refused() -> str:
            status, answer = await county.read()
            return str(answer["message"]) if status == 500 else ""

        assert await county.after(refused) == (
            'Internal error occurred: error resolving resource: clustercachedresourceendpointslices.cache.kcp.io "sh" not found'
        )
        # The group version is still there, and empty.
        aggregated = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
        assert (await county.read("/apis/wild.dev/v1alpha1", MASTER))[1]["resources"] == []
        assert await discovered(county, **aggregated) == [("v1alpha1", [])]
        await county.post(f"{CACHE}/clustercachedresourceendpointslices", endpoint_slice())
        await county.shows("doc", "wyatt")
        assert len((await county.read("/apis/wild.dev/v1alpha1", MASTER))[1]["resources"]) == 2
        assert await discovered(county, **aggregated) == [("v1alpha1", ["sheriffs"])]
        async with Watch(county.there, f"/clusters/{CONSUMER}{SHERIFFS}", MASTER) as watch:
            assert [await watch.next(), await watch.next()] == [("ADDED", "doc"), ("ADDED", "wyatt")]
            await county.delete(f"{CACHE}/clustercachedresources/sheriffs")
            assert await county.after(refused) == (
                "Internal error occurred: error resolving resource sheriffs.wild.dev; please contact APIExport owner to resolve"
            )
            while (event := await watch.next())[0] != "END":
                assert event[0] == "DELETED"
        await county.here.until(lambda: not county.cached())
        # A new one has the identity of the Secret that stayed.
        await county.replicate()
        await county.shows("doc", "wyatt")


async def test_a_binding_that_is_deleted_serves_nothing() -> None:
    async with bound_county() as county:
        path = f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings/offices"
        async with Watch(county.there, f"/clusters/{CONSUMER}{SHERIFFS}", MASTER) as watch:
            assert [await watch.next(), await watch.next()] == [("ADDED", "doc"), ("ADDED", "wyatt")]
            assert (await county.there.call("DELETE", path, MASTER))[0] == 200
            assert await watch.next() == ("END", "")
        await county.there.until(lambda: county.there.get(CONSUMER, "apis.kcp.io/apibindings", "offices") is None)
        assert (await county.read())[0] == 404
        assert county.here.get(PROVIDER, SLICE, "sh") is not None


async def test_a_watch_lasts_while_many_objects_change() -> None:
    async with bound_county() as county:
        path = f"/clusters/{CONSUMER}{SHERIFFS}"
        async with Watch(county.there, path, MASTER) as watch:
            assert [await watch.next(), await watch.next()] == [("ADDED", "doc"), ("ADDED", "wyatt")]
            seen: set[str] = set()
            for number in range(150):
                await county.sheriff(f"s{number}")
            while len(seen) < 150:
                kind, name = await watch.next()
                assert kind == "ADDED"
                seen.add(name)
            versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in watch.events]
            assert versions[2:] == sorted(set(versions[2:]))
            for number in range(150):
                await county.delete(f"{SHERIFFS}/s{number}")
            while seen:
                kind, name = await watch.next()
                assert kind == "DELETED"
                seen.remove(name)
        assert await county.names() == ["doc", "wyatt"]
