"""The URL of a range is in every status before the first object is visible there."""

from __future__ import annotations

import asyncio

import pytest

from tenantry.kube.objects import Object
from tenantry.storage.keys import catalog_key
from tenantry.storage.memory import MemoryStore
from tenantry.storage.record import Change, Head
from tenantry.tenancy.exports.consumers import CONSUMERS, PUBLISHED, consumers_key
from tenantry.tenancy.resources import VIRTUAL_WORKSPACES
from tenantry.virtual.apiexport.api_export_view import ApiExportView
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard, claim
from tests.virtual.apiexport.publishing import (
    BOUND,
    CLAIMED,
    COWBOYS,
    DECLARED,
    DECLARED_CLAIMED,
    EXPORT,
    INSIDE,
    SHOWN,
    bind,
    endpoint_slice,
    names,
    opened,
    partition,
    pause,
    pending,
    provider,
    unbind,
    urls,
)
from tests.virtual.apiexport.ranch import NEAR, PROVIDER, SHERIFF, create, sheriff_rules
from tests.virtual.machines import Fleets
from tests.virtual.watching import Watch


@pytest.mark.parametrize("controller", ["apiexport-endpoints", "virtualworkspace-endpoints"])
@pytest.mark.parametrize("view", SHOWN)
async def test_objects_are_visible_after_the_url(view: str, controller: str) -> None:
    """Whichever status comes last: it has the URL before the object arrives at a watch that was open before."""
    async with ServedShard() as shard:
        await provider(shard)
        paused = pause(shard, controller)
        path, name = f"/ranges/root/services/{view.format(PROVIDER)}", SHOWN[view]
        async with Watch(shard, path, SHERIFF) as watch:
            await bind(shard)
            await shard.until(lambda: pending(shard))
            assert await names(shard, path) == []
            inside = path.replace("/*/", f"/{NEAR}/")
            assert await names(shard, inside) == []
            if not inside.endswith("apibindings"):
                one = inside.replace("/v1/c", "/v1/namespaces/default/c") + f"/{name}"
                assert (await shard.call("GET", one, SHERIFF))[0] == 404
            paused.resume()
            assert await watch.next() == ("ADDED", name)
            assert urls(shard) == [f"/ranges/root/services/apiexport/{PROVIDER}/cowboys"]
            declared = f"/ranges/root/services/virtualworkspaces/{PROVIDER}/shown"
            assert urls(shard, VIRTUAL_WORKSPACES, "shown") == [declared]
        assert await names(shard, path) == [name]


async def test_an_informer_misses_nothing_that_was_there_before_the_range_was_opened() -> None:
    """It has listed nothing, and watches from that version when the range is open."""
    async with ServedShard() as shard:
        await provider(shard)
        paused = pause(shard, "apiexport-endpoints")
        await bind(shard)
        await shard.until(lambda: pending(shard))
        _, found = await shard.call("GET", COWBOYS, SHERIFF)
        assert found["items"] == []
        since = found["metadata"]["resourceVersion"]
        paused.resume()
        await shard.until(lambda: opened(shard))
        async with Watch(shard, COWBOYS, SHERIFF, f"watch=true&resourceVersion={since}") as watch:
            assert await watch.error() == 410
        _, found = await shard.call("GET", COWBOYS, SHERIFF)
        since = found["metadata"]["resourceVersion"]
        assert [obj["metadata"]["name"] for obj in found["items"]] == ["billy"]
        async with Watch(shard, COWBOYS, SHERIFF, f"watch=true&resourceVersion={since}") as watch:
            await create(shard, INSIDE, "jane", MASTER)
            assert await watch.next() == ("ADDED", "jane")


