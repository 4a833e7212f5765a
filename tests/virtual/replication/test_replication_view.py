"""The view of replicated objects: who may read it, and what it shows."""

from __future__ import annotations

import asyncio

from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tests.support.people import MASTER, person
from tests.tenancy.replication.county import (
    ACCESS,
    CACHE,
    CONSUMER,
    NEIGHBOUR,
    PROVIDER,
    READER,
    SHERIFFS,
    SLICE,
    bound_county,
)
from tests.virtual.watching import Watch

OWNER = person("owner")
CONTENT: Object = {"apiGroups": ["apis.kcp.io"], "resources": ["apiexports/content"], "verbs": ["get", "list", "watch"]}


def base(cluster: str = CONSUMER, name: str = "sh") -> str:
    return f"/ranges/range-9/services/replication/{PROVIDER}/{name}/clusters/{cluster}"


async def test_who_may_read() -> None:
    async with bound_county() as county:
        await county.here.role(PROVIDER, "owner", ACCESS, CONTENT)
        await county.here.bind_role(PROVIDER, "owner", "owner", OWNER.name)
        await county.there.until(
            lambda: county.there.tenancy.catalog.get("rbac.authorization.k8s.io/clusterrolebindings", PROVIDER, "owner")
        )
        call = county.there.call
        for who in (MASTER, OWNER):
            status, found = await call("GET", f"{base()}{SHERIFFS}", who)
            assert status == 200, found
            assert [obj["metadata"]["name"] for obj in found["items"]] == ["doc", "wyatt"]
            assert found["items"][0]["metadata"]["annotations"] == {"kcp.io/cluster": CONSUMER}
        # A consumer reads in its workspace, and not here.
        for who in (READER, person("stranger")):
            status, answer = await call("GET", f"{base()}{SHERIFFS}", who)
            assert (status, answer["message"].endswith(": access denied")) == (403, True)
        # A cluster that has not bound the export.
        assert (await call("GET", f"{base(NEIGHBOUR)}{SHERIFFS}", OWNER))[0] == 403
        status, found = await call("GET", f"{base(NEIGHBOUR)}{SHERIFFS}", MASTER)
        assert (status, found["items"][0]["metadata"]["annotations"]) == (200, {"kcp.io/cluster": NEIGHBOUR})
        assert (await call("DELETE", f"{base()}{SHERIFFS}/doc", MASTER))[0] == 405
        assert (await call("DELETE", f"{base()}{SHERIFFS}/doc", OWNER))[0] == 403


async def test_the_wildcard_and_unknown_places() -> None:
    async with bound_county() as county:
        await county.here.role(PROVIDER, "owner", ACCESS, CONTENT)
        await county.here.bind_role(PROVIDER, "owner", "owner", OWNER.name)
        await county.there.until(
            lambda: county.there.tenancy.catalog.get("rbac.authorization.k8s.io/clusterrolebindings", PROVIDER, "owner")
        )
        call = county.there.call
        for who in (MASTER, OWNER):
            status, answer = await call("GET", f"{base('*')}{SHERIFFS}", who)
            assert (status, answer["message"]) == (400, "Wildcard request not supported")
        assert (await call("GET", f"{base('*')}{SHERIFFS}", person("stranger")))[0] == 403
        assert await call("GET", f"{base(name='zz')}{SHERIFFS}", MASTER) == (404, "404 page not found\n")
        assert (await call("GET", f"{base(name='zz')}{SHERIFFS}", OWNER))[0] == 403
        assert (await call("GET", f"{base()}/api/v1/configmaps", MASTER))[0] == 404
        status, found = await call("GET", f"{base()}/apis/wild.dev/v1alpha1", MASTER)
        assert (status, [each["name"] for each in found["resources"]]) == (200, ["sheriffs", "sheriffs/status"])


async def test_a_watch() -> None:
    async with bound_county() as county, Watch(county.there, f"{base()}{SHERIFFS}", MASTER) as watch:
        assert [await watch.next(), await watch.next()] == [("ADDED", "doc"), ("ADDED", "wyatt")]
        await county.delete(f"{SHERIFFS}/doc")
        assert await watch.next() == ("DELETED", "doc")
        await county.delete("/apis/cache.kcp.io/v1alpha1/clustercachedresourceendpointslices/sh")
        assert await watch.next() == ("END", "")


async def test_a_slice_without_urls_has_no_view() -> None:
    """Its ClusterCachedResource was deleted, and is there once more before the status of the slice has URLs again."""
    async with bound_county() as county:
        path = f"{CACHE}/clustercachedresources"

        def urls() -> list[Object]:
            return ((county.here.get(PROVIDER, SLICE, "sh") or {}).get("status") or {}).get("endpoints") or []

        await county.here.until(urls)
        await county.delete(f"{path}/sheriffs")
        await county.here.until(lambda: not county.cached() and not urls())
        controllers = county.here.tenancy.runner.controllers
        slices = next(each for each in controllers if each.name == "clustercachedresource-endpoints")
        resumed, reconcile = asyncio.Event(), slices.reconcile

        async def paused(range_: Range, key: Key) -> None:
            await resumed.wait()
            await reconcile(range_, key)

        slices.reconcile = paused  # type: ignore[method-assign]
        await county.replicate()
        await county.shows("doc", "wyatt")
        assert (await county.there.call("GET", f"{base()}{SHERIFFS}", MASTER))[0] == 404
        resumed.set()
        await county.here.until(urls)

        async def shown() -> bool:
            return (await county.there.call("GET", f"{base()}{SHERIFFS}", MASTER))[0] == 200

        await county.after(shown)
