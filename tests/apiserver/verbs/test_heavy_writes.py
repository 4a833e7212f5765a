"""Writes that are computed beside the loop: what happens meanwhile, and what they answer then."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tenantry.apiserver.admission.chain import AdmissionChain
from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.worker_threads import AT_ONCE, workers
from tenantry.http.messages import Response
from tenantry.kube.codec import json_size, yaml_codec
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.status import forbidden
from tests.apiserver.range_server import CLUSTER, Answer, RangeServer, cm, thing
from tests.support.waiting import one_turn

CMS = "/api/v1/namespaces/default/configmaps"
THINGS = "/apis/test.example/v1/namespaces/default/things"
WORKERS = "tenantry.apiserver.verbs.write.workers"
MUCH = {f"k{number}": "v" for number in range(2 * AT_ONCE)}


class Gated:
    """In place of the threads: a part is computed at once, and its writer told when the test lets it."""

    def __init__(self) -> None:
        self.parts = 0
        self.computed = asyncio.Event()
        self.go = asyncio.Event()

    async def run(self, tenant: str, function: Callable[[], Any]) -> Any:
        assert tenant == CLUSTER
        result = function()
        self.parts += 1
        self.computed.set()
        await self.go.wait()
        return result


class Meanwhile:
    """The same, where something happens after each part."""

    def __init__(self, happens: Callable[[], Any], times: int = 1000) -> None:
        self.parts = 0
        self._happens, self._times = happens, times

    async def run(self, tenant: str, function: Callable[[], Any]) -> Any:
        result = function()
        self.parts += 1
        if self.parts <= self._times:
            await self._happens()
        return result


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Gated:
    inside = Gated()
    monkeypatch.setattr(WORKERS, inside)
    return inside


async def test_a_light_write_takes_no_other_way_than_the_loop(server: RangeServer, gated: Gated) -> None:
    write = asyncio.ensure_future(server("POST", CMS, cm("a", {"k": "v"})))
    await write
    await server("PATCH", CMS + "/a", {"data": {"k": "w"}})
    assert gated.parts == 0


async def test_a_heavy_write_leaves_the_loop_to_others(server: RangeServer) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await one_turn()

    counting = asyncio.ensure_future(count())
    answer = await server("POST", CMS, cm("a", MUCH))
    counting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await counting
    assert answer.status == 201
    assert answer.json["data"] == MUCH
    # Reading, computing and validating it each gave the loop back.
    assert turns >= 3


async def test_a_precondition_must_hold_when_the_write_is_submitted(server: RangeServer, gated: Gated) -> None:
    seen = (await server("POST", CMS, cm("a"))).rv
    write = asyncio.ensure_future(server("PUT", CMS + "/a", cm("a", MUCH, resourceVersion=seen)))
    await gated.computed.wait()
    quick = await server("PATCH", CMS + "/a", {"data": {"quick": "yes"}})
    gated.go.set()

    answer = await write

    assert (answer.status, answer.json["reason"]) == (409, "Conflict")
    assert (await server("GET", CMS + "/a")).raw == quick.raw


async def test_an_overtaken_write_is_computed_again(server: RangeServer, gated: Gated) -> None:
    await server("POST", CMS, cm("a"))
    write = asyncio.ensure_future(server("PATCH", CMS + "/a", {"data": MUCH}))
    await gated.computed.wait()
    await server("PATCH", CMS + "/a", {"data": {"quick": "yes"}})
    gated.go.set()

    assert (await write).json["data"] == {**MUCH, "quick": "yes"}


async def test_a_write_that_is_always_overtaken_is_told_so(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await server("POST", CMS, cm("a"))
    numbers = iter(range(1000))

    async def quicker() -> None:
        assert (await server("PATCH", CMS + "/a", {"data": {"quick": str(next(numbers))}})).status == 200

    inside = Meanwhile(quicker)
    monkeypatch.setattr(WORKERS, inside)

    answer = await server("PATCH", CMS + "/a", {"data": MUCH})

    assert (answer.status, answer.json["reason"]) == (409, "Conflict")
    assert inside.parts <= 16


async def test_writers_of_one_heavy_object_take_turns(server: RangeServer) -> None:
    await server("POST", CMS, cm("a", MUCH))
    answers = await asyncio.gather(*(server("PATCH", CMS + "/a", {"data": {f"mine-{i}": "v"}}) for i in range(10)))
    assert {answer.status for answer in answers} == {200}
    data = (await server("GET", CMS + "/a")).json["data"]
    assert data == {**MUCH, **{f"mine-{i}": "v" for i in range(10)}}


class Changing:
    """Admission that reads what others change: it labels objects, and closes."""

    def __init__(self) -> None:
        self.label, self.closed, self.asked = "first", False, 0

    def mutate(self, review: Review) -> None:
        if review.object is not None:
            review.object["metadata"].setdefault("labels", {})["is"] = self.label

    def validate(self, review: Review) -> None:
        self.asked += 1
        if self.closed:
            raise forbidden(GroupResource("", "configmaps"), review.name, "closed meanwhile")
        assert review.object is None or review.object["metadata"]["labels"]["is"] == self.label


async def test_admission_decides_on_what_is_when_the_write_is_submitted(server: RangeServer, gated: Gated) -> None:
    admission = Changing()
    server.scope.admission = AdmissionChain([admission])
    write = asyncio.ensure_future(server("POST", CMS, cm("a", MUCH)))
    await gated.computed.wait()
    admission.closed = True
    gated.go.set()
    answer = await write
    assert (answer.status, admission.asked) == (403, 1)
    assert (await server("GET", CMS + "/a")).status == 404


async def test_what_mutating_admission_read_must_not_have_changed(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    admission = Changing()
    server.scope.admission = AdmissionChain([admission])

    async def relabel() -> None:
        # After the first part admission labels with the first; after the second the label is another.
        if inside.parts == 2:
            admission.label = "second"

    inside = Meanwhile(relabel)
    monkeypatch.setattr(WORKERS, inside)

    answer = await server("POST", CMS, cm("a", MUCH))

    assert (answer.status, answer.json["metadata"]["labels"]) == (201, {"is": "second"})
    assert admission.asked == 1
    assert inside.parts == 4


async def test_a_range_that_is_lost_meanwhile_takes_no_write(server: RangeServer, gated: Gated) -> None:
    write = asyncio.ensure_future(server("POST", CMS, cm("a", MUCH)))
    await gated.computed.wait()
    await server.scope.cell.release(server.scope.range.name)
    gated.go.set()
    assert (await write).status == 503
    assert server.scope.range.count("core/configmaps") == 0


async def test_a_client_that_leaves_before_its_write_is_submitted_leaves_nothing(server: RangeServer, gated: Gated) -> None:
    write = asyncio.ensure_future(server("POST", CMS, cm("a", MUCH)))
    await gated.computed.wait()
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    gated.go.set()
    assert (await server("POST", CMS, cm("a", MUCH))).status == 201


async def test_what_is_not_in_memory_any_more_is_not_deleted_for_its_former_state(server: RangeServer, gated: Gated) -> None:
    gated.go.set()
    await server("POST", CMS, cm("a", MUCH))
    gated.go.clear()
    gated.computed.clear()
    write = asyncio.ensure_future(server("DELETE", CMS + "/a"))
    await gated.computed.wait()
    finalized = asyncio.ensure_future(server("PATCH", CMS + "/a", {"metadata": {"finalizers": ["a.b/c"]}}))
    await one_turn()
    gated.go.set()
    await asyncio.gather(write, finalized)
    # In whichever order they came, nobody's finalizer is passed over.
    left = await server("GET", CMS + "/a")
    assert left.status == 404 or left.json["metadata"]["finalizers"] == ["a.b/c"]


async def test_an_object_of_too_many_values_is_refused(server: RangeServer) -> None:
    data = b'{"apiVersion":"test.example/v1","kind":"Thing","metadata":{"name":"a"},"spec":{},"status":{"l":[%b]}}'
    many = data % b",".join([b"0"] * (json_size.MAX_VALUES + 1))
    answer = await server("POST", THINGS, many)
    assert (answer.status, answer.json["reason"]) == (413, "RequestEntityTooLarge")
    assert str(json_size.MAX_VALUES) in answer.message


async def test_nor_does_an_object_grow_beyond_that_by_patches(server: RangeServer) -> None:
    half = json_size.MAX_VALUES // 2 + 1000
    await server("POST", THINGS, thing("a"))
    for name, status in (("l", 200), ("m", 413)):
        patch = b'{"status":{"%b":[%b]}}' % (name.encode(), b",".join([b"0"] * half))
        answer = await server("PATCH", THINGS + "/a/status", patch)
        assert answer.status == status
    assert list((await server("GET", THINGS + "/a")).json["status"]) == ["l"]


ACCEPTED = {
    "json": "application/json",
    "table": "application/json;as=Table;v=v1;g=meta.k8s.io",
    "partial": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
}


@pytest.mark.parametrize("accept", ACCEPTED.values(), ids=ACCEPTED)
@pytest.mark.parametrize(("path", "make"), [(CMS, cm), (THINGS, thing)], ids=["built-in", "custom"])
@pytest.mark.parametrize("count", [0, 1, 3])
async def test_a_list_reads_as_if_it_were_written_at_once(
    server: RangeServer, accept: str, path: str, make: Callable[[str], Object], count: int
) -> None:
    for number in range(count):
        body = make(f"o-{number}")
        body.setdefault("data" if make is cm else "spec", {})["a"] = 'ä "quoted" \n' * 50
        assert (await server("POST", path, body)).status == 201

    compact = (await server("GET", path, accept=accept)).raw
    assert orjson.dumps(orjson.loads(compact)) == compact
    pretty = (await server("GET", path, query={"pretty": "true"}, accept=accept)).raw
    assert pretty == orjson.dumps(orjson.loads(pretty), option=orjson.OPT_INDENT_2)
    assert orjson.loads(pretty) == orjson.loads(compact)
    in_yaml = (await server("GET", path, accept=accept.replace("json", "yaml", 1))).raw
    assert in_yaml == yaml_codec.encode(orjson.loads(compact))


async def test_a_long_list_comes_in_pieces(server: RangeServer) -> None:
    for number in range(3):
        await server("POST", CMS, cm(f"o-{number}", {"a": "x" * 800_000}))
    reply = await server.reply("GET", CMS)
    assert isinstance(reply, Response)
    assert reply.more
    assert max(map(len, reply.more)) < 2_000_000
    whole = Answer(reply)
    assert whole.names == ["o-0", "o-1", "o-2"]


async def test_a_list_shows_one_version_whatever_happens_while_it_is_made(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        await server("POST", CMS, cm(f"o-{number:03}", labels={"n": str(number % 2)}))
    happened = 0

    async def rest() -> None:
        nonlocal happened
        happened += 1
        if happened == 1:
            await server("DELETE", CMS + "/o-299")
            await server("PATCH", CMS + "/o-297", {"metadata": {"labels": {"n": "0"}}})
            await server("POST", CMS, cm("o-100-new", labels={"n": "1"}))

    monkeypatch.setattr("tenantry.base.time_slices.turns.rest", rest)
    listed = (await server("GET", CMS + "?labelSelector=n=1")).json

    assert happened
    assert [item["metadata"]["name"] for item in listed["items"]] == [f"o-{number:03}" for number in range(1, 300, 2)]
    again = await server(
        "GET", f"{CMS}?labelSelector=n=1&resourceVersionMatch=Exact&resourceVersion={listed['metadata']['resourceVersion']}"
    )
    assert again.json["items"] == listed["items"]


async def test_the_threads_of_the_process_are_shared(server: RangeServer) -> None:
    """Two tenants' heavy writes at once, both of which are carried out."""
    answers = await asyncio.gather(server("POST", CMS, cm("a", MUCH)), server("POST", CMS, cm("b", MUCH)), workers.run("z", str))
    assert [getattr(answer, "status", answer) for answer in answers] == [201, 201, ""]
