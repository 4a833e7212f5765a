"""An export that is deleted and created again while workspaces are bound: they are shown when the statuses have their URLs."""

from __future__ import annotations

import pytest

from tenantry.kube.objects import Object
from tenantry.storage.memory import MemoryStore
from tenantry.tenancy.resources import API_EXPORT_ENDPOINT_SLICES, API_EXPORTS, VIRTUAL_WORKSPACES
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard, claim
from tests.virtual.apiexport.publishing import (
    BOUND,
    CLAIMED,
    COWBOYS,
    DECLARED_CLAIMED,
    Paused,
    bind,
    endpoint_slice,
    names,
    opened,
    pause,
    pending,
    provider,
    urls,
)
from tests.virtual.apiexport.ranch import PROVIDER, SHERIFF
from tests.virtual.watching import Watch

EXPORTS = f"/clusters/{PROVIDER}/apis/apis.kcp.io/v1alpha2/apiexports"


async def delete(shard: ServedShard) -> Object:
    """Deletes the export, and returns its spec when no status has a URL of it."""
    _, found = await shard.call("GET", f"{EXPORTS}/cowboys", MASTER)
    assert (await shard.call("DELETE", f"{EXPORTS}/cowboys", MASTER))[0] == 200
    await shard.until(lambda: shard.get(PROVIDER, API_EXPORTS, "cowboys") is None)
    await shard.until(lambda: not urls(shard) and not urls(shard, VIRTUAL_WORKSPACES, "shown"))
    spec: Object = found["spec"]
    return spec


async def recreate(shard: ServedShard, spec: Object) -> None:
    body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIExport", "metadata": {"name": "cowboys"}, "spec": spec}
    assert (await shard.call("POST", EXPORTS, MASTER, body))[0] == 201
    await shard.until(lambda: shard.identity(PROVIDER, "cowboys"))


@pytest.mark.parametrize("controller", ["apiexport-endpoints", "virtualworkspace-endpoints"])
@pytest.mark.parametrize(("view", "name"), [(CLAIMED, "shared"), (BOUND, "cowboys"), (DECLARED_CLAIMED, "shared")])
async def test_it_shows_nothing_before_its_urls(view: str, name: str, controller: str) -> None:
    async with ServedShard() as shard:
        await provider(shard)
        await bind(shard)
        await shard.until(lambda: opened(shard))
        path = f"/ranges/root/services/{view.format(PROVIDER)}"
        before = (await shard.call("GET", path, SHERIFF))[1]["metadata"]["resourceVersion"]
        spec = await delete(shard)
        paused = pause(shard, controller)
        await recreate(shard, spec)
        await shard.until(lambda: pending(shard))
        assert await names(shard, path) == []
        async with Watch(shard, path, SHERIFF) as watch:
            paused.resume()
            assert await watch.next() == ("ADDED", name)
            assert urls(shard) and urls(shard, VIRTUAL_WORKSPACES, "shown")
        assert await names(shard, path) == [name]
        # Who resumes from then has the object, or has been told that it is gone.
        async with Watch(shard, path, SHERIFF, f"watch=true&resourceVersion={before}") as watch:
            assert await watch.error() == 410


async def test_a_watch_ends_with_its_export() -> None:
    """Also where the new one serves the same definitions, and where the change comes as one."""
    async with ServedShard() as shard:
        await provider(shard)
        await bind(shard)
        await shard.until(lambda: opened(shard))
        path = f"/ranges/root/services/{CLAIMED.format(PROVIDER)}"
        async with Watch(shard, path, SHERIFF) as watch:
            assert await watch.next() == ("ADDED", "shared")

            def another(export: Object) -> None:
                export["metadata"]["uid"] = "00000000-0000-4000-8000-000000000000"

            await shard.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", another)
            assert [await watch.next(), await watch.next()] == [("DELETED", "shared"), ("END", "")]
        await shard.until(lambda: opened(shard))
        assert await names(shard, path) == ["shared"]


async def test_a_watch_that_resumes_before_the_range_is_pending_lists_again() -> None:
    """Nothing is shown, and no version says since when: what the client has may have been of the former export."""
    async with ServedShard() as shard:
        await provider(shard)
        await bind(shard)
        await shard.until(lambda: opened(shard))
        path = f"/ranges/root/services/{CLAIMED.format(PROVIDER)}"
        paused = Paused(next(each for each in shard.controllers if each.name == "apiexport-consumers"), lambda key: True)
        await recreate(shard, await delete(shard))
        _, found = await shard.call("GET", path, SHERIFF)
        assert found["items"] == [] and opened(shard)
        since = found["metadata"]["resourceVersion"]
        async with Watch(shard, path, SHERIFF, f"watch=true&resourceVersion={since}") as watch:
            assert await watch.error() == 410
        async with Watch(shard, path, SHERIFF) as watch:
            paused.resume()
            assert await watch.next() == ("ADDED", "shared")
            assert urls(shard)


async def test_it_is_recreated_while_the_range_is_pending() -> None:
    store = MemoryStore()
    async with ServedShard(store=store) as shard:
        await provider(shard)
        pause(shard, "apiexport-endpoints", lambda key: key.cluster == PROVIDER)
        await bind(shard)
        await shard.until(lambda: pending(shard))
        _, found = await shard.call("GET", f"{EXPORTS}/cowboys", MASTER)
        assert (await shard.call("DELETE", f"{EXPORTS}/cowboys", MASTER))[0] == 200
        await recreate(shard, found["spec"])
    async with ServedShard(store=store) as shard:
        await shard.until(lambda: opened(shard) and urls(shard))
        assert await names(shard, f"/ranges/root/services/{CLAIMED.format(PROVIDER)}") == ["shared"]


async def test_a_slice_that_is_older_than_its_export_counts() -> None:
    """It refers to the export by path, and was looked at when there was none."""
    async with ServedShard() as shard:
        await provider(shard)
        spec = await delete(shard)
        second = endpoint_slice("second")
        second["spec"]["export"]["path"] = "root:provider"
        await shard.put(PROVIDER, "apis.kcp.io", "apiexportendpointslices", second)
        await shard.until(lambda: "status" in (shard.get(PROVIDER, API_EXPORT_ENDPOINT_SLICES, "second") or {}))
        paused = pause(shard, "apiexport-endpoints", lambda key: key.name == "second")
        await recreate(shard, {**spec, "permissionClaims": [claim("", "configmaps")]})
        await bind(shard)
        await shard.until(lambda: pending(shard) and urls(shard))
        assert await names(shard, COWBOYS) == []
        paused.resume()
        await shard.until(lambda: opened(shard))
        assert urls(shard, name="second") == urls(shard)
