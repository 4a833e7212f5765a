"""The collections of a shard: bookmarks, failures and limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import pytest

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.hub import BOOKMARK_SECONDS
from tenantry.apiserver.request import Request
from tenantry.http.messages import Stream
from tenantry.kube.definition import ResourceDefinition
from tenantry.storage.keys import Key
from tenantry.storage.record import Change
from tenantry.storage.store import Unavailable
from tenantry.tenancy.computed import collection
from tenantry.tenancy.computed.computed_record import ComputedRecord
from tenantry.tenancy.computed.sources import Sources
from tenantry.virtual.computed.computed_view import ComputedView
from tenantry.virtual.view import Place
from tests.support.patience import PATIENCE_SECONDS
from tests.support.people import person
from tests.support.sinks import MemorySink
from tests.support.tenancies import ServedShard
from tests.support.waiting import until
from tests.virtual.watching import Watch

CLUSTER = "rteam00000000000"
PATH = f"/services/mirror/clusters/{CLUSTER}/api/v1/configmaps"
SOMEBODY = person("somebody")


class Mirror(ComputedView):
    """The ConfigMaps of a workspace, or of all; none of them may be named `bad`."""

    name = "mirror"

    def allows(self, place: Place, question: Attributes) -> bool:
        return True

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        return [self.definition("", "configmaps")]

    def compute(self, place: Place, sources: Sources) -> Iterator[ComputedRecord | None]:
        definition = self.definition("", "configmaps")
        for record in sources.records(definition.storage_key, place.cluster):
            if record.key.name == "bad":
                raise ValueError("a bad one")
            metadata = {"name": record.key.name, "namespace": "default", "uid": record.head.uid}
            yield ComputedRecord.of_object(definition, {"metadata": metadata}, sources.revision_of(record))


async def put(shard: ServedShard, name: str, cluster: str = CLUSTER) -> None:
    await shard.put(cluster, "", "configmaps", {"metadata": {"name": name, "namespace": "default"}})


async def remove(shard: ServedShard, name: str) -> None:
    record = shard.cell.range_of(CLUSTER).get(Key(CLUSTER, "core/configmaps", "default", name))
    await shard.cell.commit([Change(Key(CLUSTER, "core/configmaps", "default", name), None, None, record)])


async def names(shard: ServedShard, path: str = PATH) -> list[str]:
    status, found = await shard.call("GET", path, SOMEBODY)
    assert status == 200, found
    return [obj["metadata"]["name"] for obj in found["items"]]


async def test_a_computed_watch_gets_bookmarks_by_the_timer_of_its_base() -> None:
    async with ServedShard(Mirror) as shard:
        await shard.cluster(CLUSTER)
        await put(shard, "a")
        hubs = shard.tenancy.scopes.hubs
        async with Watch(shard, PATH, SOMEBODY, "watch=true&allowWatchBookmarks=true") as watch:
            assert await watch.next() == ("ADDED", "a")
            (timer,) = hubs._bookmarks.values()
            assert list(hubs._bookmarks) == [shard.cell.range_of(CLUSTER)]
            for _ in range(BOOKMARK_SECONDS):
                timer._tick()
            bookmark = watch.bookmarks[-1]["object"]["metadata"]["resourceVersion"]
            await put(shard, "b")
            assert await watch.next() == ("ADDED", "b")
        assert not hubs._bookmarks
        async with Watch(shard, PATH, SOMEBODY, f"watch=true&resourceVersion={bookmark}") as watch:
            assert await watch.next() == ("ADDED", "b")


async def test_all_clusters_are_a_place_of_their_own() -> None:
    async with ServedShard(Mirror) as shard:
        for cluster in (CLUSTER, "rother0000000000"):
            await shard.cluster(cluster)
            await put(shard, f"of-{cluster}", cluster)
        path = "/ranges/root/services/mirror/clusters/*/api/v1/configmaps"
        assert {f"of-{CLUSTER}", "of-rother0000000000"} <= set(await names(shard, path))
        async with Watch(shard, f"{path}", SOMEBODY, "watch=true&fieldSelector=metadata.name=new") as watch:
            await put(shard, "new", "rother0000000000")
            assert await watch.next() == ("ADDED", "new")
        assert await names(shard) == [f"of-{CLUSTER}"]


async def test_what_cannot_be_computed_ends_its_watches_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with ServedShard(Mirror) as shard:
        for cluster in (CLUSTER, "rother0000000000"):
            await shard.cluster(cluster)
        other = PATH.replace(CLUSTER, "rother0000000000")
        async with Watch(shard, PATH, SOMEBODY) as watch, Watch(shard, other, SOMEBODY) as beside:
            await put(shard, "a")
            assert await watch.next() == ("ADDED", "a")
            await put(shard, "bad")
            assert await watch.next() == ("END", "")
            await put(shard, "b", "rother0000000000")
            assert await beside.next() == ("ADDED", "b")
        assert "a bad one" in caplog.text
        await remove(shard, "bad")
        assert await names(shard) == ["a"]


async def test_a_store_that_cannot_be_read_delays_events_and_refuses_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ServedShard(Mirror) as shard:
        await shard.cluster(CLUSTER)
        async with Watch(shard, PATH, SOMEBODY) as watch:
            failed = 0

            async def fail(revision: int) -> None:
                nonlocal failed
                failed += 1
                raise Unavailable("no store")

            with monkeypatch.context() as broken:
                broken.setattr(shard.tenancy.catalog, "reached", fail)
                await put(shard, "a")
                assert (await shard.call("GET", PATH, SOMEBODY))[0] == 503
                await shard.until(lambda: failed)
            assert await watch.next() == ("ADDED", "a")
        assert await names(shard) == ["a"]


async def test_too_many_objects_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "OBJECTS_MAX", 2)
    async with ServedShard(Mirror) as shard:
        await shard.cluster(CLUSTER)
        for name in "abc":
            await put(shard, name)
        status, answer = await shard.call("GET", PATH, SOMEBODY)
        assert (status, answer["reason"]) == (413, "RequestEntityTooLarge")
        await remove(shard, "b")
        assert await names(shard) == ["a", "c"]


async def test_a_collection_without_watches_is_evicted_for_others() -> None:
    async with ServedShard(Mirror) as shard:
        await shard.cluster(CLUSTER)
        shard.collections._kept.clear()
        assert await names(shard) == []
        _, found = await shard.call("GET", PATH, SOMEBODY)
        shard.collections._kept.clear()
        await put(shard, "a")
        resumed = f"watch=true&resourceVersion={found['metadata']['resourceVersion']}"
        async with Watch(shard, PATH, SOMEBODY, resumed) as watch:
            assert await watch.error() == 410
            # One with a watch stays.
        async with Watch(shard, PATH, SOMEBODY) as watch:
            assert await watch.next() == ("ADDED", "a")
            shard.collections._kept.clear()
            await put(shard, "b")
            assert await watch.next() == ("ADDED", "b")
            (followed,) = shard.collections._followed.values()
            assert await names(shard) == ["a", "b"]
            assert followed.range.version > int(found["metadata"]["resourceVersion"])
        await until(lambda: not shard.collections._followed)
        assert list(shard.collections._kept)


async def test_a_watch_that_begins_when_its_base_is_released_ends() -> None:
    async with ServedShard(Mirror) as shard:
        await shard.cluster(CLUSTER)
        await put(shard, "a")
        assert await names(shard) == ["a"]
        reply = await shard.pipeline(Request("GET", PATH, "watch=true", {}, user=SOMEBODY))
        assert isinstance(reply, Stream)
        shard.tenancy.scopes.hubs.end(shard.cell.range_of(CLUSTER))
        await shard.cell.release("root")
        shard.tenancy.ranges_changed()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await reply.run(MemorySink())
        assert not shard.tenancy.scopes.hubs._hubs