@pytest.mark.parametrize("view", [CLAIMED, DECLARED, DECLARED_CLAIMED])
async def test_a_resumed_watch_gets_what_came_into_sight_when_the_range_was_opened(view: str) -> None:
    async with ServedShard() as shard:
        await provider(shard)
        paused = pause(shard, "apiexport-endpoints")
        await bind(shard)
        await shard.until(lambda: pending(shard))
        path = f"/ranges/root/services/{view.format(PROVIDER)}"
        _, found = await shard.call("GET", path, SHERIFF)
        assert found["items"] == []
        paused.resume()
        await shard.until(lambda: opened(shard))
        async with Watch(shard, path, SHERIFF, f"watch=true&resourceVersion={found['metadata']['resourceVersion']}") as watch:
            assert await watch.next() == ("ADDED", SHOWN[view])


async def test_a_range_is_closed_with_its_last_consumer_and_opened_with_the_next_one() -> None:
    async with ServedShard() as shard:
        await provider(shard)
        await bind(shard)
        await shard.until(lambda: opened(shard))
        claimed = f"/ranges/root/services/{CLAIMED.format(PROVIDER)}"
        async with Watch(shard, COWBOYS, SHERIFF) as own, Watch(shard, claimed, SHERIFF) as shared:
            assert await own.next() == ("ADDED", "billy")
            assert await shared.next() == ("ADDED", "shared")
            await unbind(shard)
            paused = pause(shard, "apiexport-endpoints")
            assert [await own.next(), await own.next()] == [("DELETED", "billy"), ("END", "")]
            assert await shared.next() == ("DELETED", "shared")
            assert not opened(shard)
            # The slice has the URL still, and it does not count for the next consumer.
            await bind(shard)
            await shard.until(lambda: pending(shard))
            assert await names(shard, COWBOYS) == await names(shard, claimed) == []
            paused.resume()
            assert await shared.next() == ("ADDED", "shared")
            assert len(urls(shard)) == 1
            assert await names(shard, COWBOYS) == ["billy"]


async def test_the_url_is_removed_after_the_last_object_is_gone() -> None:
    async with ServedShard() as shard:
        await provider(shard)
        await bind(shard)
        await shard.until(lambda: opened(shard) and urls(shard))
        seen: list[bool] = []
        stop = shard.cell.commits.subscribe(lambda *_: seen.append(opened(shard) and not urls(shard)))
        await unbind(shard)
        await shard.until(lambda: not urls(shard))
        stop()
        assert seen and not any(seen)
        assert await names(shard, COWBOYS) == []


async def test_every_slice_in_the_workspace_of_the_export_has_the_url() -> None:
    """One of a partition that leaves the range out is done, too. One in another workspace does not count, and a new one hides
    nothing that was visible."""
    async with ServedShard() as shard:
        await provider(shard)
        paused = pause(shard, "apiexport-endpoints", lambda key: key.name == "second" or key.cluster == NEAR)
        await shard.put(PROVIDER, "topology.kcp.io", "partitions", partition("us"))
        for cluster, name in ((PROVIDER, "second"), (NEAR, "elsewhere")):
            await shard.put(cluster, "apis.kcp.io", "apiexportendpointslices", endpoint_slice(name))
        await shard.put(PROVIDER, "apis.kcp.io", "apiexportendpointslices", endpoint_slice("american", partition="us"))
        await bind(shard)
        await shard.until(lambda: pending(shard) and urls(shard))
        assert await names(shard, COWBOYS) == []
        paused.resume()
        await shard.until(lambda: opened(shard))
        assert (urls(shard), urls(shard, name="american")) == (urls(shard, name="second"), [])
        pause(shard, "apiexport-endpoints", lambda key: key.name == "third")
        await shard.put(PROVIDER, "apis.kcp.io", "apiexportendpointslices", endpoint_slice("third"))
        assert await names(shard, COWBOYS) == ["billy"]


