"""ClusterCachedResourceEndpointSlices, and which objects an export may serve with them."""

from __future__ import annotations

from tenantry.kube.objects import Object
from tests.support.people import MASTER
from tests.support.tenancies import URL
from tests.tenancy.replication.county import (
    CACHE,
    CONSUMER,
    NEIGHBOUR,
    PROVIDER,
    SHERIFFS,
    SLICE,
    County,
    bound_county,
    county,
    endpoint_slice,
)

SLICES = f"{CACHE}/clustercachedresourceendpointslices"


def status(made: County) -> Object:
    return dict((made.here.get(PROVIDER, SLICE, "sh") or {}).get("status") or {})


def conditions(made: County) -> dict[str, tuple[str, ...]]:
    return {
        each["type"]: (each["status"], each.get("reason", ""), each.get("message", ""))
        for each in status(made).get("conditions") or ()
    }


def urls(made: County) -> list[str]:
    return [each["url"] for each in status(made).get("endpoints") or ()]


async def test_endpoints_follow_the_consumers() -> None:
    async with county() as made:
        await made.sheriff("doc")
        await made.replicate()
        await made.offer()
        await made.here.until(lambda: set(conditions(made)) == {"APIExportValid", "PartitionValid", "ResourceValid"})
        assert all(each[0] == "True" for each in conditions(made).values())
        assert urls(made) == []
        await made.there.bind(CONSUMER, PROVIDER, "offices")
        await made.here.until(lambda: urls(made) == [f"{URL}/ranges/range-9/services/replication/{PROVIDER}/sh"])


async def test_references_that_mean_nothing() -> None:
    async with county() as made:
        await made.post(SLICES, endpoint_slice())
        await made.here.until(lambda: conditions(made))
        assert conditions(made) == {
            "ResourceValid": (
                "False",
                "ClusterCachedResourceNotFound",
                f"Error getting ClusterCachedResource {PROVIDER}|sheriffs",
            )
        }
        await made.replicate()
        await made.here.until(lambda: "APIExportValid" in conditions(made))
        assert conditions(made)["ResourceValid"][0] == "True"
        text = f"APIExport {PROVIDER}|offices not found"
        assert conditions(made)["APIExportValid"] == ("False", "APIExportInvalidReference", text)
        await made.export("ClusterCachedResourceEndpointSlice")
        await made.here.until(lambda: conditions(made)["APIExportValid"][0] == "True")
        obj = made.here.get(PROVIDER, SLICE, "sh")
        assert obj is not None and "finalizers" not in obj["metadata"]
        assert "kcp.io/path" not in obj["metadata"]["annotations"]


async def test_references_do_not_change() -> None:
    async with county() as made:
        await made.post(SLICES, endpoint_slice())
        path = f"/clusters/{PROVIDER}{SLICES}/sh"
        for field, kind in (("export", "APIExport"), ("clusterCachedResource", "ClusterCachedResource")):
            code, answer = await made.here.call(
                "PATCH", path, MASTER, {"spec": {field: {"name": "other"}}}, content_type="application/merge-patch+json"
            )
            assert code == 422
            assert f"spec.{field}: Invalid value: {kind} reference must not be changed" in answer["message"].replace(
                '"object": ', ""
            )
        for field in ("export", "clusterCachedResource"):
            body = endpoint_slice("other")
            del body["spec"][field]
            code, answer = await made.here.call("POST", f"/clusters/{PROVIDER}{SLICES}", MASTER, body)
            assert (code, answer["details"]["causes"][0]["field"]) == (422, f"spec.{field}")


async def test_an_export_has_one_kind_of_storage() -> None:
    async with county() as made:
        await made.replicate()
        virtual = {"reference": {"apiGroup": "cache.kcp.io", "kind": "ClusterCachedResourceEndpointSlice", "name": "sh"}}
        both = {"crd": {}, "virtual": {**virtual, "identityHash": "x"}}
        for storage, message in (
            (both, "spec.resources[0].storage: Invalid value: Exactly one of crd or virtual must be set"),
            ({"virtual": virtual}, "spec.resources[0].storage.virtual.identityHash: Required value"),
        ):
            entry = {"name": "sheriffs", "group": "wild.dev", "schema": "v1.sheriffs.wild.dev", "storage": storage}
            body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIExport", "metadata": {"name": "x"}}
            path = f"/clusters/{PROVIDER}/apis/apis.kcp.io/v1alpha2/apiexports"
            code, answer = await made.here.call("POST", path, MASTER, {**body, "spec": {"resources": [entry]}})
            assert code == 422
            assert message in answer["message"].replace('"object": ', "")


async def test_an_identity_that_is_not_that_of_the_objects() -> None:
    async with bound_county() as made:
        await made.shows("doc", "wyatt")
        entry = (made.here.get(PROVIDER, "apis.kcp.io/apiexports", "offices") or {})["spec"]["resources"][0]
        storage = {"virtual": {**entry["storage"]["virtual"], "identityHash": "wrong"}}
        await made.merge(
            "/apis/apis.kcp.io/v1alpha2/apiexports/offices", {"spec": {"resources": [{**entry, "storage": storage}]}}
        )

        async def refused() -> bool:
            return (await made.read())[0] == 500

        await made.after(refused)


async def test_the_objects_of_another_workspace_need_its_identity() -> None:
    """Whoever knows a path and a name, but not the identity, reads nothing; nor with the identity of an export."""
    async with county() as made:
        await made.here.cluster("rthief0000000000", "root:thief")
        await made.sheriff("doc")
        await made.replicate(identity={"secretRef": {"namespace": "kcp-system", "name": "own"}})
        await made.there.cluster("900victim0000000")
        thief = "rthief0000000000"
        foreign = endpoint_slice(clusterCachedResource={"path": "root:provider", "name": "sheriffs"})
        await made.post(SLICES, foreign, cluster=thief)
        await made.export("ClusterCachedResourceEndpointSlice", identity="guess", cluster=thief)
        await made.there.bind(NEIGHBOUR, thief, "offices")
        path = f"/clusters/{NEIGHBOUR}{SHERIFFS}"
        assert (await made.there.call("GET", path, MASTER))[0] == 500

        async def invalid() -> bool:
            obj = made.here.get(thief, SLICE, "sh") or {}
            return "Error getting ClusterCachedResource root:provider|sheriffs" in str(obj.get("status"))

        await made.after(invalid)

        async def with_identity(identity: str) -> None:
            def change(obj: Object) -> None:
                obj["spec"]["resources"][0]["storage"]["virtual"]["identityHash"] = identity

            await made.here.edit(thief, "apis.kcp.io", "apiexports", "offices", change)

        await with_identity(made.status()["identityHash"])

        async def reads() -> bool:
            return (await made.there.call("GET", path, MASTER))[0] == 200

        await made.after(reads)
        # With the identity of an export of the provider, which its consumers know.
        await made.export("ClusterCachedResourceEndpointSlice")
        secret = {"namespace": "kcp-system", "name": "offices"}
        await made.delete(f"{CACHE}/clustercachedresources/sheriffs")
        await made.here.until(lambda: not made.cached())
        await made.replicate(identity={"secretRef": secret})
        assert made.status()["identityHash"] == made.here.identity(PROVIDER, "offices")
        await with_identity(made.status()["identityHash"])

        async def refused() -> bool:
            return (await made.there.call("GET", path, MASTER))[0] == 500

        await made.after(refused)
