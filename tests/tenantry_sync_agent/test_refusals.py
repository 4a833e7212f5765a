"""What the server below does not take, and what tenants write in any form: said once above, tried again later, and no harm to
others."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest

from tenantry_sync_agent.api_client import ApiError, Object
from tenantry_sync_agent.decisions import Step
from tenantry_sync_agent.discovery import Type
from tenantry_sync_agent.election import NotLeading
from tenantry_sync_agent.followed import Followed
from tenantry_sync_agent.reflector import Place
from tenantry_sync_agent.steps import Blocked, Stale, Steps
from tenantry_sync_agent.syncer import Item, Syncer
from tenantry_syncer.names import CLUSTER_ANNOTATION, CONFLICT_PREFIX, Target, downstream_namespace
from tests.support.waiting import eventually
from tests.tenantry_sync_agent.fake_server import DOWN, UP, FakeServer

TARGET = Target("root", "edge")
KIND = Type("", "v1", "widgets", "Widget", True, frozenset(), True)
NAME = ("", "widgets")
PLACE = Place("one", "default", "a")
ABOVE = f"{UP}/clusters/one/api/v1/namespaces/default/widgets/a"
NAMESPACE = f"{DOWN}/api/v1/namespaces/{downstream_namespace(TARGET, 'one', 'default')}"
BELOW = f"{NAMESPACE}/widgets/a"


def widget(size: int = 1, **more: Any) -> Object:
    metadata: Object = {"name": "a", "namespace": "default", "finalizers": [TARGET.finalizer]}
    metadata["annotations"] = {CLUSTER_ANNOTATION: "one"}
    return {"apiVersion": "v1", "kind": "Widget", "metadata": metadata, "spec": {"size": size}, **more}


class Refusing(FakeServer):
    """Refuses widgets with another message each time."""

    def __init__(self, code: int) -> None:
        super().__init__(DOWN)
        self.code = code
        self.numbers = itertools.count()

    async def create(self, url: str, body: Object, **query: str) -> Object:
        if url.endswith("/widgets"):
            raise ApiError("POST", self.code, "Forbidden", f"request {next(self.numbers)} is refused")
        return await super().create(url, body, **query)

    async def patch(self, url: str, body: Any, kind: str = "", **query: str) -> Object:
        raise ApiError("PATCH", self.code, "Forbidden", f"request {next(self.numbers)} is refused")


def made(above: FakeServer, below: FakeServer, check: Any = lambda: None) -> Steps:
    return Steps(above, below, TARGET, check)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [400, 403, 413, 422])
@pytest.mark.parametrize("step", [Step.CREATE, Step.APPLY])
async def test_a_refusal_is_said_once(code: int, step: Step) -> None:
    above, below = FakeServer(UP), Refusing(code)
    up = above.put(ABOVE, widget())
    down = below.put(BELOW, widget()) if step is Step.APPLY else None
    steps = made(above, below)
    for _ in range(3):
        with pytest.raises(Blocked):
            await steps.take(step, KIND, UP, PLACE, above.objects[ABOVE], down)
    written = [new for method, _, _, new in above.log if method == "PATCH"]
    assert len(written) == 1, "each change above would be a reason to try again"
    assert written[0] is not None
    assert written[0]["metadata"]["annotations"][CONFLICT_PREFIX + TARGET.key] == "request 0 is refused"
    above.put(ABOVE, {**above.objects[ABOVE], "spec": {"size": 2}})
    assert up["metadata"]["uid"] == above.objects[ABOVE]["metadata"]["uid"]
    with pytest.raises(Blocked):
        await steps.take(step, KIND, UP, PLACE, above.objects[ABOVE], down)
    assert above.objects[ABOVE]["metadata"]["annotations"][CONFLICT_PREFIX + TARGET.key] == "request 3 is refused"


@pytest.mark.parametrize("code", [401, 404, 409, 429, 500, 503])
async def test_other_errors_are_no_refusals(code: int) -> None:
    above = FakeServer(UP)
    above.put(ABOVE, widget())
    with pytest.raises(ApiError):
        await made(above, Refusing(code)).take(Step.CREATE, KIND, UP, PLACE, above.objects[ABOVE], None)
    assert [method for method, *_ in above.log] == ["user"]


async def test_a_namespace_that_is_being_deleted_is_waited_for() -> None:
    above, below = FakeServer(UP), FakeServer(DOWN)
    above.put(ABOVE, widget())
    below.put(NAMESPACE, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["kubernetes"]}})
    with pytest.raises(Stale):
        await made(above, below).take(Step.CREATE, KIND, UP, PLACE, above.objects[ABOVE], None)
    assert [method for method, *_ in (*above.log, *below.log)] == ["user", "user"]


async def test_whose_lease_ended_while_it_asked_removes_no_finalizer() -> None:
    above, below = FakeServer(UP), FakeServer(DOWN)
    above.put(ABOVE, widget())
    leading = [True, False]

    def check() -> None:
        if not leading.pop(0):
            raise NotLeading

    with pytest.raises(NotLeading):
        await made(above, below, check).take(Step.REMOVE_FINALIZER, KIND, UP, PLACE, above.objects[ABOVE], None)
    assert above.objects[ABOVE]["metadata"]["finalizers"] == [TARGET.finalizer]


async def test_an_object_of_any_form_keeps_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Syncer):
        async def _sync(self, item: Item) -> None:
            if item.place.name == "odd":
                raise KeyError("metadata")
            done.append(item)

    done: list[Item] = []
    below = FakeServer(DOWN)
    syncer = Odd(FakeServer(UP), below, TARGET, workers=1, check=lambda: None)  # type: ignore[arg-type]
    await syncer.start()
    try:
        for number in range(5):
            syncer.queue.add(Item(NAME, Place("one", str(number), "odd")))
        syncer.queue.add(Item(NAME, PLACE))
        await eventually(lambda: bool(done))
    finally:
        await syncer.stop()
    # A worker that is restarted pauses before that.
    assert not [record for record in caplog.records if "background task worker-0 failed" in record.getMessage()]


class Copy:
    """A reflector that has one object."""

    def __init__(self, obj: Object) -> None:
        self.obj = obj
        self.synced = asyncio.Event()
        self.synced.set()
        self.namespaces: Counter[tuple[str, str]] = Counter({("one", "default"): 1})

    def get(self, place: Place) -> Object:
        return self.obj


async def test_a_status_that_is_not_taken_whole_is_written_once() -> None:
    class Pruning(FakeServer):
        async def patch(self, url: str, body: Any, kind: str = "", **query: str) -> Object:
            body.get("status", {}).pop("unknown", None)
            return await super().patch(url, body, kind, **query)

    above, below = Pruning(UP), FakeServer(DOWN)
    above.put(ABOVE, widget())
    steps = made(above, below)
    found = await steps.take(Step.CREATE, KIND, UP, PLACE, above.objects[ABOVE], None)
    assert found is not None and found[1] is not None
    below.put(BELOW, {**found[1], "status": {"known": 1, "unknown": 2}})
    syncer = Syncer(above, below, TARGET, workers=1, check=lambda: None)  # type: ignore[arg-type]
    task: Any = None
    syncer._followed.types[NAME] = KIND
    syncer._followed.urls = (UP,)
    syncer._followed.up[UP, NAME] = Followed(Copy(above.objects[ABOVE]), task)  # type: ignore[arg-type]
    syncer._followed.down[NAME] = Followed(Copy(below.objects[BELOW]), task)  # type: ignore[arg-type]
    await syncer._sync(Item(NAME, PLACE))
    assert [method for method, *_ in above.log] == ["user", "PATCH"]
    assert above.objects[ABOVE]["status"] == {"known": 1}
