"""A declared view on one shard and its consumers on another, in whose range nothing happens when the declaration changes."""

from __future__ import annotations

from typing import Any

from tenantry.apiserver.records import parse_head
from tenantry.storage.keys import Key
from tenantry.tenancy.resources import VIRTUAL_WORKSPACES
from tenantry.virtual.declared.shown_since import MARKS
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard
from tests.virtual.declared.observatory import NAME, PATH, PROVIDER, declare
from tests.virtual.watching import Watch

CONSUMER = "900consumer00000"
ADA = person("ada")
COWBOYS = f"/ranges/range-9/services/virtualworkspaces/{PROVIDER}/{NAME}/clusters/*/apis/wild.west/v1/cowboys"
ENTRY = {"group": "wild.west", "resource": "cowboys"}


async def listed(shard: ServedShard) -> tuple[list[str], str]:
    """What the view shows, and the version of the list."""
    status, found = await shard.call("GET", COWBOYS, ADA)
    assert status == 200, found
    return [item["metadata"]["name"] for item in found["items"]], found["metadata"]["resourceVersion"]


async def change(here: ServedShard, there: ServedShard, **spec: Any) -> None:
    """Changes the declaration, and returns when the other shard knows."""
    before = there.tenancy.catalog.entry(VIRTUAL_WORKSPACES, PROVIDER, NAME)
    status, answer = await here.call(
        "PATCH", f"{PATH}/{NAME}", MASTER, {"spec": spec}, content_type="application/merge-patch+json"
    )
    assert status == 200, answer
    await there.until(lambda: there.tenancy.catalog.entry(VIRTUAL_WORKSPACES, PROVIDER, NAME) is not before)


async def test_a_version_tells_clients_of_two_declarations_apart() -> None:
    async with ServedShard() as here:
        there = ServedShard(store=here.store, name="there")
        async with there:
            await here.cluster(PROVIDER, "root:provider")
            await here.export(PROVIDER)
            await there.until(lambda: there.identity(PROVIDER, "cowboys"))
            await there.cluster(CONSUMER)
            await there.namespace(CONSUMER, "default")
            await there.bind(CONSUMER, PROVIDER, "cowboys")
            for name in ("jim", "joe"):
                body = {"apiVersion": "wild.west/v1", "kind": "Cowboy", "metadata": {"name": name}}
                path = f"/clusters/{CONSUMER}/apis/wild.west/v1/namespaces/default/cowboys"
                assert (await there.call("POST", path, MASTER, body))[0] == 201
            access = {"expression": "user.name == 'ada'"}
            await declare(here, access=access, resources=[{**ENTRY, "filter": "object.metadata.name == 'jim'"}])
            await there.until(lambda: there.tenancy.catalog.entry(VIRTUAL_WORKSPACES, PROVIDER, NAME))

            names, since = await listed(there)
            assert names == ["jim"]
            async with Watch(there, COWBOYS, ADA, f"watch=true&resourceVersion={since}&allowWatchBookmarks=true") as watch:
                await change(here, there, resources=[{**ENTRY, "filter": "object.metadata.name == 'joe'"}])
                assert await watch.next() == ("END", "")
                last = watch.bookmarks[-1]["object"]["metadata"]["resourceVersion"]
            # A client that was away, and one that was not: neither has seen what the view shows now.
            for version in (since, last):
                async with Watch(there, COWBOYS, ADA, f"watch=true&resourceVersion={version}") as watch:
                    assert await watch.error() == 410
            names, since = await listed(there)
            assert names == ["joe"]
            async with Watch(there, COWBOYS, ADA, f"watch=true&resourceVersion={since}") as watch:
                path = f"/clusters/{CONSUMER}/apis/wild.west/v1/namespaces/default/cowboys/joe"
                assert (await there.call("DELETE", path, MASTER))[0] == 200
                assert await watch.next() == ("DELETED", "joe")
            # Who owns the range next loads the mark as all that is stored.
            mark = Key("900", MARKS, "", "mark")
            record = there.cell.range_of(CONSUMER).get(mark)
            assert record is not None and parse_head(mark, record.value) == record.head
            # Nothing is written for requests after the first one.
            _, first = await listed(there)
            assert (await listed(there))[1] == first
