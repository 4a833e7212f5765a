"""Nothing is kept of what is gone: ranges that moved away, workspaces that were deleted, callers who asked once."""

from __future__ import annotations

import asyncio
import gc
import random
import string
from pathlib import Path
from typing import Any

from registry.assigner import Move
from tenantry.apiserver.hub import Hub, WatchFeed
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import ANONYMOUS, UNAUTHENTICATED_GROUP, User
from tenantry.apiserver.watcher_groups import Watcher, WatcherGroup
from tenantry.base.cache import Cache, caches
from tenantry.http.messages import Stream
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.storage.history import History
from tenantry.storage.memory import MemoryStore
from tenantry.storage.range import Range
from tenantry.storage.record import Record
from tenantry.tenancy.authorization.cluster_access import Access
from tenantry.tenancy.authorization.cluster_bindings import ClusterBindings
from tenantry.tenancy.authorization.past_accessors import PastAccessors
from tests.support.one_process import Stack, running
from tests.support.people import MASTER, person
from tests.support.reachable import alive, growth, lengths
from tests.support.sinks import MemorySink
from tests.support.waiting import eventually

BESIDE = (Cache, History, PastAccessors, MemoryStore, asyncio.Event)
"""Bounded by themselves (caches, histories), or what the system works on (the store, which keeps its history)."""
EXPORTS = "apis/apis.kcp.io/v1alpha2/apiexports"
BINDINGS = "apis/apis.kcp.io/v1alpha2/apibindings"
SCHEMAS = "apis/apis.kcp.io/v1alpha1/apiresourceschemas"
CRDS = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RBAC = "apis/rbac.authorization.k8s.io/v1"
OBJECT_SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
KINDS = {
    "apiexports": "APIExport",
    "apibindings": "APIBinding",
    "apiresourceschemas": "APIResourceSchema",
    "customresourcedefinitions": "CustomResourceDefinition",
    "configmaps": "ConfigMap",
    "namespaces": "Namespace",
    "clusterroles": "ClusterRole",
    "clusterrolebindings": "ClusterRoleBinding",
}
EVENT = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"generateName": "e"},
    "involvedObject": {"kind": "Namespace", "namespace": "default", "name": "default"},
    "reason": "R",
}
MOVES = 200
EVE = person("eve")
NOBODY = User(ANONYMOUS, (UNAUTHENTICATED_GROUP,))


async def idle(stack: Stack) -> None:
    """Returns when the controllers have nothing left to do."""
    await eventually(lambda: all(shard.tenancy.runner.idle for shard in stack.shards.values()), 60)


def everything(stack: Stack) -> Any:
    """What is kept beside what is in caches, which their bytes bound: they are emptied."""
    for cache in caches():
        assert cache.bytes <= cache.bytes_max, cache.name
        cache.clear()
    gc.collect()
    return lengths(stack.fleet, stack._front, beside=BESIDE)


def left(grown: dict[str, Any]) -> dict[str, Any]:
    """Without the histories of types that were, which a range bounds together."""
    return {name: counts for name, counts in grown.items() if name not in ("<History>", "Range._histories")}


def named(plural: str) -> dict[str, str]:
    kind = plural[:-1].capitalize()
    return {"plural": plural, "singular": plural[:-1], "kind": kind, "listKind": f"{kind}List"}


async def made(stack: Stack, path: str, body: dict[str, Any]) -> dict[str, Any]:
    group_version, _, plural = path.replace("/namespaces/default", "").partition("/api")[2].removeprefix("s/").rpartition("/")
    typed = {"apiVersion": group_version.removeprefix("/"), "kind": KINDS.get(plural), **body}
    status, answer = await stack.call("POST", path, MASTER, typed)
    assert status == 201, answer
    return answer


