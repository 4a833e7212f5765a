"""What a refused request or an ended watch held is free at once: an error and its frames must not hold each other.

Only the collector frees such a cycle, and of a request of 3 MiB each would keep some 20 MB until then.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
import pytest_asyncio

from tenantry.apiserver.request import Request
from tenantry.apiserver.worker_threads import AT_ONCE, WorkerThreads
from tenantry.base.loop_turns import in_steps
from tenantry.http.messages import Stream
from tenantry.kube.codec import json_size
from tenantry.storage.cell import Cell, Stale
from tenantry.storage.keys import Key
from tenantry.storage.retry_on_conflict import Attempts
from tests.support.clusters import definition
from tests.support.one_process import Stack, running
from tests.support.people import MASTER, person
from tests.support.sinks import MemorySink
from tests.support.sources import OURS
from tests.support.waiting import one_turn

MANY = 3 * AT_ONCE
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


@contextmanager
def nothing_to_collect() -> Iterator[None]:
    """Fails where what the block leaves needs the collector, and an object of the product's is among it."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = {
            (getattr(each, "f_code", None) and each.f_code.co_qualname) or f"{type(each).__name__} {str(each)[:100]}"
            for each in gc.garbage
            if type(each).__module__.partition(".")[0] in OURS
            or any(f"/{name}/" in getattr(getattr(each, "f_code", None), "co_filename", "") for name in OURS)
        }
        assert not found, f"{len(gc.garbage)} objects wait for the collector: {sorted(found)}"
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def config_map(**more: Any) -> bytes:
    return orjson.dumps({"apiVersion": "v1", "kind": "ConfigMap", **more})


def filled(name: str = "a", **metadata: Any) -> bytes:
    return config_map(metadata={"name": name, **metadata}, data={f"k{number}": "v" for number in range(MANY)})


def added(number: int) -> dict[str, str]:
    return {"op": "add", "path": f"/data/k{number}", "value": "v"}


