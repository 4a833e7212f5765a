"""The view of a SyncTarget: who gets in, what is seen, and what may be written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenantry.apiserver.request import Request
from tenantry.base.tasks import awaited
from tenantry.http.messages import Stream
from tenantry.kube.objects import Object, timestamp
from tenantry_syncer.names import DELETION_PREFIX, STATE_LABEL_PREFIX
from tenantry_syncer.sync_target import copied
from tenantry_syncer.syncer import Syncer
from tests.support.one_process import URL, Stack, running
from tests.support.people import MASTER, person
from tests.support.sinks import MemorySink
from tests.support.waiting import eventually_answers, until
from tests.tenantry_syncer.targets import API, SYNCER, assigned, config_map, made, merge, names, sync_target, view

CONFIG_MAPS = "api/v1/namespaces/default/configmaps"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path, views=[Syncer]) as started:
        yield started


async def test_what_is_assigned_is_seen_and_nothing_else(stack: Stack) -> None:
    home, tenant = await stack.workspace("root", "home"), await stack.workspace("root", "tenant")
    target = await sync_target(stack, home)
    await config_map(stack, tenant, "mine", assigned(target))
    await config_map(stack, tenant, "pending", assigned(target, ""))
    await config_map(stack, tenant, "by-name", {STATE_LABEL_PREFIX + "edge": "Sync"})
    await config_map(stack, tenant, "other", {"app": "web"})
    await config_map(stack, home, "by-name-at-home", {STATE_LABEL_PREFIX + "edge": "Sync"})
    assert await names(stack, f"{view(target)}/api/v1/configmaps") == ["by-name-at-home", "mine"]
    assert await names(stack, f"{view(target, tenant)}/{CONFIG_MAPS}") == ["mine"]
    assert (await stack.call("GET", f"{view(target, tenant)}/{CONFIG_MAPS}/other", SYNCER))[0] == 404


async def test_targets_of_one_name_are_strangers(stack: Stack) -> None:
    one, two = await stack.workspace("root", "one"), await stack.workspace("root", "two")
    first, second = await sync_target(stack, one), await sync_target(stack, two, user=person("other-syncer"))
    assert first.key != second.key
    await config_map(stack, one, "ones", {STATE_LABEL_PREFIX + "edge": "Sync"})
    await config_map(stack, two, "twos", assigned(second))
    assert await names(stack, f"{view(first)}/api/v1/configmaps") == ["ones"]
    assert await names(stack, f"{view(second)}/api/v1/configmaps", person("other-syncer")) == ["twos"]
    assert (await stack.call("GET", f"{view(second)}/api/v1/configmaps", SYNCER))[0] == 403
    for mine in (one, two, "root"):
        code, _ = await stack.call("GET", f"{view(second, mine)}/{CONFIG_MAPS}/twos", SYNCER)
        assert code == 403


async def test_a_target_takes_what_it_accepts(stack: Stack) -> None:
    home = await stack.workspace("root", "home")
    tenants = [await stack.workspace("root", f"tenant-{number}") for number in range(2)]
    target = await sync_target(stack, home)
    for cluster, name in ((home, "own"), (tenants[0], "first"), (tenants[1], "second")):
        await config_map(stack, cluster, name, assigned(target))
    place = f"{view(target)}/api/v1/configmaps"
    assert await names(stack, place) == ["first", "own", "second"]
    held = f"{view(target, tenants[1])}/{CONFIG_MAPS}/second"
    assert (await merge(stack, held, {"metadata": {"finalizers": [target.finalizer]}}))[0] == 200
    accepted = {"spec": {"acceptedClusters": [tenants[0]]}}
    assert (await merge(stack, f"/clusters/{home}/{API}/edge", accepted, MASTER))[0] == 200
    _, seen = await stack.call("GET", held, SYNCER)
    assert seen["metadata"]["deletionTimestamp"]
    assert (await merge(stack, held, {"metadata": {"finalizers": None}}))[0] == 200
    assert await names(stack, place) == ["first", "own"]
    accepted["spec"]["acceptedClusters"] = [home]
    assert (await merge(stack, f"/clusters/{home}/{API}/edge", accepted, MASTER))[0] == 200
    assert await names(stack, place) == ["own"]
    # Who takes the last one from the list does not accept everybody.
    accepted["spec"]["acceptedClusters"] = []
    assert (await merge(stack, f"/clusters/{home}/{API}/edge", accepted, MASTER))[0] == 200
    assert await names(stack, place) == ["own"]
    assert (await merge(stack, f"/clusters/{home}/{API}/edge", {"spec": {"acceptedClusters": None}}, MASTER))[0] == 200
    # The second one was given back, and its label went.
    assert await names(stack, place) == ["first", "own"]


async def test_a_label_of_the_view_alone_shows_nothing(stack: Stack) -> None:
    """A tenant who is not accepted must not fill the memory of the agent."""
    home, tenant = await stack.workspace("root", "home"), await stack.workspace("root", "tenant")
    target = await sync_target(stack, home)
    assert (await merge(stack, f"/clusters/{home}/{API}/edge", {"spec": {"acceptedClusters": []}}, MASTER))[0] == 200
    await config_map(stack, tenant, "labelled", {target.held_label: ""}, note=target.finalizer)
    await config_map(stack, tenant, "assigned", {**assigned(target), target.held_label: ""})
    assert await names(stack, f"{view(target)}/api/v1/configmaps") == []
    path = f"/clusters/{tenant}/{CONFIG_MAPS}/labelled"
    assert (await merge(stack, path, {"metadata": {"finalizers": [target.finalizer]}}, MASTER))[0] == 200
    assert await names(stack, f"{view(target)}/api/v1/configmaps") == ["labelled"]


async def test_what_every_shard_keeps_of_a_target_is_bounded(stack: Stack) -> None:
    home = await stack.workspace("root", "home")
    target = await sync_target(stack, home)
    place = f"/clusters/{home}/{API}/edge"
    for clusters in (["x" * 33], [""], ["x"] * 10_001):
        assert (await merge(stack, place, {"spec": {"acceptedClusters": clusters}}, MASTER))[0] == 422
    fine = {"group": "apps", "resource": "deployments", "state": "Accepted", "identityHash": "a" * 64, "versions": ["v1"]}
    for wrong in ({"group": "x" * 254}, {"resource": "x" * 64}, {"identityHash": "a" * 65}, {"versions": ["v1"] * 101}):
        entries = [{**fine, **wrong}]
        assert (await merge(stack, f"{place}/status", {"status": {"syncedResources": entries}}, MASTER))[0] == 422, wrong
    assert (await merge(stack, f"{place}/status", {"status": {"syncedResources": [fine] * 501}}, MASTER))[0] == 422
    assert (await merge(stack, f"{place}/status", {"status": {"syncedResources": [fine]}}, MASTER))[0] == 200
    made = copied({"metadata": {"name": "edge"}, "status": {"syncedResources": [fine, {**fine, "state": "Pending"}]}})
    entry = {"group": "apps", "resource": "deployments", "identityHash": "a" * 64}
    assert made == {"metadata": {"name": target.name}, "spec": {}, "status": {"syncedResources": [entry]}}


async def test_who_gets_in(stack: Stack) -> None:
    home = await stack.workspace("root", "home")
    target = await sync_target(stack, home)
    path = f"{view(target)}/api/v1/configmaps"
    assert (await stack.call("GET", path, person("eve")))[0] == 403
    assert (await stack.call("GET", path.replace("/edge/", "/none/"), SYNCER))[0] == 403
    assert (await stack.call("GET", path.replace("/edge/", "/none/"), MASTER))[0] == 404
    by_path = path.replace(f"/{home}/", "/root:home/")
    assert (await stack.call("GET", by_path, SYNCER))[0] == 200
    code, _ = await stack.call("DELETE", f"/clusters/{home}/{API}/edge")
    assert code == 200
    assert (await stack.call("GET", path, SYNCER))[0] == 403


async def test_verbs(stack: Stack) -> None:
    target = await sync_target(stack, await stack.workspace("root", "home"))
    _, found = await stack.call("GET", f"{view(target)}/api/v1", SYNCER)
    verbs = {entry["name"]: sorted(entry["verbs"]) for entry in found["resources"]}
    assert verbs["configmaps"] == ["get", "list", "patch", "update", "watch"]
    assert sorted(name for name in verbs if "/" not in name) == ["configmaps", "namespaces", "secrets", "serviceaccounts"]


async def test_namespaces_that_are_assigned(stack: Stack) -> None:
    """Clients as kopf do nothing on a server without this type."""
    tenant = await stack.workspace("root", "tenant")
    target = await sync_target(stack, await stack.workspace("root", "home"))
    for name, labels in (("one", assigned(target)), ("two", {})):
        await made(stack, f"/clusters/{tenant}/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    assert await names(stack, f"{view(target)}/api/v1/namespaces") == ["one"]
    assert (await stack.call("GET", f"{view(target, tenant)}/api/v1/namespaces/two", SYNCER))[0] == 404
    code, answer = await merge(stack, f"{view(target, tenant)}/api/v1/namespaces/one", {"metadata": {"labels": {"a": "b"}}})
    assert (code, answer["details"]["causes"][0]["field"]) == (422, "metadata.labels[a]")
    for verb, path, expected in (("DELETE", "one", 405), ("POST", "", 405)):
        assert (await stack.call(verb, f"{view(target, tenant)}/api/v1/namespaces/{path}".rstrip("/"), SYNCER, {}))[0] == expected
    _, found = await stack.call("GET", f"{view(target, name='upsyncer')}/api/v1", SYNCER)
    assert "namespaces" not in [entry["name"] for entry in found.get("resources", ())]


async def test_writes_of_a_syncer(stack: Stack) -> None:
    tenant = await stack.workspace("root", "tenant")
    target = await sync_target(stack, await stack.workspace("root", "home"))
    note = {f"{DELETION_PREFIX}{target.key}": "2026-01-02T03:04:05Z", "example.com/note": "x"}
    await config_map(stack, tenant, "a", assigned(target))
    path = f"{view(target, tenant)}/{CONFIG_MAPS}/a"
    code, answer = await merge(stack, path, {"data": {"a": "2"}})
    assert (code, answer["details"]["causes"][0]["field"]) == (422, "data")
    code, answer = await merge(stack, path, {"metadata": {"finalizers": [target.finalizer]}})
    assert code == 200, answer["message"]
    assert answer["metadata"]["finalizers"] == [target.finalizer]
    stored = f"/clusters/{tenant}/{CONFIG_MAPS}/a"
    assert (await merge(stack, stored, {"metadata": {"annotations": note}}, MASTER))[0] == 200
    _, seen = await stack.call("GET", path, SYNCER)
    assert seen["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:05Z"
    stale = {"metadata": {"resourceVersion": answer["metadata"]["resourceVersion"], "finalizers": []}}
    assert (await merge(stack, path, stale))[0] == 409
    code, answer = await merge(stack, path, {"metadata": {"finalizers": None}})
    assert code == 200, answer.get("message")
    assert await names(stack, f"{view(target)}/api/v1/configmaps") == []
    _, kept = await stack.call("GET", stored)
    assert "finalizers" not in kept["metadata"] and "labels" not in kept["metadata"]
    assert "deletionTimestamp" not in kept["metadata"] and kept["data"] == {"a": "1"}
    assert kept["metadata"]["annotations"] == {"kcp.io/cluster": tenant, "example.com/note": "x"}


async def test_unchanged_puts_are_taken(stack: Stack) -> None:
    tenant = await stack.workspace("root", "tenant")
    target = await sync_target(stack, await stack.workspace("root", "home"))
    await config_map(stack, tenant, "a", assigned(target))
    path = f"{view(target, tenant)}/{CONFIG_MAPS}/a"
    _, seen = await stack.call("GET", path, SYNCER)
    code, answer = await stack.call("PUT", path, SYNCER, seen)
    assert code == 200 and answer["metadata"]["resourceVersion"] == seen["metadata"]["resourceVersion"], answer
    seen["metadata"]["labels"]["app"] = "web"
    assert (await stack.call("PUT", path, SYNCER, seen))[0] == 422


async def test_status_of_a_target(stack: Stack) -> None:
    home = await stack.workspace("root", "home")
    target = await sync_target(stack, home)
    place = f"/clusters/{home}/{API}/edge"

    async def ready() -> tuple[str, str] | None:
        _, found = await stack.call("GET", place)
        conditions = {c["type"]: (c["status"], c.get("reason", "")) for c in found.get("status", {}).get("conditions") or ()}
        return conditions.get("Ready")

    async def is_so(wanted: tuple[str, str]) -> bool:
        return await ready() == wanted

    await stack.eventually(lambda: is_so(("False", "NoHeartbeat")))
    _, found = await stack.call("GET", place)
    assert found["status"]["key"] == target.key
    ranges = sorted(info.name for info in stack.map.ranges())
    assert found["status"]["virtualWorkspaces"] == [
        {
            "syncerURL": f"{URL}/ranges/{name}/services/syncer/{home}/edge",
            "upsyncerURL": f"{URL}/ranges/{name}/services/upsyncer/{home}/edge",
        }
        for name in ranges
    ]
    beat: Object = {"status": {"lastSyncerHeartbeatTime": timestamp(datetime.now(UTC))}}
    assert (await merge(stack, f"{place}/status", beat))[0] == 200
    await stack.eventually(lambda: is_so(("True", "")))
    beat["status"]["lastSyncerHeartbeatTime"] = "2020-01-01T00:00:00Z"
    assert (await merge(stack, f"{place}/status", beat))[0] == 200
    await stack.eventually(lambda: is_so(("False", "ErrorHeartbeat")))


async def test_who_takes_the_label_away_gets_the_object_back(stack: Stack) -> None:
    tenant = await stack.workspace("root", "tenant")
    target = await sync_target(stack, await stack.workspace("root", "home"))
    await config_map(stack, tenant, "a", assigned(target))
    path, stored = f"{view(target, tenant)}/{CONFIG_MAPS}/a", f"/clusters/{tenant}/{CONFIG_MAPS}/a"
    assert (await merge(stack, path, {"metadata": {"finalizers": [target.finalizer]}}))[0] == 200
    label = {"metadata": {"labels": {STATE_LABEL_PREFIX + target.key: None}}}
    assert (await merge(stack, stored, label, MASTER))[0] == 200
    _, seen = await stack.call("GET", path, SYNCER)
    assert seen["metadata"]["deletionTimestamp"]
    assert (await merge(stack, path, {"metadata": {"finalizers": None}}))[0] == 200
    assert (await stack.call("GET", path, SYNCER))[0] == 404
    _, kept = await stack.call("GET", stored)
    assert "finalizers" not in kept["metadata"] and "labels" not in kept["metadata"]


async def test_a_watch_follows_labels(stack: Stack) -> None:
    tenant = await stack.workspace("root", "tenant")
    target = await sync_target(stack, await stack.workspace("root", "home"))
    request = Request("GET", f"{view(target)}/api/v1/configmaps", "watch=true", {}, user=SYNCER)
    reply = await stack.handle(request)
    assert isinstance(reply, Stream)
    sink = MemorySink()
    task = awaited(reply.run(sink), name="watch")
    await config_map(stack, tenant, "a", assigned(target))
    await config_map(stack, tenant, "other", {})
    label = {"metadata": {"labels": {STATE_LABEL_PREFIX + target.key: None}}}
    assert (await merge(stack, f"/clusters/{tenant}/{CONFIG_MAPS}/a", label, MASTER))[0] == 200
    await stack.call("DELETE", f"/clusters/{tenant}/{CONFIG_MAPS}/other")
    await until(lambda: len(seen(sink)) == 2)
    assert seen(sink) == [("ADDED", "a"), ("DELETED", "a")]
    # The watch ends with the SyncTarget.
    await stack.call("DELETE", f"/clusters/{target.cluster}/{API}/edge")
    await until(task.done)


def seen(sink: MemorySink) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"]["name"]) for event in sink.events if event["type"] != "BOOKMARK"]


async def test_bound_workload_types_are_synced_with_their_status(stack: Stack) -> None:
    home, tenant = await stack.workspace("root", "home"), await stack.workspace("root", "tenant")
    for cluster in (home, tenant):
        reference = {"export": {"path": "root", "name": "kubernetes-workloads"}}
        binding = {"metadata": {"name": "workloads"}, "spec": {"reference": reference}}
        body: Object = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", **binding}
        await made(stack, f"/clusters/{cluster}/apis/apis.kcp.io/v1alpha2/apibindings", body)
        place = f"/clusters/{cluster}/apis/apis.kcp.io/v1alpha2/apibindings/workloads"

        async def is_bound(place: str = place) -> bool:
            return bool((await stack.call("GET", place))[1].get("status", {}).get("phase") == "Bound")

        await eventually_answers(is_bound, what="the types are bound")
    target = await sync_target(stack, home)
    identity = (await stack.call("GET", place))[1]["status"]["boundResources"][0]["schema"]["identityHash"]
    entry = {"group": "apps", "resource": "deployments", "state": "Accepted", "identityHash": identity, "versions": ["v1"]}
    synced = {"status": {"syncedResources": [entry]}}
    assert (await merge(stack, f"/clusters/{home}/{API}/edge/status", synced, MASTER))[0] == 200
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "x"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    deployment: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": assigned(target)},
        "spec": spec,
    }
    await made(stack, f"/clusters/{tenant}/apis/apps/v1/namespaces/default/deployments", deployment)
    assert await names(stack, f"{view(target)}/apis/apps/v1/deployments") == ["web"]
    held = f"{view(target, tenant)}/apis/apps/v1/namespaces/default/deployments/web"
    assert (await merge(stack, held, {"metadata": {"finalizers": [target.finalizer]}}))[0] == 200
    code, answer = await merge(stack, f"{held}/status", {"status": {"replicas": 2, "readyReplicas": 1}})
    assert code == 200, answer
    _, above = await stack.call("GET", f"/clusters/{tenant}/apis/apps/v1/namespaces/default/deployments/web")
    assert above["status"]["readyReplicas"] == 1
