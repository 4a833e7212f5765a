"""A provider with a declared view, one consumer, and controllers that a test pauses: for when a range shows its consumers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tenantry.apiserver.user import User
from tenantry.controllers.controller import Controller
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.exports.consumers import consumers_key, is_open
from tenantry.tenancy.resources import API_BINDINGS, API_EXPORT_ENDPOINT_SLICES, VIRTUAL_WORKSPACES
from tests.support.people import MASTER
from tests.support.tenancies import URL, ServedShard, accepted, claim
from tests.virtual.apiexport.ranch import NEAR, PROVIDER, SHERIFF, create, sheriff_rules

EXPORT = (PROVIDER, "cowboys")
INSIDE = f"/clusters/{NEAR}/apis/wild.west/v1/namespaces/default/cowboys"
CONFIG_MAPS = f"/clusters/{NEAR}/api/v1/namespaces/default/configmaps"
BINDINGS = f"/clusters/{NEAR}/apis/apis.kcp.io/v1alpha2/apibindings"
OWN = "apiexport/{}/cowboys/clusters/*/apis/wild.west/v1/cowboys"
CLAIMED = "apiexport/{}/cowboys/clusters/*/api/v1/configmaps"
BOUND = "apiexport/{}/cowboys/clusters/*/apis/apis.kcp.io/v1alpha2/apibindings"
DECLARED = "virtualworkspaces/{}/shown/clusters/*/apis/wild.west/v1/cowboys"
DECLARED_CLAIMED = "virtualworkspaces/{}/shown/clusters/*/api/v1/configmaps"
SHOWN = {OWN: "billy", CLAIMED: "shared", BOUND: "cowboys", DECLARED: "billy", DECLARED_CLAIMED: "shared"}
COWBOYS = f"/ranges/root/services/{OWN.format(PROVIDER)}"


class Paused:
    """A controller that does not begin to reconcile the keys for which `which` is true, until it is resumed."""

    def __init__(self, controller: Controller[Any], which: Callable[[Key], bool]) -> None:
        self._resumed = asyncio.Event()
        original: Callable[[Range, Any], Awaitable[None]] = controller.reconcile

        async def reconcile(range_: Range, key: Any) -> None:
            if which(key):
                await self._resumed.wait()
            await original(range_, key)

        controller.reconcile = reconcile  # type: ignore[method-assign]

    def resume(self) -> None:
        self._resumed.set()


def pause(shard: ServedShard, name: str, which: Callable[[Key], bool] = lambda key: True) -> Paused:
    return Paused(next(each for each in shard.controllers if each.name == name), which)


async def provider(shard: ServedShard) -> None:
    """An export with a declared view of it, whose statuses are written; and a cluster that has not bound it."""
    await shard.cluster(PROVIDER, "root:provider")
    rules = [{"apiGroups": ["views.tenantry.dev"], "resources": ["*"], "verbs": ["*"]}]
    await shard.role(PROVIDER, "sheriff", *sheriff_rules(("*",)), *rules)
    await shard.bind_role(PROVIDER, "sheriff", "sheriff", SHERIFF.name)
    await shard.export(PROVIDER, claims=[claim("", "configmaps")])
    resources = [{"resource": "configmaps"}, {"group": "wild.west", "resource": "cowboys"}]
    spec = {"export": {"name": "cowboys"}, "resources": resources}
    declared = {"apiVersion": "views.tenantry.dev/v1alpha1", "kind": "VirtualWorkspace", "metadata": {"name": "shown"}}
    path = f"/clusters/{PROVIDER}/apis/views.tenantry.dev/v1alpha1/virtualworkspaces"
    assert (await shard.call("POST", path, MASTER, {**declared, "spec": spec}))[0] == 201
    await shard.until(lambda: "status" in (shard.get(PROVIDER, API_EXPORT_ENDPOINT_SLICES, "cowboys") or {}))
    await shard.until(lambda: "status" in (shard.get(PROVIDER, VIRTUAL_WORKSPACES, "shown") or {}))
    await shard.cluster(NEAR, "root:near")
    await shard.namespace(NEAR, "default")


async def bind(shard: ServedShard, *, cowboy: bool = True) -> None:
    """Binds the export, and makes a cowboy and a ConfigMap. Returns whether or not the range is open."""
    spec: Object = {
        "reference": {"export": {"path": PROVIDER, "name": "cowboys"}},
        "permissionClaims": [accepted(claim("", "configmaps"))],
    }
    body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "cowboys"}, "spec": spec}
    assert (await shard.call("POST", BINDINGS, MASTER, body))[0] == 201
    await shard.until(lambda: shard.bound(NEAR, "cowboys"))
    if cowboy:
        assert (await create(shard, INSIDE, "billy", MASTER))[0] == 201
        assert (await create(shard, CONFIG_MAPS, "shared", MASTER))[0] in (201, 409)


async def unbind(shard: ServedShard) -> None:
    assert (await shard.call("DELETE", f"{BINDINGS}/cowboys", MASTER))[0] == 200
    await shard.until(lambda: shard.get(NEAR, API_BINDINGS, "cowboys") is None)


def urls(shard: ServedShard, resource: str = API_EXPORT_ENDPOINT_SLICES, name: str = "cowboys") -> list[str]:
    status = (shard.get(PROVIDER, resource, name) or {}).get("status") or {}
    return [each["url"].removeprefix(URL) for each in status.get("endpoints") or ()]


async def names(shard: ServedShard, path: str, who: User = SHERIFF) -> list[str]:
    status, answer = await shard.call("GET", path, who)
    assert status == 200, answer
    return [obj["metadata"]["name"] for obj in answer["items"]]


def opened(shard: ServedShard) -> bool:
    range_ = shard.cell.range_of(NEAR)
    return is_open(range_.get(consumers_key(range_, EXPORT)))


def pending(shard: ServedShard) -> bool:
    range_ = shard.cell.range_of(NEAR)
    record = range_.get(consumers_key(range_, EXPORT))
    return record is not None and not is_open(record)


def endpoint_slice(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"export": {"path": PROVIDER, "name": "cowboys"}, **spec}}


def partition(region: str) -> Object:
    return {"metadata": {"name": region}, "spec": {"selector": {"matchLabels": {"region": region}}}}