CORE = "/api/v1/namespaces/default/configmaps"
RBAC = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
THINGS = "/apis/freed.example.com/v1/namespaces/default/things"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RULES = (
    "self.spec.all(x, x / 0 == 1) && self.spec.exists(x, x / 0 == 1)",
    "self.spec.map(y, y / 0).sortBy(z, z).exists(z, z == 1 || z == 2)",
    "self.spec.map(x, x / 0)[0] == 1",
    "self.spec.all(x, self.spec.all(y, x + y > 10))",
)
DEFINITION = definition("things", "Thing", "freed.example.com")
DEFINITION["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {
    "type": "object",
    "properties": {"spec": {"type": "array", "maxItems": 50, "items": {"type": "integer"}}},
    "x-kubernetes-validations": [{"rule": rule} for rule in RULES],
}
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
REQUESTS: dict[str, tuple[int, str, str, str, bytes]] = {
    "an invalid name": (422, "POST", CORE, "", config_map(metadata={"name": "N"})),
    "an invalid name among much": (422, "POST", CORE, "", config_map(metadata={"name": "N" * 600_000})),
    "invalid labels among much": (422, "POST", CORE, "", filled(labels={"a": "/"})),
    "no JSON": (400, "POST", CORE, "", b"{"),
    "no JSON among much": (400, "POST", CORE, "", filled()[:-1]),
    "too many values": (413, "POST", CORE, "", b'{"data":[' + b"1," * json_size.MAX_VALUES + b"1]}"),
    "too deep": (400, "POST", CORE, "", b'{"data":' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "a wrong type": (400, "POST", CORE, "", config_map(data=1)),
    "a wrong type among much": (400, "POST", CORE, "", config_map(data={f"k{number}": number for number in range(MANY)})),
    "an unknown field": (400, "POST", CORE, "fieldValidation=Strict", config_map(metadata={"name": "a"}, x=1)),
    "unknown fields among much": (
        400,
        "POST",
        CORE,
        "fieldValidation=Strict",
        config_map(metadata={"name": "a"}, **{f"x{number}": 1 for number in range(MANY)}),
    ),
    "a key twice among much": (400, "POST", CORE, "fieldValidation=Strict", b'{"a":1,"a":2,' + filled()[1:]),
    "what exists": (409, "POST", CORE, "", config_map(metadata={"name": "kept"})),
    "what exists, among much": (409, "POST", CORE, "", filled("kept")),
    "an old version": (409, "PUT", f"{CORE}/kept", "", config_map(metadata={"name": "kept", "resourceVersion": "1"})),
    "another name, among much": (400, "PUT", f"{CORE}/kept", "", filled()),
    "nothing there": (404, "GET", f"{CORE}/none", "", b""),
    "nothing to delete": (404, "DELETE", f"{CORE}/none", "", b""),
    "a precondition": (409, "DELETE", f"{CORE}/kept", "", orjson.dumps({"preconditions": {"uid": "x"}})),
    "nothing to change": (404, "PATCH", f"{CORE}/none", MERGE, b"{}"),
    "a patch that fails": (422, "PATCH", f"{CORE}/kept", JSON_PATCH, b'[{"op":"remove","path":"/data/x"}]'),
    "a long patch that fails": (
        422,
        "PATCH",
        f"{CORE}/kept",
        JSON_PATCH,
        orjson.dumps(
            [*({"op": "add", "path": f"/data/k{i}", "value": "v"} for i in range(MANY)), {"op": "remove", "path": "/x"}]
        ),
    ),
    "a patch to what is invalid": (422, "PATCH", f"{CORE}/kept", STRATEGIC, b'{"metadata":{"labels":{"a":"/"}}}'),
    "a long patch to what is invalid": (
        422,
        "PATCH",
        f"{CORE}/kept",
        MERGE,
        filled("kept", labels={"a": "/"}),
    ),
    "no patch": (400, "PATCH", f"{CORE}/kept", MERGE, b"["),
    "an application without manager": (422, "PATCH", f"{CORE}/kept", APPLY, config_map(metadata={"name": "kept"})),
    "an invalid selector": (400, "GET", CORE, "labelSelector=" + "a," * 2_000 + "!!", b""),
    "an invalid field selector": (400, "GET", CORE, "fieldSelector=spec.x=y", b""),
    "no such type": (404, "GET", "/apis/none.example.com/v1/things", "", b""),
    "no such verb": (405, "POST", f"{CORE}/kept", "", b"{}"),
    "no number": (400, "GET", CORE, "limit=x", b""),
    "a role that gives more": (403, "POST", RBAC, "", b""),
    "a review without a question": (422, "POST", REVIEWS, "", b'{"spec":{}}'),
    "rules that fail": (
        422,
        "POST",
        THINGS,
        "",
        b'{"apiVersion":"freed.example.com/v1","kind":"Thing","metadata":{"name":"a"},"spec":[1,2,3]}',
    ),
    "another media type": (415, "POST", CORE, "image/png", b"{}"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workspace(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Stack, str]]:
    async with running(tmp_path_factory.mktemp("keys")) as stack:
        cluster = await stack.workspace("root", "freed")
        status, answer = await stack.call(
            "POST", f"/clusters/{cluster}{CORE}", MASTER, orjson.loads(config_map(metadata={"name": "kept"}, data={"a": "b"}))
        )
        assert status == 201, answer
        status, answer = await stack.call("POST", f"/clusters/{cluster}{DEFINITIONS}", MASTER, DEFINITION)
        assert status == 201, answer

        async def served() -> bool:
            return (await stack.call("GET", f"/clusters/{cluster}{THINGS}", MASTER))[0] == 200

        await stack.eventually(served)
        yield stack, cluster


async def ask(stack: Stack, path: str, who: Any, method: str, more: str, body: bytes) -> tuple[int, bytes]:
    async def read(limit_bytes: int) -> bytes:
        return body

    headers = {"content-type": more if "/" in more else "application/json"}
    request = Request(method, path, "" if "/" in more else more, headers, read, user=who)
    # As the HTTP server does.
    reply: Any = await in_steps(stack.handle(request), (method, path))
    return reply.status, b"".join((reply.body, *reply.more))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", REQUESTS)
async def test_of_a_refusal(workspace: tuple[Stack, str], name: str) -> None:
    stack, cluster = workspace
    expected, method, path, more, body = REQUESTS[name]
    who = MASTER
    if expected == 403:
        who = person("stranger")

    async def once() -> None:
        status, answer = await ask(stack, f"/clusters/{cluster}{path}", who, method, more, body)
        assert status == expected, answer[:500]

    await once()
    with nothing_to_collect():
        for _ in range(3):
            await asyncio.create_task(once())
        # The loop holds the last callbacks until its next turn.
        await one_turn()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("end", ["the client leaves", "the server drains"])
async def test_of_a_watch_that_ended(workspace: tuple[Stack, str], end: str) -> None:
    """A watch refers to its connection, whose buffers of TLS take a quarter of a megabyte."""
    stack, cluster = workspace

    async def read(limit_bytes: int) -> bytes:
        return b""

    async def once() -> None:
        request = Request("GET", f"/clusters/{cluster}{CORE}", "watch=true", {}, read, user=MASTER)
        reply = await stack.handle(request)
        assert isinstance(reply, Stream)
        sink = MemorySink()
        watch = asyncio.create_task(reply.run(sink))
        await sink.wait(1)
        if end == "the client leaves":
            watch.cancel()
        else:
            sink.closed.set()
        await asyncio.wait([watch])

    await asyncio.create_task(once())
    with nothing_to_collect():
        for _ in range(3):
            await asyncio.create_task(once())
        await one_turn()


async def freed(work: Coroutine[Any, Any, Any]) -> None:
    with pytest.raises(ValueError, match="no"):
        await work


async def test_of_a_job_that_fails() -> None:
    class Body(bytes): ...

    def fail(body: Body) -> None:
        raise ValueError("no")

    mine = WorkerThreads(threads=1)
    body = Body(1)
    Body.__module__ = OURS[0]
    with nothing_to_collect():
        await asyncio.create_task(freed(in_steps(mine.run("a", lambda: fail(body)), ("a",))))
        await one_turn()


async def test_of_attempts_that_are_overtaken() -> None:
    key = Key("core/configmaps", "c", "x", "o")

    class Quiet:
        async def writes_done(self, keys: Any) -> None: ...

    async def again() -> None:
        cell: Cell = Quiet()  # type: ignore[assignment]
        async for attempt in Attempts(cell, [key], limit=3):
            with attempt:
                raise Stale(key)

    with nothing_to_collect():
        with pytest.raises(Stale):
            await asyncio.create_task(again())
        await one_turn()
