"""Watches of declared views: objects that come into sight and leave it, and declarations that change."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import API_EXPORTS
from tenantry.tenancy.resources import CONFIG_MAPS as STORED
from tenantry.virtual.declared import shown_since
from tenantry.virtual.declared.declared_view import DeclaredView
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard
from tests.virtual.apiexport.ranch import listed
from tests.virtual.declared.observatory import (
    CONFIG_MAPS,
    NAME,
    NEAR,
    PATH,
    PROVIDER,
    READER,
    config_map,
    config_maps,
    observatory,
    relabel,
)
from tests.virtual.watching import Watch

PUBLISHED: Object = {**CONFIG_MAPS, "labelSelector": {"matchLabels": {"published": "yes"}}}
BY_FILTER: Object = {
    **CONFIG_MAPS,
    "filter": "has(object.metadata.labels.published) && object.metadata.labels.published == 'yes'",
}


async def change(shard: ServedShard, **spec: Any) -> None:
    status, answer = await shard.call(
        "PATCH", f"{PATH}/{NAME}", MASTER, {"spec": spec}, content_type="application/merge-patch+json"
    )
    assert status == 200, answer


async def version(shard: ServedShard) -> str:
    status, found = await shard.call("GET", config_maps(), READER)
    assert status == 200
    return str(found["metadata"]["resourceVersion"])


@pytest.mark.parametrize("entry", [PUBLISHED, BY_FILTER])
async def test_in_and_out_of_sight(entry: Object) -> None:
    async with ServedShard() as shard:
        await observatory(shard, resources=[entry])
        await config_map(shard, "one", published="yes")
        await config_map(shard, "two", published="no")
        async with Watch(shard, config_maps(), READER) as watch:
            assert await watch.next() == ("ADDED", "one")
            await relabel(shard, "two", published="yes")
            assert await watch.next() == ("ADDED", "two")
            await relabel(shard, "two", more="yes")
            assert await watch.next() == ("MODIFIED", "two")
            await relabel(shard, "one", published=None)
            assert await watch.next() == ("DELETED", "one")
            await relabel(shard, "one", more="yes")
            for number in range(20):
                await config_map(shard, f"n{number:02}", published="yes" if number % 2 else "no")
            assert [await watch.next() for _ in range(10)] == [("ADDED", f"n{number:02}") for number in range(1, 20, 2)]


@pytest.mark.parametrize("entry", [PUBLISHED, BY_FILTER])
async def test_a_resumed_watch(entry: Object) -> None:
    async with ServedShard() as shard:
        await observatory(shard, resources=[entry])
        await config_map(shard, "one", published="yes")
        since = await version(shard)
        await relabel(shard, "one", published="no")
        for number in range(20):
            await config_map(shard, f"n{number:02}", published="yes" if number % 2 else "no")
        async with Watch(shard, config_maps(), READER, f"watch=true&resourceVersion={since}") as watch:
            assert await watch.next() == ("DELETED", "one")
            assert [await watch.next() for _ in range(10)] == [("ADDED", f"n{number:02}") for number in range(1, 20, 2)]
            await relabel(shard, "one", published="yes")
            assert await watch.next() == ("ADDED", "one")
            assert watch.seen == 12


@pytest.mark.parametrize("entry", [PUBLISHED, BY_FILTER])
async def test_acceptance_shows_in_open_watches(entry: Object) -> None:
    def verbs(*wanted: str) -> Any:
        def edit(binding: Object) -> None:
            binding["spec"]["permissionClaims"][0]["verbs"] = list(wanted)

        return edit

    async with ServedShard() as shard:
        await observatory(shard, resources=[entry])
        await config_map(shard, "one", published="yes")
        async with Watch(shard, config_maps(), READER) as watch:
            assert await watch.next() == ("ADDED", "one")
            await shard.edit(NEAR, "apis.kcp.io", "apibindings", "cowboys", verbs("get"))
            assert await watch.next() == ("DELETED", "one")
            await config_map(shard, "two", published="yes")
            await shard.edit(NEAR, "apis.kcp.io", "apibindings", "cowboys", verbs("*"))
            assert sorted([await watch.next(), await watch.next()]) == [("ADDED", "one"), ("ADDED", "two")]


@pytest.mark.parametrize(
    "now",
    [
        {"resources": [{**PUBLISHED, "labelSelector": {"matchLabels": {"published": "no"}}}]},
        {"resources": [{**PUBLISHED, "filter": "true"}]},
        {"resources": [{**PUBLISHED, "show": "{}"}]},
        {"resources": []},
    ],
)
async def test_a_change_of_the_declaration_ends_watches(now: Any) -> None:
    """Their clients list again, because a watch cannot go on: what was shown before is not known."""
    async with ServedShard() as shard:
        await observatory(shard, resources=[PUBLISHED])
        await config_map(shard, "one", published="yes")
        since = await version(shard)
        async with Watch(shard, config_maps(), READER) as watch:
            assert await watch.next() == ("ADDED", "one")
            await change(shard, **now)
            assert await watch.next() == ("END", "")
        if not now["resources"]:
            assert (await shard.call("GET", config_maps(), READER))[0] == 404
            return
        async with Watch(shard, config_maps(), READER, f"watch=true&resourceVersion={since}") as watch:
            assert await watch.error() == 410
        # In a range in which nothing happens, the list that follows can be watched.
        since = await version(shard)
        async with Watch(shard, config_maps(), READER, f"watch=true&resourceVersion={since}") as watch:
            await config_map(shard, "new", published="yes")
            await config_map(shard, "no", published="no")
            assert (await watch.next())[0] == "ADDED"


async def test_a_version_that_a_process_behind_may_have_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that does not know of the change yet shows the former declaration at versions after it."""
    async with ServedShard() as shard:
        await observatory(shard, resources=[PUBLISHED])
        await change(shard, resources=[BY_FILTER])
        await config_map(shard, "one", published="yes")
        record = shard.cell.range_of(NEAR).get(Key(NEAR, STORED, "default", "one"))
        views = shard.views["virtualworkspaces"]
        assert record is not None and isinstance(views, DeclaredView)
        resumed = f"watch=true&resourceVersion={record.version}"
        async with Watch(shard, config_maps(), READER, resumed) as watch:
            assert await watch.error() == 410
        # Another process, later: all know of the change.
        monkeypatch.setattr(shown_since, "LAG_SECONDS", 0.0)
        views.declarations.shown_since._known.clear()
        async with Watch(shard, config_maps(), READER, resumed) as watch:
            await config_map(shard, "two", published="yes")
            assert await watch.next() == ("ADDED", "two")


