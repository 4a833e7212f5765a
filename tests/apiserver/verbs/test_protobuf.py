"""Reads, writes and watches in protobuf."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tenantry.apiserver import protobuf_records
from tenantry.apiserver.watch_events import Encoder
from tenantry.base.time_slices import turns
from tenantry.kube.codec.protobuf_encoding import encode
from tenantry.storage.record import Record
from tests.apiserver.range_server import RangeServer, cm, thing
from tests.support.protobuf import MEDIA_TYPE, envelope, fields, items, message, unwrap

CMS = "/api/v1/namespaces/default/configmaps"
THINGS = "/apis/test.example/v1/namespaces/default/things"
PARTIAL = f"{MEDIA_TYPE};as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = f"{MEDIA_TYPE};as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
WATCH_LIST = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


@pytest.fixture
async def filled(server: RangeServer) -> RangeServer:
    await server("POST", CMS, cm("a", {"k": "v"}, labels={"p": "even"}))
    await server("POST", CMS, cm("b", labels={"p": "odd"}))
    await server("POST", THINGS, thing("t", a="x"))
    return server


async def read(server: RangeServer, path: str, accept: str = MEDIA_TYPE, **more: Any) -> Any:
    answer = await server("GET", path, accept=accept, **more)
    assert (answer.status, answer.content_type) == (200, MEDIA_TYPE)
    return answer.json


async def listed(server: RangeServer, path: str, api_version: str = "v1", kind: str = "ConfigMap", **more: Any) -> list[Any]:
    answer = await server("GET", path, **{"accept": MEDIA_TYPE} | more)
    assert (answer.status, answer.content_type) == (200, MEDIA_TYPE)
    return items(answer.raw, api_version, kind)


def without_zeros(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_zeros(item) for key, item in value.items() if item not in (None, "", {}, [])}
    return [without_zeros(item) for item in value] if isinstance(value, list) else value


async def test_an_object_says_what_its_json_says(filled: RangeServer) -> None:
    for name in ("a", "b"):
        in_json = (await filled("GET", f"{CMS}/{name}")).json
        for _ in range(2):
            assert without_zeros(await read(filled, f"{CMS}/{name}")) == without_zeros(in_json)
        assert (await filled("GET", f"{CMS}/{name}", accept=MEDIA_TYPE)).raw == encode(in_json)


async def test_a_change_is_seen_at_once(filled: RangeServer) -> None:
    await read(filled, CMS + "/a")
    await filled("PATCH", CMS + "/a", {"data": {"k": "w"}})
    assert (await read(filled, CMS + "/a"))["data"] == {"k": "w"}


async def test_writes_answer_in_protobuf(server: RangeServer) -> None:
    body = envelope("v1", "ConfigMap", message((1, message((1, "n"))), (2, {"k": "v"})))
    made = await server("POST", CMS, body, accept=MEDIA_TYPE, content_type=MEDIA_TYPE)
    assert (made.status, made.content_type, made.json["data"]) == (201, MEDIA_TYPE, {"k": "v"})
    patched = await server("PATCH", CMS + "/n", {"data": {"x": "y"}}, accept=MEDIA_TYPE)
    assert patched.json["data"] == {"k": "v", "x": "y"}
    dry = await server("PATCH", CMS + "/n?dryRun=All", {"data": {"x": "z"}}, accept=MEDIA_TYPE)
    assert dry.json["data"]["x"] == "z"
    deleted = await server("DELETE", CMS + "/n", envelope("v1", "DeleteOptions", b""), accept=MEDIA_TYPE, content_type=MEDIA_TYPE)
    assert (deleted.json["kind"], deleted.json["status"], deleted.json["details"]["name"]) == ("Status", "Success", "n")
    missing = await server("GET", CMS + "/n", accept=MEDIA_TYPE)
    assert (missing.status, missing.content_type, missing.json["reason"]) == (404, MEDIA_TYPE, "NotFound")


async def test_options_of_another_kind_are_refused(filled: RangeServer) -> None:
    options = envelope("v1", "ConfigMap", b"")
    refused = await filled("DELETE", CMS + "/a", options, content_type=MEDIA_TYPE)
    assert refused.message == 'no kind "ConfigMap" is registered for version "v1" in scheme "pkg/runtime/scheme.go:111"'


async def test_a_list(filled: RangeServer) -> None:
    answer = await filled("GET", CMS, accept=MEDIA_TYPE)
    api_version, kind, raw = unwrap(answer.raw)
    assert (api_version, kind) == ("v1", "ConfigMapList")
    metadata = dict(fields(dict(fields(raw))[1]))
    assert metadata[2].decode() == (await filled("GET", CMS)).rv
    found = await listed(filled, CMS)
    assert [each["metadata"]["name"] for each in found] == ["a", "b"]
    assert found[0]["data"] == {"k": "v"}
    assert await listed(filled, CMS + "?labelSelector=p%3Dnone") == []
    assert [each["metadata"]["name"] for each in await listed(filled, CMS + "?labelSelector=p%3Dodd")] == ["b"]


async def test_pages(filled: RangeServer) -> None:
    first = await filled("GET", CMS + "?limit=1", accept=MEDIA_TYPE)
    metadata = unwrap(first.raw)[2]
    token = metadata[metadata.index(b"\x1a") + 2 :].partition(b"\x20")[0].decode()
    rest = await listed(filled, CMS, query={"limit": "1", "continue": token})
    assert [each["metadata"]["name"] for each in rest] == ["b"]


async def test_metadata_alone(filled: RangeServer) -> None:
    whole = await read(filled, CMS + "/a")
    assert await read(filled, CMS + "/a", PARTIAL) == {
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": whole["metadata"],
    }
    kind = ("meta.k8s.io/v1", "PartialObjectMetadata")
    found = await listed(filled, CMS, *kind, accept=PARTIAL_LIST)
    assert [set(each) for each in found] == [{"apiVersion", "kind", "metadata"}] * 2
    assert unwrap((await filled("GET", CMS, accept=PARTIAL_LIST)).raw)[:2] == ("meta.k8s.io/v1", "PartialObjectMetadataList")
    in_json = without_zeros((await filled("GET", THINGS + "/t")).json["metadata"])
    assert without_zeros((await read(filled, THINGS + "/t", PARTIAL))["metadata"]) == in_json
    (one,) = await listed(filled, THINGS, *kind, accept=PARTIAL_LIST)
    assert without_zeros(one["metadata"]) == in_json


async def test_custom_types_have_none(filled: RangeServer) -> None:
    for path in (THINGS, THINGS + "/t", THINGS + "?watch=true"):
        refused = await filled("GET", path, accept=MEDIA_TYPE)
        assert (refused.status, refused.content_type, refused.json["reason"]) == (406, MEDIA_TYPE, "NotAcceptable")
        assert refused.message.startswith("only the following media types are accepted: application/json, application/yaml, ")
    assert (await filled("GET", THINGS + "/t", accept=f"{MEDIA_TYPE},application/json")).json["kind"] == "Thing"


async def test_a_scale_has_its_own_message(filled: RangeServer) -> None:
    await filled("PATCH", THINGS + "/t", {"spec": {"replicas": 3}})
    scale = await read(filled, THINGS + "/t/scale")
    assert (scale["apiVersion"], scale["kind"], scale["spec"]) == ("autoscaling/v1", "Scale", {"replicas": 3})
    body = envelope("autoscaling/v1", "Scale", message((1, message((1, "t"), (3, "default"))), (2, message((1, 5)))))
    changed = await filled("PUT", THINGS + "/t/scale", body, accept=MEDIA_TYPE, content_type=MEDIA_TYPE)
    assert changed.json["spec"] == {"replicas": 5}


async def test_a_list_as_an_object_and_an_object_as_a_list(filled: RangeServer) -> None:
    refused = await filled("GET", CMS, accept=PARTIAL)
    assert (refused.status, refused.content_type) == (406, "application/json")
    assert refused.message == "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"
    refused = await filled("GET", CMS + "/a", accept=PARTIAL_LIST)
    assert refused.message == "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"
    refused = await filled("GET", THINGS + "/t", accept=PARTIAL_LIST)
    assert (refused.status, refused.message) == (500, "content is not a list")


async def test_what_a_view_shows(filled: RangeServer) -> None:
    def shown(obj: Any) -> Any:
        return {**obj, "data": {"shown": "yes"}}

    await read(filled, CMS + "/a")
    filled.scope.shown = shown
    assert (await read(filled, CMS + "/a"))["data"] == {"shown": "yes"}
    assert [each["data"] for each in await listed(filled, CMS)] == [{"shown": "yes"}] * 2
    async with filled.watching(CMS + "?watch=true", accept=MEDIA_TYPE) as sink:
        await sink.wait(2)
    assert sink.events[0]["object"]["data"] == {"shown": "yes"}
    filled.scope.shown = None
    assert (await read(filled, CMS + "/a"))["data"] == {"k": "v"}


async def test_long_lists_rest_and_are_the_same(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        await server("POST", CMS, cm(f"n{number:03}", {"k": "v" * number}))
    protobuf_records._items.clear()
    monkeypatch.setattr(turns, "_slice_seconds", 0.0)
    for _ in range(2):
        found = await listed(server, CMS)
        assert [len(each["data"]["k"]) if each["data"]["k"] else 0 for each in found] == list(range(200))


async def test_a_message_is_made_once_for_all_readers(filled: RangeServer) -> None:
    protobuf_records._items.clear()
    await read(filled, CMS + "/a")
    (kept,) = protobuf_records._items
    await read(filled, CMS + "/a", PARTIAL)
    await listed(filled, CMS + "?labelSelector=p%3Deven")
    assert list(protobuf_records._items) == [kept]


async def test_nothing_is_kept_for_readers_of_json(filled: RangeServer) -> None:
    protobuf_records._items.clear()
    await filled("GET", CMS)
    await filled("GET", CMS + "/a", accept="application/yaml")
    assert not list(protobuf_records._items)


async def test_a_watch(filled: RangeServer) -> None:
    stream = await filled.stream(CMS + "?watch=true", accept=MEDIA_TYPE)
    assert stream.content_type == f"{MEDIA_TYPE};stream=watch"
    async with filled.watching(f"{CMS}?{WATCH_LIST}", accept=f"{MEDIA_TYPE},application/json") as sink:
        await sink.wait(3)
        await filled("PATCH", CMS + "/a", {"data": {"k": "w"}})
        await filled("DELETE", CMS + "/b")
        await sink.wait(5)
    assert [event["type"] for event in sink.events[:5]] == ["ADDED", "ADDED", "BOOKMARK", "MODIFIED", "DELETED"]
    objects = [event["object"] for event in sink.events]
    assert {(each["apiVersion"], each["kind"]) for each in objects} == {("v1", "ConfigMap")}
    assert objects[2]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert objects[3]["data"] == {"k": "w"}
    versions = [int(each["metadata"]["resourceVersion"]) for each in objects[2:5]]
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("accept", [MEDIA_TYPE, "application/json;as=Table;v=v1;g=meta.k8s.io"])
async def test_large_objects_that_a_watch_begins_with_are_encoded_beside_the_loop(
    filled: RangeServer, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    await filled("POST", CMS, cm("large", {f"k{number}": "v" for number in range(5_000)}))
    places: dict[str, bool] = {}
    event = Encoder.event

    def noted(encoder: Encoder, kind: bytes, record: Record, resource_version: int, *, columns: bool = False) -> bytes:
        places[record.key.name] = threading.current_thread() is threading.main_thread()
        return event(encoder, kind, record, resource_version, columns=columns)

    monkeypatch.setattr(Encoder, "event", noted)
    async with filled.watching(f"{CMS}?{WATCH_LIST}", accept=accept) as sink:
        await sink.wait(4)
    assert [each["type"] for each in sink.events[:4]] == ["ADDED", "ADDED", "ADDED", "BOOKMARK"]
    assert places == {"a": True, "b": True, "large": False}


async def test_a_watch_of_metadata(filled: RangeServer) -> None:
    async with filled.watching(THINGS + "?watch=true", accept=PARTIAL) as sink:
        await filled("PATCH", THINGS + "/t", {"metadata": {"labels": {"x": "y"}}})
        await sink.wait(2)
    assert [event["object"]["kind"] for event in sink.events] == ["PartialObjectMetadata"] * 2
    assert sink.events[1]["object"]["metadata"]["labels"] == {"x": "y"}


async def test_an_error_in_a_stream(filled: RangeServer) -> None:
    async with filled.watching(CMS + "?watch=true&resourceVersion=1", accept=MEDIA_TYPE) as sink:
        (event,) = await sink.wait(1)
    assert (event["type"], event["object"]["kind"], event["object"]["code"]) == ("ERROR", "Status", 410)


async def test_watchers_of_both_formats_get_the_same_events(filled: RangeServer) -> None:
    async with (
        filled.watching(CMS + "?watch=true", accept=MEDIA_TYPE) as one,
        filled.watching(CMS + "?watch=true") as other,
    ):
        await filled("PATCH", CMS + "/a", {"data": {"k": "w"}})
        await one.wait(3)
        await other.wait(3)
    assert [without_zeros(event) for event in one.events] == [without_zeros(event) for event in other.events]
