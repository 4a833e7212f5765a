"""Random walks of a provider and its consumers: at each moment, what is visible at a URL has it in the statuses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tenantry.controllers.controller import Controller
from tenantry.kube.objects import Object
from tenantry.storage.memory import MemoryStore
from tenantry.storage.range import Range
from tenantry.tenancy.exports.consumers import consumers_key, is_open
from tenantry.tenancy.resources import API_EXPORT_ENDPOINT_SLICES, API_EXPORTS, VIRTUAL_WORKSPACES
from tenantry.tenancy.types.api_export import SKIP_ANNOTATION
from tests.support.people import MASTER
from tests.support.tenancies import URL, ServedShard, accepted, claim
from tests.virtual.apiexport.publishing import EXPORT, endpoint_slice, partition
from tests.virtual.apiexport.ranch import FAR, NEAR, PROVIDER

CONSUMERS = {NEAR: "root", "rconsumer0000002": "root", FAR: "range-2", "000consumer00002": "range-2"}
PATHS = ("apis/wild.west/v1/cowboys", "api/v1/configmaps", "apis/apis.kcp.io/v1alpha2/apibindings")
GROUPS = f"/clusters/{PROVIDER}/apis"
EXPORTS = f"{GROUPS}/apis.kcp.io/v1alpha2/apiexports"
SLICES = f"{GROUPS}/apis.kcp.io/v1alpha1/apiexportendpointslices"
VIEWS = f"{GROUPS}/views.tenantry.dev/v1alpha1/virtualworkspaces"
SLOW = (
    "apiexport-endpoints",
    "apiexport-endpointslice-creator",
    "apiexport-consumers",
    "apiexport-published-ranges",
    "virtualworkspace-endpoints",
)
STEPS = 40


class Walk:
    """One walk. Its controllers are slow at random, so that other things happen between their steps."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._store = MemoryStore()
        self._shard = ServedShard(store=self._store)
        self._changed = False
        self._done: list[str] = []
        self._looks = 0

    async def run(self) -> None:
        await self._begin()
        try:
            await self._prepare()
            steps: list[Callable[[], Awaitable[object]]] = [
                self._bind,
                self._bind,
                self._unbind,
                self._cowboy,
                self._add_slice,
                self._delete_slice,
                self._add_view,
                self._change_view,
                self._delete_view,
                self._annotate,
                self._recreate,
                self._move,
                self._restart,
            ]
            for _ in range(STEPS):
                await self._random.choice(steps)()
                await self._turns(self._random.choice([0, 0, 2, 10, 60, 300]))
            await self._shard.idle(self._settled)
            self._look()
            assert self._looks > STEPS
        finally:
            await self._shard.stop()

    async def _begin(self) -> None:
        shard = self._shard

        def changed(*_: object) -> None:
            self._changed = True

        shard.cell.commits.subscribe(changed)
        shard.tenancy.catalog.subscribe(None, changed)
        for controller in shard.controllers:
            if controller.name in SLOW:
                self._slow_down(controller)
        await shard.start()

    def _slow_down(self, controller: Controller[Any]) -> None:
        original: Callable[[Range, Any], Awaitable[None]] = controller.reconcile

        async def reconcile(range_: Range, key: Any) -> None:
            for _ in range(self._random.choice([0, 0, 1, 5, 30, 100])):
                await asyncio.sleep(0)
            await original(range_, key)

        controller.reconcile = reconcile  # type: ignore[method-assign]

    async def _prepare(self) -> None:
        shard = self._shard
        await shard.cluster(PROVIDER, "root:provider")
        await shard.export(PROVIDER, claims=[claim("", "configmaps")])
        await shard.put(PROVIDER, "topology.kcp.io", "partitions", partition("us"))
        for cluster in CONSUMERS:
            await shard.cluster(cluster, f"root:{cluster}")
            await shard.namespace(cluster, "default")
            await shard.put(cluster, "", "configmaps", {"metadata": {"name": "shared", "namespace": "default"}})

    # Looks

    async def _turns(self, count: int) -> None:
        """Lets `count` turns of the loop pass, and looks after each that changed something."""
        for _ in range(count):
            await asyncio.sleep(0)
            if self._changed:
                self._changed = False
                self._look()

    def _look(self) -> None:
        for range_name in self._shard.cell.ranges:
            place = f"/ranges/{range_name}/services"
            export = f"{place}/apiexport/{PROVIDER}/cowboys"
            self._compare(
                export, {name: urls for name, urls in self._listed(API_EXPORT_ENDPOINT_SLICES).items() if urls is not None}
            )
            for name, urls in self._listed(VIRTUAL_WORKSPACES).items():
                self._compare(f"{place}/virtualworkspaces/{PROVIDER}/{name}", {name: urls or set()})

    def _compare(self, url: str, listed: dict[str, set[str]]) -> None:
        for path in PATHS:
            answer = _at_once(self._shard.call("GET", f"{url}/clusters/*/{path}", MASTER))
            if answer is None:
                continue
            self._looks += 1
            if answer[0] == 200 and answer[1]["items"]:
                lacking = [name for name, urls in listed.items() if url not in urls]
                assert not lacking, (f"{path} is visible at {url}, which is not in the statuses of {lacking}", self._done[-8:])

    def _listed(self, resource: str) -> dict[str, set[str] | None]:
        """The URLs in the statuses of objects about the export; None: there is no status."""
        found: dict[str, set[str] | None] = {}
        range_ = self._shard.cell.ranges.get("root")
        for record in range_.list(resource, PROVIDER) if range_ is not None else ():
            obj = self._shard.get(PROVIDER, resource, record.key.name)
            assert obj is not None
            if obj["spec"].get("partition"):
                continue
            status = obj.get("status")
            urls = {each["url"].removeprefix(URL) for each in (status or {}).get("endpoints") or ()}
            found[record.key.name] = urls if status else None
        return found

    def _settled(self) -> bool:
        """Whether each range with consumers is open, and no other."""
        for name, range_ in self._shard.cell.ranges.items():
            bound = [each for each in CONSUMERS if CONSUMERS[each] == name and self._shard.bound(each, "cowboys")]
            if is_open(range_.get(consumers_key(range_, EXPORT))) != bool(bound):
                return False
        return True

    # Steps

    async def _call(self, method: str, path: str, body: Object | None = None) -> tuple[int, Any]:
        task = asyncio.create_task(self._shard.call(method, path, MASTER, body))
        while not task.done():
            await self._turns(1)
        status, answer = task.result()
        self._done.append(f"{method} {path} {status}")
        return status, answer

    async def _bind(self) -> None:
        spec: Object = {
            "reference": {"export": {"path": PROVIDER, "name": "cowboys"}},
            "permissionClaims": [accepted(claim("", "configmaps"))],
        }
        body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "cowboys"}, "spec": spec}
        await self._call("POST", f"/clusters/{self._consumer()}/apis/apis.kcp.io/v1alpha2/apibindings", body)

    async def _unbind(self) -> None:
        await self._call("DELETE", f"/clusters/{self._consumer()}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys")

    async def _cowboy(self) -> None:
        path = f"/clusters/{self._consumer()}/apis/wild.west/v1/namespaces/default/cowboys"
        await self._call("POST", path, {"apiVersion": "wild.west/v1", "kind": "Cowboy", "metadata": {"name": "billy"}})

    async def _add_slice(self) -> None:
        body = endpoint_slice(self._random.choice(["one", "two"]), **self._random.choice([{}, {}, {"partition": "us"}]))
        body["spec"]["export"]["path"] = self._random.choice([PROVIDER, "root:provider"])
        await self._call("POST", SLICES, {"apiVersion": "apis.kcp.io/v1alpha1", "kind": "APIExportEndpointSlice", **body})

    async def _delete_slice(self) -> None:
        await self._call("DELETE", f"{SLICES}/{self._random.choice(['one', 'two', 'cowboys'])}")

    async def _add_view(self) -> None:
        spec = {"export": {"name": self._export()}, "resources": [{"resource": "configmaps"}]}
        body = {"apiVersion": "views.tenantry.dev/v1alpha1", "kind": "VirtualWorkspace", "spec": spec}
        await self._call("POST", VIEWS, {**body, "metadata": {"name": self._view()}})

    async def _change_view(self) -> None:
        status, found = await self._call("GET", f"{VIEWS}/{self._view()}")
        if status == 200:
            found["spec"]["export"]["name"] = self._export()
            await self._call("PUT", f"{VIEWS}/{found['metadata']['name']}", found)

    async def _delete_view(self) -> None:
        await self._call("DELETE", f"{VIEWS}/{self._view()}")

    async def _annotate(self) -> None:
        skip = self._random.choice([True, False])

        def change(export: Object) -> None:
            annotations = export["metadata"].setdefault("annotations", {})
            annotations.pop(SKIP_ANNOTATION, None)
            if skip:
                annotations[SKIP_ANNOTATION] = "true"

        self._done.append(f"skip {skip}")
        await self._shard.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", change)

    async def _recreate(self) -> None:
        _, found = await self._call("GET", f"{EXPORTS}/cowboys")
        await self._call("DELETE", f"{EXPORTS}/cowboys")
        await self._shard.until(lambda: self._shard.get(PROVIDER, API_EXPORTS, "cowboys") is None)
        await self._turns(self._random.choice([0, 1, 20, 200]))
        body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIExport", "metadata": {"name": "cowboys"}}
        assert (await self._call("POST", EXPORTS, {**body, "spec": found["spec"]}))[0] == 201

    async def _move(self) -> None:
        """A range goes to another shard and comes back."""
        name, shard = self._random.choice(["root", "range-2"]), self._shard
        self._done.append(f"move {name}")
        bounds = {info.name: (info.start, info.end) for info in shard.map.ranges()}[name]
        await shard.cell.release(name)
        shard.tenancy.local_ranges.changed()
        for _ in range(self._random.choice([0, 3, 50])):
            await asyncio.sleep(0)
        await shard.cell.acquire(name, *bounds)
        shard.tenancy.local_ranges.changed()

    async def _restart(self) -> None:
        self._done.append("restart")
        await self._shard.stop()
        self._shard = ServedShard(store=self._store)
        await self._begin()

    def _consumer(self) -> str:
        return self._random.choice(list(CONSUMERS))

    def _view(self) -> str:
        return self._random.choice(["shown", "other"])

    def _export(self) -> str:
        return self._random.choice(["cowboys", "cowboys", "none"])


def _at_once(call: Any) -> Any:
    """What a coroutine returns without a rest, so that nothing happens meanwhile; None if it rests."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    call.close()
    return None


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_visible_has_its_url_in_every_status(seed: int) -> None:
    await Walk(seed).run()
