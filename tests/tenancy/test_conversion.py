"""Conversion webhooks in a logical cluster with all of admission and controllers, on a shard in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from tenantry.apiserver.admission.webhooks.call_context import WebhookCalls
from tenantry.apiserver.admission.webhooks.services import Services
from tenantry.http.reachable_networks import ReachableNetworks
from tenantry.kube.objects import Object
from tests.clients import conversion
from tests.clients.conversion import MODES, converts, thing
from tests.support.clusters import CLUSTER, ServedCluster, conditions
from tests.support.people import MASTER
from tests.support.webhooks import WebhookServer, configuration, patch, rule

GROUP = "conv.example"
DEFINITION = f"things.{GROUP}"


@pytest.fixture
def hooks() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server


@asynccontextmanager
async def serving() -> AsyncIterator[ServedCluster]:
    calls = WebhookCalls(networks=ReachableNetworks("loopback"), services=Services(""))
    try:
        async with ServedCluster(webhooks=calls) as cluster:
            yield cluster
    finally:
        calls.close()


@pytest_asyncio.fixture
async def cluster(hooks: WebhookServer) -> AsyncIterator[ServedCluster]:
    hooks.replies["/convert"] = converts
    async with serving() as running:
        await running.post("customresourcedefinitions", conversion.crd(GROUP, hooks.client("/convert")), "")
        await running.until(lambda: running.tenancy.apis.for_cluster(CLUSTER).find(GROUP, "v2", "things"))
        yield running


def url(version: str, name: str = "") -> str:
    path = f"/clusters/{CLUSTER}/apis/{GROUP}/{version}/namespaces/default/things"
    return f"{path}/{name}" if name else path


async def call(cluster: ServedCluster, method: str, version: str, name: str = "", body: Any = None) -> Object:
    headers = {"content_type": "application/merge-patch+json"} if method == "PATCH" else {}
    status, answer = await cluster.call(method, url(version, name), MASTER, body, **headers)
    assert status < 300, answer
    return answer


def stored(cluster: ServedCluster, name: str) -> Object | None:
    return cluster.get(CLUSTER, f"{GROUP}/things", name, "default")


async def install(cluster: ServedCluster, kind: str, webhook: Object) -> None:
    plural = f"{kind}webhookconfigurations.admissionregistration.k8s.io"
    await cluster.post(plural, configuration(kind, kind, webhook), "")


async def test_admission_webhooks_see_and_change_their_version(cluster: ServedCluster, hooks: WebhookServer) -> None:
    count = patch({"op": "replace", "path": "/spec/count", "value": 7})
    await install(cluster, "mutating", hooks.webhook("changes", count, rules=[rule("things", group=GROUP, versions="v2")]))
    await install(cluster, "validating", hooks.webhook("looks", rules=[rule("things", group=GROUP, versions="v2")]))
    made = await call(cluster, "POST", "v1", body=thing(GROUP, "v1", "a", size="3"))
    assert made["spec"] == {"size": "7", "level": 1}
    (changed,), (looked,) = hooks.asked("changes"), hooks.asked("looks")
    assert changed["object"]["spec"] == {"count": 3} and changed["object"]["apiVersion"] == f"{GROUP}/v2"
    assert changed["requestKind"]["version"] == "v1"
    assert looked["object"]["spec"] == {"count": 7}
    await call(cluster, "PATCH", "v1", "a", {"spec": {"note": "n"}})
    assert hooks.asked("looks")[1]["oldObject"]["spec"] == {"count": 7}


async def test_a_review_that_cannot_be_made_refuses_the_write(cluster: ServedCluster, hooks: WebhookServer) -> None:
    await install(cluster, "validating", hooks.webhook("looks", rules=[rule("things", group=GROUP, versions="v2")]))
    hooks.replies["/convert"] = MODES["failure"]
    status, answer = await cluster.call("POST", url("v1"), MASTER, thing(GROUP, "v1", "a", size="3"))
    assert (status, answer["message"]) == (500, f"conversion webhook for {GROUP}/v1, Kind=Thing failed: it is Friday")
    assert stored(cluster, "a") is None


def policy(kind: str, **spec: Any) -> Object:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}AdmissionPolicy",
        "metadata": {"name": "small"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule("things", group=GROUP, versions="v2")]},
            "failurePolicy": "Fail",
            **spec,
        },
    }


async def bind(cluster: ServedCluster, kind: str, made: Object, **spec: Any) -> None:
    plural = f"{kind.lower()}admissionpolicies.admissionregistration.k8s.io"
    await cluster.post(plural, made, "")
    binding = {**made, "kind": f"{kind}AdmissionPolicyBinding", "spec": {"policyName": "small", **spec}}
    await cluster.post(plural.replace("policies", "policybindings"), binding, "")


async def test_validating_policies_see_their_version(cluster: ServedCluster, hooks: WebhookServer) -> None:
    small = policy("Validating", validations=[{"expression": "object.spec.count < 5", "message": "too many"}])
    await bind(cluster, "Validating", small, validationActions=["Deny"])
    await call(cluster, "POST", "v1", body=thing(GROUP, "v1", "a", size="3"))
    status, answer = await cluster.call("POST", url("v1"), MASTER, thing(GROUP, "v1", "b", size="6"))
    assert status == 422 and "too many" in answer["message"]
    merge = {"content_type": "application/merge-patch+json"}
    status, _ = await cluster.call("PATCH", url("v1", "a"), MASTER, {"spec": {"size": "9"}}, **merge)
    assert status == 422


async def test_mutating_policies_change_their_version(cluster: ServedCluster, hooks: WebhookServer) -> None:
    mutation = {
        "patchType": "JSONPatch",
        "jsonPatch": {"expression": '[JSONPatch{op: "replace", path: "/spec/count", value: object.spec.count + 1}]'},
    }
    more = policy("Mutating", mutations=[mutation], reinvocationPolicy="Never")
    await bind(cluster, "Mutating", more)
    made = await call(cluster, "POST", "v1", body=thing(GROUP, "v1", "a", size="3"))
    assert made["spec"]["size"] == "4"


async def test_a_migration_writes_objects_in_the_new_version(cluster: ServedCluster, hooks: WebhookServer) -> None:
    await call(cluster, "POST", "v1", body=thing(GROUP, "v1", "a", size="3"))
    crd = cluster.find("customresourcedefinitions", DEFINITION, "")
    assert crd is not None
    versions = [{**each, "storage": each["name"] == "v2"} for each in crd["spec"]["versions"]]
    changed = await cluster.patch("customresourcedefinitions", DEFINITION, {"spec": {"versions": versions}}, "")
    assert changed["status"]["storedVersions"] == ["v1", "v2"]
    migration = {
        "apiVersion": "storagemigration.k8s.io/v1",
        "kind": "StorageVersionMigration",
        "metadata": {"name": "moves"},
        "spec": {"resource": {"group": GROUP, "resource": "things"}},
    }
    await cluster.post("storageversionmigrations", migration, "")
    await cluster.until(
        lambda: "Succeeded" in conditions(cluster.find("storageversionmigrations", "moves", "")),
    )
    found = stored(cluster, "a")
    assert found is not None and found["spec"] == {"count": 3} and found["apiVersion"] == "v2"
    assert (await call(cluster, "GET", "v1", "a"))["spec"] == {"size": "3"}


async def test_a_namespace_goes_whose_webhook_is_away(cluster: ServedCluster, hooks: WebhookServer) -> None:
    await cluster.namespace(CLUSTER, "ends")
    path = url("v1").replace("default", "ends")
    status, _ = await cluster.call("POST", path, MASTER, thing(GROUP, "v1", "a", size="3"))
    assert status == 201
    hooks.replies["/convert"] = MODES["500"]
    asked = len(hooks.seen)
    status, _ = await cluster.call("DELETE", cluster.url("namespaces", "ends", ""), MASTER)
    assert status == 200
    await cluster.gone("namespaces", "ends", "")
    assert len(hooks.seen) == asked


async def test_a_webhook_writes_no_reserved_metadata(cluster: ServedCluster, hooks: WebhookServer) -> None:
    reserved = "internal.tenancy.kcp.io/cluster"

    def reply(review: Object) -> Object:
        answer = converts(review)
        for obj in answer["convertedObjects"]:
            obj["metadata"]["annotations"] = {reserved: "elsewhere", "kcp.io/cluster": "elsewhere", "mine": "yes"}
        return answer

    hooks.replies["/convert"] = reply
    await call(cluster, "POST", "v2", body=thing(GROUP, "v2", "a", count=3))
    found = stored(cluster, "a")
    assert found is not None and found["metadata"]["annotations"] == {"kcp.io/cluster": CLUSTER, "mine": "yes"}


async def test_a_slow_webhook_holds_up_nothing_else(cluster: ServedCluster, hooks: WebhookServer) -> None:

    await call(cluster, "POST", "v1", body=thing(GROUP, "v1", "a", size="3"))
    entered, may_answer = threading.Event(), threading.Event()

    def wait(review: Object) -> Object:
        entered.set()
        may_answer.wait(20)
        return converts(review)

    hooks.replies["/convert"] = wait
    reads = [asyncio.create_task(call(cluster, "GET", "v2", "a")) for _ in range(20)]
    try:
        await asyncio.to_thread(entered.wait, 20)
        assert (await call(cluster, "GET", "v1", "a"))["spec"]["size"] == "3"
        await call(cluster, "PATCH", "v1", "a", {"spec": {"note": "n"}})
        assert not any(read.done() for read in reads)
    finally:
        may_answer.set()
    assert {(await read)["spec"]["count"] for read in reads} == {3}
    assert len([path for path, _ in hooks.seen if path == "/convert"]) == 1


async def test_calls_are_counted(cluster: ServedCluster, hooks: WebhookServer) -> None:
    await call(cluster, "POST", "v1", body=thing(GROUP, "v1", "a", size="3"))
    await call(cluster, "GET", "v2", "a")
    hooks.replies["/convert"] = MODES["uid-other"]
    await cluster.call("POST", url("v2"), MASTER, thing(GROUP, "v2", "b", count=3))
    found = {
        (sample.labels["result"], sample.labels["failure_type"]): sample.value
        for metric in cluster.tenancy.scopes.converter.metrics.collect()
        for sample in metric.samples
        if sample.name == "apiserver_conversion_webhook_request_total"
    }
    assert found == {("success", ""): 1, ("failure", "conversion_webhook_malformed_response_failure"): 1}