async def test_the_provider_is_on_another_shard() -> None:
    far = "900consumer00000"
    async with ServedShard() as here, ServedShard(store=here.store, name="there") as there:
        await provider(here)
        await there.until(lambda: there.identity(*EXPORT))
        paused = pause(here, "apiexport-endpoints")
        await there.cluster(far)
        path = f"/ranges/range-9/services/{BOUND.format(PROVIDER)}"
        async with Watch(there, path, MASTER) as watch:
            binding = asyncio.create_task(there.bind(far, PROVIDER, "cowboys"))
            await there.until(lambda: there.bound(far, "cowboys"))
            await here.until(lambda: here.tenancy.catalog.names_in(CONSUMERS, PROVIDER))
            assert await names(there, path, MASTER) == []
            paused.resume()
            assert await watch.next() == ("ADDED", "cowboys")
            assert urls(here) == [f"/ranges/range-9/services/apiexport/{PROVIDER}/cowboys"]
        await binding
        assert await names(there, path, MASTER) == ["cowboys"]


async def test_a_new_declared_view_shows_nothing_before_its_first_status() -> None:
    async with ServedShard() as shard:
        await provider(shard)
        await bind(shard)
        await shard.until(lambda: opened(shard))
        paused = pause(shard, "virtualworkspace-endpoints", lambda key: key.name == "later")
        declared: Object = {"export": {"name": "cowboys"}, "resources": [{"group": "wild.west", "resource": "cowboys"}]}
        later = {"metadata": {"name": "later"}, "spec": declared}
        await shard.put(PROVIDER, "views.tenantry.dev", "virtualworkspaces", later)
        path = f"/ranges/root/services/{DECLARED.format(PROVIDER).replace('shown', 'later')}"
        assert (await shard.call("GET", path, MASTER))[0] == 404
        paused.resume()
        await shard.until(lambda: urls(shard, VIRTUAL_WORKSPACES, "later"))
        assert await names(shard, path) == ["billy"]


async def test_a_declared_view_of_another_export_shows_nothing_before_its_urls() -> None:
    async with ServedShard() as shard:
        await provider(shard)
        await bind(shard)
        await shard.export(PROVIDER, "horses", group="horse.west")
        await shard.until(lambda: opened(shard) and urls(shard, VIRTUAL_WORKSPACES, "shown"))
        path = f"/clusters/{PROVIDER}/apis/views.tenantry.dev/v1alpha1/virtualworkspaces/shown"
        shown = f"/ranges/root/services/{DECLARED_CLAIMED.format(PROVIDER)}"

        async def repoint(export: str) -> None:
            _, found = await shard.call("GET", path, MASTER)
            found["spec"]["export"]["name"] = export
            status, answer = await shard.call("PUT", path, MASTER, found)
            assert status == 200 and "status" not in answer

        await repoint("horses")
        await shard.until(lambda: "status" in (shard.get(PROVIDER, VIRTUAL_WORKSPACES, "shown") or {}))
        assert urls(shard, VIRTUAL_WORKSPACES, "shown") == []
        paused = pause(shard, "virtualworkspace-endpoints")
        await repoint("cowboys")
        assert (await shard.call("GET", shown, MASTER))[0] == 404
        paused.resume()
        await shard.until(lambda: urls(shard, VIRTUAL_WORKSPACES, "shown"))
        assert await names(shard, shown) == ["shared"]


@pytest.mark.parametrize(("plural", "name"), [("apiexportendpointslices", "second"), ("virtualworkspaces", "shown")])
async def test_an_object_that_waits_for_its_finalizers_gets_urls(plural: str, name: str) -> None:
    """Its view is still there, and a controller that follows it, too."""
    async with ServedShard() as shard:
        await provider(shard)
        await shard.put(PROVIDER, "apis.kcp.io", "apiexportendpointslices", endpoint_slice("second"))
        group = "apis.kcp.io" if plural == "apiexportendpointslices" else "views.tenantry.dev"
        controller = "apiexport-endpoints" if plural == "apiexportendpointslices" else "virtualworkspace-endpoints"
        resource = f"{group}/{plural}"
        await shard.edit(PROVIDER, group, plural, name, lambda obj: obj["metadata"].update(finalizers=["example.com/wait"]))
        path = f"/clusters/{PROVIDER}/apis/{group}/v1alpha1/{plural}/{name}"
        assert (await shard.call("DELETE", path, MASTER))[1]["metadata"]["deletionTimestamp"]
        paused = pause(shard, controller, lambda key: key.name == name)
        await bind(shard)
        await shard.until(lambda: pending(shard) and urls(shard))
        assert await names(shard, COWBOYS) == []
        paused.resume()
        await shard.until(lambda: opened(shard))
        assert len(urls(shard, resource, name)) == 1


