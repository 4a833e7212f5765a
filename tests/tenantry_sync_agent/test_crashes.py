"""The agent is killed at any request, with or without its effect, and whatever users do meanwhile: nothing is lost and nothing is
repeated that does harm."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry_sync_agent.api_client import ApiError, Object
from tenantry_sync_agent.decisions import Step, next_step
from tenantry_sync_agent.discovery import Type
from tenantry_sync_agent.reflector import Place
from tenantry_sync_agent.steps import Blocked, Stale, Steps
from tenantry_sync_agent.translation import cluster_of, origin
from tenantry_syncer.names import (
    CLUSTER_ANNOTATION,
    CONFLICT_PREFIX,
    UPSTREAM_UID_ANNOTATION,
    Target,
    downstream_namespace,
)
from tests.tenantry_sync_agent.fake_server import DOWN, UP, Budget, Crash, FakeServer

TARGET = Target("root", "edge")
KIND = Type("", "v1", "widgets", "Widget", True, frozenset(), True)
PLACE = Place("one", "default", "a")
ABOVE = f"{UP}/clusters/one/api/v1/namespaces/default/widgets/a"
NAMESPACE = f"{DOWN}/api/v1/namespaces/{downstream_namespace(TARGET, 'one', 'default')}"
BELOW = f"{NAMESPACE}/widgets/a"


def widget(spec: int, **metadata: Any) -> Object:
    annotations = {CLUSTER_ANNOTATION: "one", **metadata.pop("annotations", {})}
    return {
        "apiVersion": "v1",
        "kind": "Widget",
        "metadata": {"name": "a", "namespace": "default", "annotations": annotations, **metadata},
        "spec": {"size": spec},
    }


class World:
    """Both servers, and an agent that starts each time without a memory."""

    def __init__(self) -> None:
        self.above, self.below = FakeServer(UP), FakeServer(DOWN)

    async def run(self, budget: Budget) -> bool:
        """The agent until it has nothing to do. False if it was killed."""
        self.above.budget = self.below.budget = budget
        steps = Steps(self.above, self.below, TARGET, lambda: None)  # type: ignore[arg-type]
        try:
            for _ in range(40):
                if not await self._once(steps):
                    return True
        except Crash:
            return False
        finally:
            self.above.budget = self.below.budget = Budget()
        raise AssertionError("the agent does not come to an end")

    async def _once(self, steps: Steps) -> bool:
        up, down = self.above.objects.get(ABOVE), self.below.objects.get(BELOW)
        if down is not None and origin(down, TARGET) is None:
            down = None  # a watch by label does not have it
        while True:
            applied = up is not None and down is not None and steps.is_applied(KIND, PLACE, up, down)
            step = next_step(up, down, TARGET, has_status=True, applied=applied)
            if step is Step.NOTHING:
                return False
            if step is Step.WAIT:
                self.below.objects[BELOW]["metadata"]["finalizers"] = []
                self.below.remove(BELOW)
                return True
            try:
                if step is Step.DELETE_ORPHAN:
                    await steps.delete_orphan(KIND, PLACE, down or {}, [UP])
                    return True
                assert up is not None
                made = await steps.take(step, KIND, UP, PLACE, up, down)
            except Blocked:
                return False
            except (ApiError, Stale):
                return True
            if made is None:
                return True
            up, down = made


def check_log(world: World) -> None:
    """What must hold for every write that ever took effect."""
    for method, url, old, new in world.below.log:
        if url == BELOW and method in ("POST", "PATCH", "DELETE") and old is not None:
            assert origin(old, TARGET) is not None, "an object of others was changed"
            if method == "PATCH" and new is not None:
                uids = [obj["metadata"]["annotations"][UPSTREAM_UID_ANNOTATION] for obj in (old, new)]
                assert uids[0] == uids[1], "an object became that of another one above"
    for method, url, old, new in world.above.log:
        if url == ABOVE and method == "PATCH" and old is not None and new is not None:
            assert old["spec"] == new["spec"], "the agent changed what users wrote"
            assert new.get("status", {}).get("seen", 0) >= old.get("status", {}).get("seen", 0), "a status was rolled back"


ACTIONS = st.sampled_from(
    ["create", "change", "delete", "recreate", "status", "foreign", "foreign-gone", "slow-deletion", "drift", "run", "run"]
)
CRASH = st.one_of(st.none(), st.tuples(st.integers(0, 9), st.booleans()))


@given(st.lists(st.tuples(ACTIONS, CRASH), max_size=12))
@settings(max_examples=300, deadline=None)
async def test_whenever_it_is_killed(story: list[tuple[str, tuple[int, bool] | None]]) -> None:
    world = World()
    for counter, (action, crash) in enumerate(story, 1):
        do(world, action, counter)
        requests = crash if crash is not None else (None, False)
        await world.run(Budget(requests[0], lost=requests[1]))
        safe(world)
    while not await world.run(Budget()):
        pass
    check_log(world)
    converged(world)


def do(world: World, action: str, counter: int) -> None:
    up, down = world.above.objects.get(ABOVE), world.below.objects.get(BELOW)
    ours = down is not None and origin(down, TARGET) is not None
    if action == "create" and up is None:
        world.above.put(ABOVE, widget(counter))
    elif action == "change" and up is not None:
        world.above.put(ABOVE, {**up, "spec": {"size": counter} if counter % 2 else {"other": counter}})
    elif action == "delete" and up is not None:
        world.above.remove(ABOVE)
    elif action == "recreate" and up is not None:
        # Someone removes the finalizer by force.
        del world.above.objects[ABOVE]
        world.above.put(ABOVE, widget(counter))
    elif action == "status" and ours and down is not None:
        world.below.put(BELOW, {**down, "status": {"seen": counter}})
    elif action == "drift" and ours and down is not None:
        world.below.put(BELOW, {**down, "spec": {"size": -counter}})
    elif action == "slow-deletion" and ours and down is not None:
        world.below.put(BELOW, {**down, "metadata": {**down["metadata"], "finalizers": ["others/one"]}})
    elif action == "foreign" and down is None:
        world.below.put(BELOW, {"apiVersion": "v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"of": "others"}})
    elif action == "foreign-gone" and down is not None and not ours:
        world.below.remove(BELOW)


def safe(world: World) -> None:
    """At every moment: an object below is one that is finalized above, or an orphan of a finalizer that was removed by force."""
    up, down = world.above.objects.get(ABOVE), world.below.objects.get(BELOW)
    if down is None or origin(down, TARGET) is None or up is None:
        return
    annotations = down["metadata"]["annotations"]
    if annotations[UPSTREAM_UID_ANNOTATION] == up["metadata"]["uid"]:
        assert TARGET.finalizer in up["metadata"]["finalizers"]


def converged(world: World) -> None:
    up, down = world.above.objects.get(ABOVE), world.below.objects.get(BELOW)
    ours = down is not None and origin(down, TARGET) is not None
    if up is None or up["metadata"].get("deletionTimestamp"):
        assert up is None and not ours
        return
    assert cluster_of(up) == "one"
    if down is not None and not ours:
        assert CONFLICT_PREFIX + TARGET.key in up["metadata"]["annotations"] and down["spec"] == {"of": "others"}
        return
    assert down is not None and down["spec"] == up["spec"]
    assert down.get("status") in (up.get("status"), {}, None)
    assert CONFLICT_PREFIX + TARGET.key not in up["metadata"]["annotations"]