async def life(stack: Stack, name: str) -> None:
    """A workspace with something of every kind, used and then deleted."""
    cluster = await stack.workspace("root", name)
    base = f"/clusters/{cluster}"
    crd = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": OBJECT_SCHEMA}}
    spec = {"group": "crd.example", "scope": "Namespaced", "names": named("gadgets"), "versions": [crd]}
    await made(stack, f"{base}/{CRDS}", {"metadata": {"name": "gadgets.crd.example"}, "spec": spec})
    schema = {"name": "v1", "served": True, "storage": True, "schema": OBJECT_SCHEMA}
    spec = {"group": "api.example", "scope": "Cluster", "names": named("widgets"), "versions": [schema]}
    await made(stack, f"{base}/{SCHEMAS}", {"metadata": {"name": "v1.widgets.api.example"}, "spec": spec})
    resource = {"group": "api.example", "name": "widgets", "schema": "v1.widgets.api.example", "storage": {"crd": {}}}
    claim = {"group": "", "resource": "configmaps", "verbs": ["get", "list"]}
    export = {"resources": [resource], "permissionClaims": [claim]}
    await made(stack, f"{base}/{EXPORTS}", {"metadata": {"name": "widgets"}, "spec": export})
    accepted = {**claim, "state": "Accepted", "selector": {"matchAll": True}}
    reference = {"export": {"path": cluster, "name": "widgets"}}
    binding = {"reference": reference, "permissionClaims": [accepted]}
    await made(stack, f"{base}/{BINDINGS}", {"metadata": {"name": "widgets"}, "spec": binding})

    async def served() -> bool:
        found = [
            await stack.call("GET", f"{base}/apis/{each}", MASTER)
            for each in ("crd.example/v1/gadgets", "api.example/v1/widgets")
        ]
        return all(status == 200 for status, _ in found)

    await stack.eventually(served)
    await made(stack, f"{base}/api/v1/namespaces", {"metadata": {"name": "other"}})
    owner = await made(stack, f"{base}/api/v1/namespaces/default/configmaps", {"metadata": {"name": "owner"}})
    owning = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    owned: dict[str, Any] = {
        "metadata": {"name": "owned", "ownerReferences": [owning, {**owning, "kind": "Missing", "uid": "m"}]}
    }
    await made(stack, f"{base}/api/v1/namespaces/default/configmaps", owned)
    gadget = {"apiVersion": "crd.example/v1", "kind": "Gadget", "metadata": {"name": "g", "finalizers": ["crd.example/keep"]}}
    await made(stack, f"{base}/apis/crd.example/v1/namespaces/default/gadgets", gadget)
    widget = {"apiVersion": "api.example/v1", "kind": "Widget", "metadata": {"name": "w", "finalizers": ["api.example/keep"]}}
    await made(stack, f"{base}/apis/api.example/v1/widgets", widget)
    about = {"kind": "ConfigMap", "namespace": "default", "name": "owner"}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": about, "reason": "R"}
    await made(stack, f"{base}/api/v1/namespaces/default/events", event)
    for number in range(5):
        await stack.call(
            "PATCH",
            f"{base}/api/v1/namespaces/default/events/e",
            MASTER,
            {"count": number},
            content_type="application/merge-patch+json",
        )
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}
    await made(stack, f"{base}/{RBAC}/clusterroles", {"metadata": {"name": "reader"}, "rules": [rule]})
    subject = {"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"}
    await made(stack, f"{base}/{RBAC}/clusterrolebindings", {"metadata": {"name": "r"}, "roleRef": role, "subjects": [subject]})
    for who in (EVE, NOBODY):
        await stack.call("GET", f"{base}/api/v1/configmaps", who)
        await stack.call("GET", f"{base}/livez", who)
        await stack.call("GET", f"{base}/openapi/v3", who)
    await stack.call("GET", f"/services/apiexport/{cluster}/widgets/clusters/*/apis/api.example/v1/widgets", MASTER)
    for path in ("apis/apis.kcp.io/v1alpha2/apibindings/widgets", f"{CRDS}/gadgets.crd.example", "api/v1/namespaces/other"):
        await stack.call("DELETE", f"{base}/{path}", MASTER)
    status, answer = await stack.call("DELETE", f"/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces/{name}", MASTER)
    assert status == 200, answer
    for path in ("apis/crd.example/v1/namespaces/default/gadgets/g", "apis/api.example/v1/widgets/w"):
        nothing = {"metadata": {"finalizers": None}}
        await stack.call("PATCH", f"{base}/{path}", MASTER, nothing, content_type="application/merge-patch+json")
    await stack.gone("root", name)


async def lives(stack: Stack, first: int, count: int) -> None:
    for at in range(first, first + count, 4):
        await asyncio.gather(*(life(stack, f"w{number}") for number in range(at, at + 4)))
    await idle(stack)