@pytest.mark.parametrize("others", [None, "view", "exports"])
async def test_an_export_without_slices_shows_its_consumers_at_once(others: str | None) -> None:
    """Or when the provider's shard has looked at what else may have URLs of it: objects of the type of a view, and exports."""
    views = (ApiExportView, Fleets) if others == "view" else ()
    async with ServedShard(*views, publish_on_exports=others == "exports") as shard:
        await shard.cluster(PROVIDER, "root:provider")
        await shard.role(PROVIDER, "sheriff", *sheriff_rules(("*",)))
        await shard.bind_role(PROVIDER, "sheriff", "sheriff", SHERIFF.name)
        paused = pause(shard, "apiexport-published-ranges", lambda key: True)
        pause(shard, "apiexport-endpointslice-creator")
        await shard.export(PROVIDER, claims=[claim("", "configmaps")])

        def skip(export: Object) -> None:
            export["metadata"].setdefault("annotations", {})["apiexports.apis.kcp.io/skip-endpointslice"] = "true"

        await shard.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", skip)
        await shard.cluster(NEAR, "root:near")
        await shard.namespace(NEAR, "default")
        await bind(shard)
        if others is not None:
            await shard.until(lambda: pending(shard))
            assert await names(shard, COWBOYS) == []
            paused.resume()
        await shard.until(lambda: opened(shard))
        assert await names(shard, COWBOYS) == ["billy"]


async def test_a_restart_opens_what_was_pending() -> None:
    store = MemoryStore()
    async with ServedShard(store=store) as shard:
        await provider(shard)
        pause(shard, "apiexport-endpoints")
        await bind(shard)
        await shard.until(lambda: pending(shard))
    async with ServedShard(store=store) as shard:
        await shard.until(lambda: opened(shard))
        assert len(urls(shard)) == 1
        assert await names(shard, COWBOYS) == ["billy"]


async def test_nothing_is_left_of_an_opened_range_in_the_catalog() -> None:
    async with ServedShard() as shard:
        await provider(shard)
        await bind(shard)
        catalog = shard.tenancy.catalog
        await shard.until(lambda: opened(shard) and not catalog.names_in(PUBLISHED, PROVIDER))
        assert [entry.raw for _, entry in catalog.entries(CONSUMERS, PROVIDER)] == [b"{}"]
        range_ = shard.cell.range_of(PROVIDER)
        await shard.until(lambda: not range_.list(PUBLISHED))


async def test_a_range_with_consumers_of_an_earlier_release_is_open() -> None:
    async with ServedShard() as shard:
        await provider(shard)
        pause(shard, "apiexport-endpoints")
        pause(shard, "apiexport-consumers")
        range_ = shard.cell.range_of(NEAR)
        place = consumers_key(range_, EXPORT)
        value = b'{"metadata":{"name":"%s"},"export":{"cluster":"%s","name":"cowboys"}}' % (
            place.name.encode(),
            PROVIDER.encode(),
        )
        entry = catalog_key(CONSUMERS, PROVIDER, f"cowboys.{range_.name}")
        await shard.cell.commit([Change(place, value, Head(), None, {entry: b"{}"})])
        await bind(shard)
        assert await names(shard, COWBOYS) == ["billy"]
