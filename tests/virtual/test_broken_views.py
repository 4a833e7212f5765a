"""A view that fails, is slow or is not ready harms its own requests and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY, generate_latest

from tenantry.apiserver.request import Request
from tenantry.http.messages import Response
from tenantry.virtual.interface import Attributes, Changed, Object, Place, Record, ResourceDefinition, User, View
from tenantry.virtual.method_times import SAMPLED
from tests.support.logged import logged
from tests.support.one_process import running
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard
from tests.virtual.watching import Watch

CLUSTER = "rteam00000000000"
ANN = person("ann")
PLAIN = f"/clusters/{CLUSTER}/api/v1/namespaces/default/configmaps"
PATH = f"/services/broken/clusters/{CLUSTER}/api/v1/namespaces/default/configmaps"


class Broken(View):
    """Fails in the methods that `fails` names."""

    name = "broken"
    fails: set[str] = set()
    reason: str | None = None
    changed: Changed | None = None
    apis_changed: Callable[[], None] | None = None

    def _fail(self, method: str) -> None:
        if method in self.fails:
            raise RuntimeError(f"secret of {method}")

    def allows(self, place: Place, question: Attributes) -> bool:
        self._fail("allows")
        return True

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        self._fail("apis")
        return [self.definition("", "configmaps"), self.definition("core.kcp.io", "logicalclusters")]

    def sees(self, place: Place, user: User, record: Record) -> bool:
        self._fail("sees")
        return True

    def show(self, place: Place, user: User, obj: Object) -> Object:
        self._fail("show")
        return obj

    def watch_sees(self, place: Place, user: User, changed: Changed) -> Callable[[], None]:
        self._fail("watch_sees")
        type(self).changed = changed
        return lambda: self._fail("stop")

    def watch_apis(self, place: Place, changed: Callable[[], None]) -> Callable[[], None]:
        self._fail("watch_apis")
        type(self).apis_changed = changed
        return lambda: self._fail("stop")

    def ready(self) -> str | None:
        self._fail("ready")
        return self.reason


@pytest.fixture(autouse=True)
def whole() -> Iterable[None]:
    yield
    Broken.fails, Broken.reason = set(), None


@pytest.fixture
async def shard() -> AsyncIterator[ServedShard]:
    async with ServedShard(Broken) as started:
        await started.cluster(CLUSTER, owner="ann")
        await put(started, "first")
        yield started


async def put(shard: ServedShard, name: str) -> None:
    await shard.put(CLUSTER, "", "configmaps", {"metadata": {"name": name, "namespace": "default"}})


@pytest.mark.parametrize("method", ["allows", "apis", "sees", "show"])
async def test_a_request_gets_500(shard: ServedShard, method: str, caplog: pytest.LogCaptureFixture) -> None:
    Broken.fails = {method}
    status, answer = await shard.call("GET", PATH, ANN)
    assert (status, answer["reason"]) == (500, "InternalError")
    assert "the view broken failed" in answer["message"] and "secret" not in answer["message"]
    (record,) = logged(caplog)
    assert (record.__dict__["view"], str(record.exc_info[1] if record.exc_info else "")) == ("broken", f"secret of {method}")
    assert (await shard.call("GET", PLAIN, ANN))[0] == 200
    Broken.fails = set()
    assert (await shard.call("GET", PATH, ANN))[0] == 200


@pytest.mark.parametrize("method", ["sees", "show"])
async def test_a_watch_ends_and_others_go_on(shard: ServedShard, method: str) -> None:
    async with Watch(shard, PATH, ANN, "watch=true&allowWatchBookmarks=true") as broken, Watch(shard, PLAIN, ANN) as other:
        assert await broken.next() == await other.next() == ("ADDED", "first")
        version = broken.events[0]["object"]["metadata"]["resourceVersion"]
        Broken.fails = {method}
        await put(shard, "second")
        assert await broken.next() == ("END", "")
        # The event is missing, so nothing tells the client that it has it.
        assert all(bookmark["object"]["metadata"]["resourceVersion"] == version for bookmark in broken.bookmarks)
        assert await other.next() == ("ADDED", "second")
        Broken.fails = set()
        async with Watch(shard, PATH, ANN, f"watch=true&resourceVersion={version}") as resumed:
            assert await resumed.next() == ("ADDED", "second")
            await put(shard, "third")
            assert await resumed.next() == ("ADDED", "third")
        assert await other.next() == ("ADDED", "third")


@pytest.mark.parametrize("method", ["sees", "show", "watch_sees", "watch_apis"])
async def test_a_watch_that_cannot_begin(shard: ServedShard, method: str) -> None:
    Broken.fails = {method}
    async with Watch(shard, PATH, ANN) as broken:
        assert await broken.error() == 500
    Broken.fails = set()
    async with Watch(shard, PATH, ANN) as whole:
        assert await whole.next() == ("ADDED", "first")


@pytest.mark.parametrize("names", [None, ["cluster"]])
async def test_a_watch_whose_visibility_changes(shard: ServedShard, names: Any) -> None:
    path = f"/services/broken/clusters/{CLUSTER}/apis/core.kcp.io/v1alpha1/logicalclusters"
    async with Watch(shard, path, ANN) as broken:
        assert await broken.next() == ("ADDED", "cluster")
        Broken.fails = {"sees"}
        assert Broken.changed is not None
        Broken.changed(names)
        assert await broken.next() == ("END", "")


async def test_a_watch_whose_apis_are_not_known(shard: ServedShard) -> None:
    async with Watch(shard, PATH, ANN) as broken:
        assert await broken.next() == ("ADDED", "first")
        Broken.fails = {"apis", "stop"}
        assert Broken.apis_changed is not None
        Broken.apis_changed()
        assert await broken.next() == ("END", "")


async def test_one_without_a_cluster() -> None:
    class Placeless(Broken):
        per_cluster = False
        arguments = ("path",)

        def cluster_of(self, arguments: tuple[str, ...]) -> str | None:
            raise RuntimeError("secret")

    async with ServedShard(Placeless) as shard:
        status, answer = await shard.call("GET", "/services/broken/x/api/v1/configmaps", ANN)
        assert (status, "secret" in str(answer)) == (500, False)


async def test_one_that_is_not_ready(tmp_path: Path) -> None:
    class Other(Broken):
        name = "other"

        def ready(self) -> str | None:
            return None

    async with running(tmp_path, views=[Broken, Other]) as stack:
        cluster = await stack.workspace("root", "one")
        paths = [f"/services/{name}/clusters/{cluster}/api/v1/configmaps" for name in ("broken", "other")]
        assert [(await stack.call("GET", path))[0] for path in paths] == [200, 200]
        Broken.reason = "no leader yet"
        answer = await stack.answer("GET", paths[0], MASTER)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert (await stack.call("GET", paths[1]))[0] == 200
        shard = stack.shards["shard-1"]
        (name,) = stack.shards

        async def health(path: str, query: str = "") -> tuple[int, str]:
            found = await shard.handle(Request("GET", path, query, {}, user=MASTER))
            assert isinstance(found, Response)
            return found.status, found.body.decode()

        assert (await health("/readyz"))[0] == 200
        code, text = await health("/readyz", "verbose")
        assert code == 200 and f"[-]{name}-view-broken failed, the rest is served" in text and f"[+]{name}-view-other ok" in text
        assert await health(f"/readyz/{name}-view-broken") == (500, "internal server error: no leader yet\n")
        Broken.fails = {"ready"}
        assert await health(f"/readyz/{name}-view-broken") == (500, "internal server error: RuntimeError in its method `ready`\n")
        assert (await stack.call("GET", paths[0]))[0] == 500


async def test_times_of_methods(shard: ServedShard) -> None:
    for _ in range(2 * SAMPLED):
        await shard.call("GET", PATH, ANN)
    text = generate_latest(REGISTRY).decode()
    for method in ("allows", "apis", "seeing", "sees", "show"):
        assert f'tenantry_view_method_seconds_count{{method="{method}",view="broken"}}' in text