async def test_a_workspace_adds_no_task(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        await stack.workspace("root", "first")
        await idle(stack)
        before = len(asyncio.all_tasks())
        for number in range(20):
            await stack.workspace("root", f"w{number}")
        await idle(stack)
        await eventually(lambda: len(asyncio.all_tasks()) <= before, 10)


async def test_nothing_is_kept_of_workspaces_that_are_gone(tmp_path: Path) -> None:
    for shards, capacity in ((1, 1000), (2, 2)):
        async with running(tmp_path, shards=shards, capacity=capacity) as stack:
            await lives(stack, 0, 8)
            before = everything(stack)
            await lives(stack, 8, 12)
            assert left(growth(before, everything(stack), 10)) == {}


def noise(length: int) -> str:
    return "".join(random.choices(string.ascii_lowercase, k=length))


async def ask(stack: Stack, number: int) -> None:
    """One request of somebody without credentials, and one of a stranger, for something that does not exist."""
    word = noise(random.choice((12, 16, 300)))
    clusters = [
        f"clusters/{noise(16)}",
        f"clusters/root:{noise(8)}:{word}",
        "clusters/root",
        f"clusters/{number:016d}",
        "clusters/*",
    ]
    views = [
        f"services/apiexport/{noise(16)}/{word}/clusters/*",
        f"services/initializingworkspaces/{noise(16)}:{word}/clusters/*",
    ]
    base = "/" + random.choice([*clusters, *views, f"services/{word}", f"ranges/root/clusters/{noise(16)}", word])
    paths = [
        "livez",
        "healthz/" + word,
        "api/v1/configmaps",
        f"apis/{word}/v1/{word}",
        f"api/v1/namespaces/{word}/configmaps/{word}",
        "openapi/v2",
    ]
    query = random.choice(
        ["", f"labelSelector={word}", f"fieldSelector=metadata.name%3D{word}", f"resourceVersion={number}", "watch=x"]
    )
    headers = {
        "accept": random.choice(["*/*", f"application/json;as={word}", word]),
        word: word,
        "authorization": f"Bearer {word}",
    }
    who = random.choice([NOBODY, person(word, word)])
    await stack.call(
        random.choice(["GET", "GET", "HEAD", word.upper()]), f"{base}/{random.choice(paths)}", who, None, query, **headers
    )


async def test_nothing_is_kept_of_callers_who_ask_once(tmp_path: Path) -> None:
    async with running(tmp_path, shards=2, capacity=1) as stack:
        for number in range(300):
            await ask(stack, number)
        for path in ("openapi/v2", "openapi/v3", "api", "apis"):
            # What types have in documents is made once, with the first.
            assert (await stack.call("GET", f"/clusters/root/{path}", MASTER))[0] == 200
        before = everything(stack)
        for number in range(600):
            await ask(stack, number)
        assert growth(before, everything(stack), 60) == {}
        assert all(cache.bytes <= cache.bytes_max for cache in caches())


async def moved(stack: Stack, name: str) -> None:
    """The range goes to the other shard, which serves it when this returns."""
    info = stack.map.named(name)
    assert info is not None
    target = next(shard for shard in stack.shards.values() if shard.info.uid != info.owner)
    await stack.fleet.registry.assignments.act([Move(name, info.owner, target.info.uid)])
    async with asyncio.timeout(60):
        await target.ownership.serving(name)


async def watched(stack: Stack, cluster: str) -> asyncio.Task[None]:
    """A watch by somebody who goes when the range does."""

    async def read(limit_bytes: int) -> bytes:
        return b""

    path = f"/clusters/{cluster}/api/v1/configmaps"

    async def asked() -> Stream | None:
        assert stack._front is not None
        reply = await stack._front(Request("GET", path, "watch=true&allowWatchBookmarks=true", {}, read, user=MASTER))
        # A range that goes on its way once more says so, and who asks comes again.
        assert isinstance(reply, Stream) or reply.status == 503, reply
        return reply if isinstance(reply, Stream) else None

    stream: Stream = await stack.eventually(asked)

    async def watch() -> None:
        await stream.run(MemorySink())

    return asyncio.create_task(watch())


async def test_nothing_is_kept_of_ranges_that_moved_away(tmp_path: Path) -> None:
    kinds = (Range, Record, History, Hub, WatchFeed, WatcherGroup, Watcher, ClusterBindings, Access, ApiSet, ResourceDefinition)
    async with running(tmp_path, shards=2, capacity=1) as stack:
        clusters = [await stack.workspace("root", f"w{number}") for number in range(2)]
        places = [
            (cluster, info.name)
            for cluster in clusters
            if (info := stack.map.range_of(cluster)) is not None and info.name != "root"
        ]
        assert places

        async def move(count: int) -> None:
            for number in range(count):
                cluster, name = places[number % len(places)]
                watch = await watched(stack, cluster)
                assert (await stack.call("GET", f"/clusters/{cluster}/api/v1/configmaps", MASTER))[0] == 200
                await stack.call("GET", f"/clusters/{cluster}/api/v1/configmaps", EVE)
                status, answer = await stack.call("POST", f"/clusters/{cluster}/api/v1/namespaces/default/events", MASTER, EVENT)
                assert status == 201, answer
                await moved(stack, name)
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
                await stack.call("DELETE", f"/clusters/{cluster}/api/v1/namespaces/default/events", MASTER)
            await idle(stack)

        await move(20)
        before, living = everything(stack), alive(*kinds)
        await move(MOVES)
        assert growth(before, everything(stack), MOVES // 4) == {}
        assert growth(living, alive(*kinds), MOVES // 4) == {}