async def test_other_changes_do_not_end_watches() -> None:
    async with ServedShard() as shard:
        await observatory(shard, resources=[PUBLISHED])
        async with Watch(shard, config_maps(), READER) as watch:
            await change(shard, resources=[PUBLISHED, {"group": "wild.west", "resource": "cowboys"}])
            await shard.export("rstranger0000000", "horses")
            await config_map(shard, "one", published="yes")
            assert await watch.next() == ("ADDED", "one")


async def test_the_end_of_a_view() -> None:
    async with ServedShard() as shard:
        await observatory(shard, resources=[PUBLISHED])
        async with Watch(shard, config_maps(), READER) as watch:
            assert (await shard.call("DELETE", f"{PATH}/{NAME}", MASTER))[0] == 200
            assert await watch.next() == ("END", "")
        assert (await shard.call("GET", config_maps(), READER))[0] == 404
        assert (await shard.call("GET", config_maps(), person("stranger")))[0] == 403


async def test_the_end_of_its_export() -> None:
    async with ServedShard() as shard:
        await observatory(shard, resources=[PUBLISHED])
        async with Watch(shard, config_maps(), READER) as watch:
            export = f"/clusters/{PROVIDER}/apis/apis.kcp.io/v1alpha2/apiexports/cowboys"
            assert (await shard.call("DELETE", export, MASTER))[0] == 200
            await shard.until(lambda: shard.tenancy.catalog.get(API_EXPORTS, PROVIDER, "cowboys") is None)
            assert await watch.next() == ("END", "")


async def test_watches_of_users_share_what_does_not_depend_on_them() -> None:
    async with ServedShard() as shard:
        access = {"expression": "true"}
        await observatory(shard, access=access, resources=[{**CONFIG_MAPS, "filter": "object.metadata.name != 'shut'"}])
        await config_map(shard, "open")
        await config_map(shard, "shut")
        one, two = person("one"), person("two")
        async with Watch(shard, config_maps(), one) as first, Watch(shard, config_maps(), two) as second:
            assert await first.next() == await second.next() == ("ADDED", "open")
            hub = shard.tenancy.scopes.hubs.of(shard.cell.range_of(NEAR))
            [feed] = hub._feeds.values()
            assert len(list(feed.groups)) == 1
        await change(shard, resources=[{**CONFIG_MAPS, "filter": "object.metadata.name != user.name"}])
        await config_map(shard, "one")
        assert await listed(shard, config_maps(), one) == ["open", "shut"]
        assert await listed(shard, config_maps(), two) == ["one", "open", "shut"]
