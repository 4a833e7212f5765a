"""Objects to which their schema, changed since, would add more than it may: they can be read, mended and deleted."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.custom import definition_from_crd
from tests.apiserver.range_server import DEFINITIONS, RangeServer, crd, thing

THINGS = "/apis/test.example/v1/namespaces/default/things"
PLAIN = {"type": "object", "properties": {"a": {"type": "string"}}}
ITEMS = {"type": "array", "items": PLAIN}
MANY = [{"a": str(i)} for i in range(9_000)]
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


def list_of(**b: Any) -> Any:
    return {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string", **b}}}}


def with_schema(server: RangeServer, items: Any) -> None:
    server.scope.set_apis((*DEFINITIONS, definition_from_crd(crd({"list": items, "size": {"type": "integer"}}))))


@pytest.fixture
async def changed(server: RangeServer) -> RangeServer:
    """With `great`, `small`, and a schema that since has a default of 1,000 characters for each item."""
    with_schema(server, ITEMS)
    great = thing("great", list=MANY)
    great["metadata"]["finalizers"] = ["test.example/held"]
    for each in (great, thing("small", list=MANY[:2])):
        answer = await server("POST", THINGS, each)
        assert answer.status == 201, answer.message
    with_schema(server, list_of(default="d" * 1000))
    return server


async def test_it_is_read_without_defaults_and_others_with_them(changed: RangeServer) -> None:
    great = await changed("GET", f"{THINGS}/great")
    assert (great.status, great.json["spec"]["list"]) == (200, MANY)
    small = await changed("GET", f"{THINGS}/small")
    assert small.json["spec"]["list"] == [{"a": "0", "b": "d" * 1000}, {"a": "1", "b": "d" * 1000}]
    items = (await changed("GET", THINGS)).json["items"]
    assert [item["metadata"]["name"] for item in items] == ["great", "small"]
    table = await changed("GET", THINGS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert (table.status, len(table.json["rows"])) == (200, 2)
    async with changed.watching(THINGS, query={"watch": "1"}) as sink:
        assert [event["type"] for event in await sink.wait(2)] == ["ADDED", "ADDED"]


async def test_it_is_mended(changed: RangeServer) -> None:
    mended = await changed("PATCH", f"{THINGS}/great", {"spec": {"list": MANY[:1]}})
    assert (mended.status, mended.json["spec"]["list"]) == (200, [{"a": "0", "b": "d" * 1000}])
    worse = await changed("PATCH", f"{THINGS}/great", {"spec": {"list": MANY}})
    assert (worse.status, "defaults" in worse.message) == (413, True)


async def test_a_schema_that_changes_again_shows_all_of_it(changed: RangeServer) -> None:
    with_schema(changed, list_of(default="d"))
    great = await changed("GET", f"{THINGS}/great")
    assert great.json["spec"]["list"][0] == {"a": "0", "b": "d"}


@pytest.mark.parametrize("how", ["PUT", "PATCH", "apply"])
async def test_it_can_be_written_and_deleted_as_it_is(changed: RangeServer, how: str) -> None:
    assert (await changed("DELETE", f"{THINGS}/great")).status == 200
    deleted = (await changed("GET", f"{THINGS}/great")).json
    assert deleted["metadata"]["deletionTimestamp"]
    match how:
        case "PUT":
            deleted["spec"]["size"] = 3
            answer = await changed("PUT", f"{THINGS}/great", deleted)
            assert (answer.status, answer.json["spec"]["list"]) == (200, MANY)
        case "apply":
            body = {**thing("great", size=3), "metadata": {"name": "great"}}
            answer = await changed("PATCH", f"{THINGS}/great", body, content_type=APPLY, query={"fieldManager": "me"})
            assert (answer.status, answer.json["spec"]["list"]) == (200, MANY)
    assert (await changed("PATCH", f"{THINGS}/great", {"metadata": {"finalizers": None}}, content_type=MERGE)).status == 200
    assert (await changed("GET", f"{THINGS}/great")).status == 404


async def test_a_new_one_is_refused(changed: RangeServer) -> None:
    for method, name in (("POST", ""), ("PUT", "/small")):
        answer = await changed(method, f"{THINGS}{name}", thing("new" if method == "POST" else "small", list=MANY))
        assert (answer.status, "defaults" in answer.message) == (413, True)


async def test_what_a_read_adds_is_bounded_by_what_is_stored(server: RangeServer) -> None:
    with_schema(server, ITEMS)
    await server("POST", THINGS, thing("mid", list=[{} for _ in range(1000)]))
    stored = len((await server("GET", f"{THINGS}/mid")).raw)
    with_schema(server, list_of(default="d" * 1000))
    assert len((await server("GET", f"{THINGS}/mid")).raw) < 256 * 1024 + 10 * stored
    # A write may add more, as it is stored then.
    answer = await server("PATCH", f"{THINGS}/mid", {"spec": {"size": 1}})
    assert (answer.status, answer.json["spec"]["list"][0]) == (200, {"b": "d" * 1000})
