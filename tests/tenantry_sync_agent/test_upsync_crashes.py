"""The agent is killed at any request while it takes objects up: in the end, what is above is what is below."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry_sync_agent.api_client import ApiError, Object
from tenantry_sync_agent.discovery import Type
from tenantry_sync_agent.followed import Followed
from tenantry_sync_agent.reflector import Place
from tenantry_sync_agent.steps import Stale
from tenantry_sync_agent.translation import namespace_object
from tenantry_sync_agent.upsyncer import Upsyncer, _Item
from tenantry_syncer.names import CLUSTER_ANNOTATION, STATE_LABEL_PREFIX, UPSTREAM_VERSION_ANNOTATION, UPSYNC, Target
from tests.tenantry_sync_agent.fake_server import DOWN, UP, Budget, Crash, FakeServer

TARGET = Target("root", "edge")
KIND = Type("", "v1", "widgets", "Widget", True, frozenset(), True)
NAME = ("", "widgets")
BELOW_OBJECT = namespace_object(TARGET, "one", "default")
NAMESPACE = f"{DOWN}/api/v1/namespaces/{BELOW_OBJECT['metadata']['name']}"
BELOW = f"{NAMESPACE}/widgets/a"
NAMESPACE_ABOVE = f"{UP}/clusters/one/api/v1/namespaces/default"
ABOVE = f"{NAMESPACE_ABOVE}/widgets/a"


class Copy:
    """What a reflector has when it has seen everything: the object at one URL."""

    def __init__(self, server: FakeServer, url: str) -> None:
        self.server, self.url = server, url
        self.synced = asyncio.Event()
        self.synced.set()

    def get(self, place: Place) -> Object | None:
        return self.server.objects.get(self.url)


class View(FakeServer):
    """It says which cluster an object is of."""

    async def create(self, url: str, body: Object, **query: str) -> Object:
        metadata = body["metadata"]
        annotations = {**metadata["annotations"], CLUSTER_ANNOTATION: "one"}
        made = {**body, "metadata": {**metadata, "namespace": "default", "annotations": annotations}}
        return await super().create(url, made, **query)


class World:
    def __init__(self) -> None:
        self.above, self.below = View(UP), FakeServer(DOWN)
        self.above.put(NAMESPACE_ABOVE, {"metadata": {}})
        self.below.put(NAMESPACE, BELOW_OBJECT)

    async def run(self, budget: Budget) -> None:
        """An agent without a memory, until it has nothing to do or is killed."""
        self.above.budget = self.below.budget = budget
        syncer = Upsyncer(self.above, self.below, TARGET, workers=1, check=lambda: None)  # type: ignore[arg-type]
        task: Any = None
        syncer._followed.types, syncer._followed.urls = {NAME: KIND}, (UP,)
        syncer._followed.up[UP, NAME] = Followed(Copy(self.above, ABOVE), task)  # type: ignore[arg-type]
        syncer._followed.down[NAME] = Followed(Copy(self.below, BELOW), task)  # type: ignore[arg-type]
        syncer._namespaces = Copy(self.below, NAMESPACE)  # type: ignore[assignment]
        item = _Item(NAME, Place("", str(BELOW_OBJECT["metadata"]["name"]), "a"))
        try:
            for _ in range(5):
                before = len(self.above.log)
                try:
                    await syncer._sync(item)
                except (ApiError, Stale):
                    continue
                if len(self.above.log) == before:
                    return
        except Crash:
            return
        finally:
            self.above.budget = self.below.budget = Budget()
        raise AssertionError("the agent does not come to an end")

    def do(self, action: str, counter: int) -> None:
        old = self.below.objects.get(BELOW)
        labels = {STATE_LABEL_PREFIX + TARGET.key: UPSYNC}
        metadata: Object = {"name": "a", "namespace": BELOW_OBJECT["metadata"]["name"], "labels": labels}
        body = {"apiVersion": "v1", "kind": "Widget", "metadata": metadata, "spec": {"size": counter}}
        if action == "delete" and old is not None:
            self.below.remove(BELOW)
        elif action == "change":
            self.below.put(BELOW, {**body, **({"status": old["status"]} if old is not None and "status" in old else {})})
        elif action == "status" and old is not None:
            self.below.put(BELOW, {**old, "status": {"seen": counter}})


@given(st.lists(st.tuples(st.sampled_from(["change", "status", "delete", "none"]), st.integers(0, 5), st.booleans()), max_size=8))
@settings(max_examples=200, deadline=None)
async def test_whenever_it_is_killed(story: list[tuple[str, int, bool]]) -> None:
    world = World()
    for counter, (action, requests, lost) in enumerate(story, 1):
        world.do(action, counter)
        await world.run(Budget(requests, lost=lost))
    await world.run(Budget())
    down, up = world.below.objects.get(BELOW), world.above.objects.get(ABOVE)
    assert (down is None) == (up is None)
    if down is not None and up is not None:
        assert up["spec"] == down["spec"] and (up.get("status") or {}) == (down.get("status") or {})
        assert up["metadata"]["annotations"][UPSTREAM_VERSION_ANNOTATION] == down["metadata"]["resourceVersion"]
    sizes = [new["spec"]["size"] for _, url, _, new in world.above.log if url == ABOVE and new is not None]
    assert sizes == sorted(sizes), "what was below came up in another order"
