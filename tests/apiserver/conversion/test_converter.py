"""Types whose versions a webhook converts, on a range in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
import pytest_asyncio

from tenantry.apiserver import local_client
from tenantry.apiserver.admission.webhooks.caller import CallFailed
from tenantry.apiserver.conversion import converted_group, converter
from tenantry.apiserver.conversion.converter import Converter
from tenantry.kube.codec import stored
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.definition import ResourceDefinition
from tenantry.storage.keys import Key
from tests.apiserver.range_server import CLUSTER, RangeServer, start
from tests.clients import conversion
from tests.clients.conversion import MODES, convert, converts, thing
from tests.support.api import Object
from tests.support.waiting import one_turn, until

GROUP = "test.example"
V1, V2 = (f"/apis/{GROUP}/{version}/namespaces/default/things" for version in ("v1", "v2"))
Answer = Callable[[Object], Object]


def definition(*, storage: str = "v1", stored_first: str = "v1", generation: int = 1) -> ResourceDefinition:
    crd = conversion.crd(GROUP, {"url": "https://127.0.0.1/"}, storage=storage)
    crd["metadata"] |= {"uid": "crd-1", "generation": generation}
    names = crd["spec"]["names"]
    return definition_from_crd({**crd, "status": {"acceptedNames": names, "storedVersions": [stored_first]}})


class Webhook:
    """A webhook in this process, which answers when `open` is set. `seen`: the requests."""

    def __init__(self) -> None:
        self.answer: Answer = converts
        self.seen: list[Object] = []
        self.open = asyncio.Event()
        self.open.set()
        self.broken = ""

    async def post(self, place: Any, query: str, body: bytes, *, owner: str, deadline: float) -> bytes:
        review = orjson.loads(body)
        self.seen.append(review["request"])
        assert owner == CLUSTER
        try:
            async with asyncio.timeout_at(deadline):
                await self.open.wait()
        except TimeoutError:
            raise CallFailed("context deadline exceeded") from None
        if self.broken:
            raise CallFailed(self.broken)
        answer = self.answer(review)
        return orjson.dumps({**review, "request": None, "response": {"uid": review["request"]["uid"], **answer}})

    def sent(self) -> list[list[str]]:
        """The names in each request."""
        return [[obj["metadata"]["name"] for obj in request["objects"]] for request in self.seen]


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RangeServer]:
    running = await start([definition()])
    yield running
    running.scope.converter.close()
    await running.scope.cell.close()


@pytest.fixture
def webhook(server: RangeServer) -> Webhook:
    made = Webhook()
    server.scope.converter = Converter(made)  # type: ignore[arg-type]
    return made


async def create(server: RangeServer, *names: str) -> None:
    for name in names:
        assert (await server("POST", V1, thing(GROUP, "v1", name, size="3"))).status == 201


async def test_an_object_is_converted_once_for_all_readers(server: RangeServer, webhook: Webhook) -> None:
    await create(server, "a")
    webhook.open.clear()
    reads = [asyncio.create_task(server("GET", f"{V2}/a")) for _ in range(5)]
    await until(lambda: webhook.seen)
    webhook.open.set()
    assert [(await read).json["spec"] for read in reads] == [{"count": 3}] * 5
    await server("GET", V2)
    assert webhook.sent() == [["a"]]
    await server("PATCH", f"{V1}/a", {"spec": {"size": "4"}})
    assert (await server("GET", f"{V2}/a")).json["spec"] == {"count": 4}
    assert webhook.sent() == [["a"], ["a"]]


async def test_a_reader_that_gives_up_does_not_end_the_conversion_for_others(server: RangeServer, webhook: Webhook) -> None:
    await create(server, "a")
    webhook.open.clear()
    first = asyncio.create_task(server("GET", f"{V2}/a"))
    await until(lambda: webhook.seen)
    second = asyncio.create_task(server("GET", f"{V2}/a"))
    await one_turn()
    first.cancel()
    webhook.open.set()
    assert (await second).json["spec"] == {"count": 3}
    assert len(webhook.seen) == 1


async def test_requests_in_the_stored_version_ask_nobody(server: RangeServer, webhook: Webhook) -> None:
    await create(server, "a")
    await server("PATCH", f"{V1}/a", {"spec": {"size": "5"}})
    assert len((await server("GET", V1)).names) == 1
    assert (await server("DELETE", f"{V1}/a")).status == 200
    assert webhook.seen == []


async def test_lists_are_converted_in_batches(server: RangeServer, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter, "BATCH_OBJECTS", 3)
    names = [f"n{number}" for number in range(7)]
    await create(server, *names)
    assert (await server("GET", V2)).names == names
    assert webhook.sent() == [names[:3], names[3:6], names[6:]]
    page = await server("GET", f"{V2}?limit=2")
    assert page.names == names[:2] and page.json["metadata"]["remainingItemCount"] == 5


async def test_a_list_is_bounded_in_bytes(server: RangeServer, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    await create(server, "a", "b")
    monkeypatch.setattr(converter, "REQUEST_BYTES_MAX", 500)
    assert (await server("GET", V2)).status == 429
    assert (await server("GET", f"{V2}/a")).status == 200


async def test_of_several_objects_those_that_can_be_converted_are(server: RangeServer, webhook: Webhook) -> None:
    await create(server, "a", "bad", "c")

    def answer(review: Object) -> Object:
        names = [obj["metadata"]["name"] for obj in review["request"]["objects"]]
        return MODES["failure"](review) if "bad" in names else converts(review)  # type: ignore[return-value]

    webhook.answer = answer
    refused = await server("GET", V2)
    assert refused.json["reason"] == "StorageReadError" and "it is Friday" in refused.message
    assert [cause["field"] for cause in refused.json["details"]["causes"]] == [f"/registry/{GROUP}/things/default/bad"]
    webhook.seen.clear()
    assert (await server("GET", f"{V2}/c")).status == 200
    assert webhook.seen == []


async def test_a_webhook_that_takes_one_object_at_a_time(server: RangeServer, webhook: Webhook) -> None:
    await create(server, "a", "b")
    webhook.answer = lambda review: {**converts(review), "convertedObjects": converts(review)["convertedObjects"][:1]}
    assert (await server("GET", V2)).names == ["a", "b"]


async def test_selectors_look_at_the_version_of_the_request(server: RangeServer, webhook: Webhook) -> None:
    await create(server, "a", "b")
    await server("PATCH", f"{V1}/b", {"spec": {"size": "4"}, "metadata": {"labels": {"of": "v1"}}})

    def relabelled(review: Object) -> Object:
        answer = converts(review)
        for obj in answer["convertedObjects"]:
            if obj["metadata"].get("labels") and obj["apiVersion"].endswith("v2"):
                obj["metadata"]["labels"] = {"of": "v2"}
        return answer

    webhook.answer = relabelled
    assert (await server("GET", f"{V2}?fieldSelector=spec.count=4")).names == ["b"]
    assert (await server("GET", f"{V2}?labelSelector=of=v2")).names == ["b"]
    assert (await server("GET", f"{V2}?labelSelector=of=v1")).names == []
    assert (await server("GET", f"{V1}?labelSelector=of=v1")).names == ["b"]


async def test_a_write_that_is_overtaken_while_it_converts_begins_again(server: RangeServer, webhook: Webhook) -> None:
    await create(server, "a")
    await server("GET", f"{V2}/a")
    webhook.seen.clear()
    webhook.open.clear()
    write = asyncio.create_task(server("PATCH", f"{V2}/a", {"spec": {"note": "late"}}))
    await until(lambda: webhook.seen)
    await server("PATCH", f"{V1}/a", {"spec": {"size": "9"}})
    webhook.open.set()
    assert (await write).json["spec"] == {"count": 9, "note": "late"}
    assert (await server("GET", f"{V1}/a")).json["spec"] == {"size": "9", "level": 1, "note": "late"}


async def test_events_wait_for_their_conversion_in_order(server: RangeServer, webhook: Webhook) -> None:
    async with server.watching(f"{V2}?watch=true") as sink:
        webhook.open.clear()
        await create(server, "a")
        await server("PATCH", f"{V1}/a", {"spec": {"size": "4"}})
        (feed,) = server.scope.hubs.of(server.scope.range)._feeds.values()
        (group,) = feed.groups
        bookmark = group.bookmark()
        assert bookmark is not None
        first = int((await server("GET", V1)).json["items"][0]["metadata"]["resourceVersion"])
        assert int(orjson.loads(bookmark)["object"]["metadata"]["resourceVersion"]) < first
        # One that comes meanwhile begins with the state of now, and gets nothing twice.
        webhook.open.set()
        async with server.watching(f"{V2}?watch=true") as late:
            await server("DELETE", f"{V1}/a")
            await sink.wait(3)
            await late.wait(2)
    found = [(event["type"], event["object"]["spec"].get("count")) for event in sink.events]
    assert found == [("ADDED", 3), ("MODIFIED", 4), ("DELETED", 4)]
    assert [(event["type"], event["object"]["spec"]["count"]) for event in late.events] == [("ADDED", 4), ("DELETED", 4)]


async def test_a_watch_ends_where_an_event_cannot_be_converted(server: RangeServer, webhook: Webhook) -> None:
    stream = await server.stream(f"{V2}?watch=true&allowWatchBookmarks=true")
    from tests.support.sinks import MemorySink

    sink = MemorySink()
    task = asyncio.create_task(stream.run(sink))
    await until(lambda: server.scope.hubs.of(server.scope.range).watchers)
    webhook.broken = "out of order"
    await create(server, "a")
    await task
    assert sink.events == []
    again = MemorySink()
    await (await server.stream(f"{V2}?watch=true")).run(again)
    (error,) = again.events
    assert error["type"] == "ERROR" and "out of order" in error["object"]["message"]


async def test_what_waits_for_a_conversion_is_bounded(
    server: RangeServer, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converted_group, "WAITING_BYTES_MAX", 2000)
    stream = await server.stream(f"{V2}?watch=true")
    from tests.support.sinks import MemorySink

    task = asyncio.create_task(stream.run(MemorySink()))
    await until(lambda: server.scope.hubs.of(server.scope.range).watchers)
    webhook.open.clear()
    (feed,) = server.scope.hubs.of(server.scope.range)._feeds.values()
    (group,) = feed.groups
    assert isinstance(group, converted_group.ConvertedGroup)
    await create(server, *(f"n{number}" for number in range(9)))
    assert not group._waiting, "a group that has ended holds nothing"
    await task


async def test_a_watch_of_a_namespace_converts_nothing_of_others(server: RangeServer, webhook: Webhook) -> None:
    stream = await server.stream(f"{V2}?watch=true")
    from tests.support.sinks import MemorySink

    sink = MemorySink()
    task = asyncio.create_task(stream.run(sink))
    await until(lambda: server.scope.hubs.of(server.scope.range).watchers)
    other = thing(GROUP, "v1", "there", size="3")
    other["metadata"]["namespace"] = "other"
    assert (await server("POST", V1.replace("/default/", "/other/"), other)).status == 201
    await create(server, "here")
    await until(lambda: sink.events)
    assert webhook.sent() == [["here"]] and [event["object"]["metadata"]["name"] for event in sink.events] == ["here"]
    task.cancel()


async def test_a_server_that_calls_nothing_says_so(server: RangeServer) -> None:
    server.scope.converter = Converter(None)
    await create(server, "a")
    answer = await server("GET", f"{V2}/a")
    assert answer.status == 500
    assert f"conversion webhook for things.{GROUP} cannot be called by this server" in answer.json["message"]


async def test_a_change_of_the_definition_forgets_what_was_converted(server: RangeServer, webhook: Webhook) -> None:
    await create(server, "a")
    await server("GET", f"{V2}/a")
    server.scope.set_apis([definition(generation=2)])
    await server("GET", f"{V2}/a")
    assert len(webhook.seen) == 2


async def test_objects_stay_readable_when_the_storage_version_changes(server: RangeServer, webhook: Webhook) -> None:
    await create(server, "old")
    server.scope.set_apis([definition(storage="v2")])
    await create(server, "new")
    range_, key = server.scope.range, definition().storage_key
    values = [range_.get(Key(CLUSTER, key, "default", name)) for name in ("old", "new")]
    assert [stored.written_in(record.value, definition()) for record in values if record is not None] == ["v1", "v2"]
    # The version that is stored has its defaults, as upstream.
    specs = [item["spec"] for item in (await server("GET", V2)).json["items"]]
    assert specs == [{"count": 3, "shape": "round"}, {"count": 3}]
    specs = [item["spec"] for item in (await server("GET", V1)).json["items"]]
    assert specs == [{"size": "3"}, {"size": "3", "level": 1}]
    raw = (await server("GET", V2)).raw
    assert raw.count(b'"apiVersion"') == 1 + 2 + 2
    # A write without a change is one where the object is in another version than is stored now.
    before = await server("GET", f"{V2}/old")
    after = await server("PUT", f"{V2}/old", before.json)
    assert after.rv != before.rv
    assert (await server("PUT", f"{V2}/old", after.json)).rv == after.rv
    # All objects are in v2 now, and the client says so: what was written with the version still has it, and does not show it.
    server.scope.set_apis([definition(storage="v2", stored_first="v2", generation=3)])
    webhook.seen.clear()
    items = orjson.loads((await server("GET", V2)).raw)["items"]
    assert [item["apiVersion"] for item in items] == [f"{GROUP}/v2"] * 2 and webhook.seen == []
    raw = (await server("GET", f"{V2}/new")).raw
    assert raw.count(b'"apiVersion"') == 1 + len(items[0]["metadata"]["managedFields"])


async def test_the_server_itself_waits_for_no_webhook(server: RangeServer, webhook: Webhook) -> None:
    await create(server, "old", "gone")
    moved = definition(storage="v2")
    server.scope.set_apis([moved])
    webhook.broken = "out of order"

    def label(obj: Object) -> Object:
        obj["metadata"]["labels"] = {"seen": "yes"}
        return obj

    scope: Any = server.scope
    await local_client.update(scope, moved, "default", "old", label)
    await local_client.delete(scope, moved, "default", "gone")
    assert webhook.seen == []
    webhook.broken = ""
    found = (await server("GET", V2)).json["items"]
    assert [(item["metadata"]["labels"], item["spec"]) for item in found] == [({"seen": "yes"}, {"count": 3})]


async def test_managers_of_another_version_lose_what_is_changed_in_this_one(server: RangeServer, webhook: Webhook) -> None:
    await server(
        "PATCH", f"{V1}/a?fieldManager=one", thing(GROUP, "v1", "a", size="3"), content_type="application/apply-patch+yaml"
    )
    theirs = thing(GROUP, "v2", "a", count=4)
    refused = await server("PATCH", f"{V2}/a?fieldManager=two", theirs, content_type="application/apply-patch+yaml")
    assert refused.status == 409 and ".spec.size" in refused.message
    made = await server("PATCH", f"{V2}/a?fieldManager=two&force=true", theirs, content_type="application/apply-patch+yaml")
    assert [entry["manager"] for entry in made.json["metadata"]["managedFields"]] == ["two"]
    await server("PATCH", f"{V1}/a?fieldManager=three", {"spec": {"size": "5"}})
    owners = (await server("GET", f"{V1}/a")).json["metadata"]["managedFields"]
    assert [(entry["manager"], entry["apiVersion"]) for entry in owners] == [("three", f"{GROUP}/v1")]


def test_the_example_converts_both_ways() -> None:
    one = thing(GROUP, "v1", "a", size="3", note="n")
    assert convert(convert(one, f"{GROUP}/v2"), f"{GROUP}/v1") == one
